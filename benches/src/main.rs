//! Measurements of Everpost and of the machine under it: `cargo run --release -p everpost-benches -- local --json`.
//!
//! What each figure means is in `docs/BENCHMARKS.md`. Every figure is measured at least three times, in rounds that go
//! through all measurements in turn, so that a drift of the machine hits all alike; the first round is not counted.
//! A run in which a message is lost, repeated or reordered is an error, not a figure.

mod actors;
mod aim;
mod child;
mod clock;
mod disk;
mod flood;
mod growth;
mod latency;
mod limits;
mod local;
mod machine;
mod memory;
mod problem;
mod process;
mod recovery;
mod remote;
mod report;
mod samples;
mod schedule;
mod throughput;
mod written;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::child::ChildTask;
use crate::growth::Growth;
use crate::local::Local;
use crate::remote::{Member, Remote};

/// Measures Everpost on this machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures one node: throughput, latency, recovery, and the limits of what is under it.
    Local(Local),
    /// Measures two nodes, in two processes on loopback, and `ractor_cluster` beside them.
    Remote(Remote),
    /// Measures how the cost of a message grows with the number and size of what is there.
    Growth(Growth),
    /// A part of a measurement that needs a process of its own; started by the others.
    #[command(hide = true)]
    Child(ChildTask),
    /// One of the two nodes; started by `remote`.
    #[command(hide = true)]
    Member(Member),
    /// One point of a series; started by `growth`.
    #[command(hide = true)]
    Point,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Local(local) => local.measure(),
        Command::Remote(remote) => remote.measure(),
        Command::Growth(growth) => growth.measure(),
        Command::Child(task) => task.run(),
        Command::Member(member) => member.run(),
        Command::Point => growth::obey(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Nobody is left to tell when stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {problem}");
            ExitCode::FAILURE
        }
    }
}
