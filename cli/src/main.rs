//! The program `everpost`: makes the files of nodes, and checks them.
//!
//! It starts no node: a service is a program of its own, which reads the same files through [`everpost::NodeFile`].

#![forbid(unsafe_code)]

mod check;
mod days;
mod init;
mod problem;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::init::InitOptions;

/// Makes and checks the files of Everpost nodes.
///
/// A node is a program that runs durable actors; it reads one TOML file, which names its certificate, its store and its
/// peers. This program writes such files and says whether they will work. It starts nothing.
#[derive(Debug, Parser)]
#[command(name = "everpost", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

/// Shown below the help.
const EXAMPLES: &str = "\
Examples:
  everpost init --nodes east,west,north --dir nodes   files and certificates for three nodes on this machine
  everpost check nodes/east.toml                      will this node start, and will its peers let it in?
  EVERPOST_LISTEN=0.0.0.0:7401 everpost check nodes/east.toml
                                                      the same, with a key of the file overridden

Exit code 0: done, nothing is wrong. 1: something is wrong; the output says what. 2: the command line cannot
be understood.";

#[derive(Debug, Subcommand)]
enum Command {
    Init(InitOptions),
    /// Says whether a node file and what it names will work, without starting a node.
    ///
    /// Looks at the file with its environment variables, the certificate (who issued it, for whom, until when), the
    /// private key, the data folder and the address to listen on. Nothing is changed.
    #[command(
        after_help = "Exit code 0: nothing is wrong, though there may be warnings. 1: something is wrong; the output \
                      says what."
    )]
    Check {
        /// The node file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let outcome = match Options::parse().command {
        Command::Init(options) => init::run(&options).map(|text| (text, ExitCode::SUCCESS)),
        Command::Check { file } => check::run(&file),
    };
    match outcome {
        Ok((text, exit_code)) => match print(&text) {
            Ok(()) => exit_code,
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit_code,
            Err(error) => fail(&format!("the output could not be written: {error}")),
        },
        Err(problem) => fail(&problem.to_string()),
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    output.flush()
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("everpost: {problem}");
    ExitCode::FAILURE
}
