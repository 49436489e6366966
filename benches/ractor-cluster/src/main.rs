//! What `remote` measures between two nodes of Everpost, done by `ractor_cluster`: casts and calls to actors of another
//! process over loopback, without encryption. Nothing is durable, and a connection that breaks loses what is on its
//! way.
//!
//! Each process prints one line of JSON when it is ready, or done, and ends when its input does.

#[path = "../../src/clock.rs"]
#[expect(dead_code, reason = "only a part is needed here")]
mod clock;
mod counter;
mod receive;
#[path = "../../src/schedule.rs"]
mod schedule;
mod send;

use std::io::{Read, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

type Problem = Box<dyn std::error::Error + Send + Sync>;

/// The group that all receiving actors join, so that the other process can find them.
const GROUP: &str = "counters";
/// What both processes must know to be let in.
const COOKIE: &str = "benches";

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the actors.
    Receive(receive::Receive),
    /// Casts to them and calls them.
    Send(send::Send),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    // On a worker, as a service would: this thread is none.
    let line = match command {
        Command::Receive(receive) => runtime.block_on(runtime.spawn(receive.run()))??,
        Command::Send(send) => runtime.block_on(runtime.spawn(send.run()))??,
    };
    writeln!(std::io::stdout(), "{line}")?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
