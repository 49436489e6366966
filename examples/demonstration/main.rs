//! The demonstration: money moves between durable actors while their process is killed, and none is lost.
//!
//! ```text
//! cargo run --release
//! cargo run --release -- --help
//! ```
//!
//! ```text
//! parent: counts, kills, judges  --commands-->  child: a node    teller/main -> account/<from> -> account/<to>
//!                                <--reports---
//! ```
//!
//! The parent holds no store and the child keeps no count of its own: what was acknowledged is known outside of the
//! process that is killed, and what happened is read from the store by a process that was not there.

mod bank;
mod child;
mod course;
mod interrupt;
mod judge;
mod options;
mod outcome;
mod problem;
mod process;
mod protocol;
mod transfer;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::options::Options;
use crate::problem::Problem;
use crate::process::Launcher;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.as_child { be_child(&options) } else { be_parent(&options) }
}

fn be_child(Options { data_dir, plant, .. }: &Options) -> ExitCode {
    let data_dir = data_dir.as_deref().expect("clap requires it");
    let ended = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(child::run(data_dir, *plant)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn be_parent(options: &Options) -> ExitCode {
    match demonstrate(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            say(format_args!("demonstration: {problem}"));
            ExitCode::from(problem.exit_code())
        }
    }
}

/// Whether all is well.
fn demonstrate(options: &Options) -> Result<bool, Problem> {
    let failed = |error| Problem::surroundings("no temporary folder can be made", error);
    let mut temporary = tempfile::Builder::new();
    temporary.prefix("everpost-demonstration-");
    // Held to the end: it is removed when it is dropped, however this function ends.
    let temporary = if options.data_dir.is_none() { Some(temporary.tempdir().map_err(failed)?) } else { None };
    let made = || temporary.as_ref().map(tempfile::TempDir::path);
    let data_dir = options.data_dir.as_deref().or_else(made).expect("it is one or the other");
    let launcher = Launcher::new(data_dir, options.plant);
    let watching = interrupt::watch(launcher.cause.clone());
    watching.map_err(|error| Problem::surroundings("signals cannot be watched", error))?;
    let outcome = course::run(options, &launcher)?;
    let out = io::stdout().lock();
    let written = if options.json { outcome.write_json(out) } else { outcome.write_table(out) };
    written.map_err(|error| Problem::surroundings("the outcome cannot be written", error))?;
    for breach in &outcome.breaches {
        say(format_args!("demonstration: {breach}"));
    }
    if !outcome.breaches.is_empty() {
        say(format_args!("demonstration: this must not happen; it was run with --seed {}", options.seed));
    }
    Ok(outcome.breaches.is_empty())
}

/// Where even standard error is closed, the exit code has to say it all.
fn say(message: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{message}");
}
