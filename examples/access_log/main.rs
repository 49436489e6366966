//! Counts the requests in an HTTP access log (Combined Log Format) with durable actors.
//!
//! ```text
//! cargo run --release --example access_log -- --input access.log --data-dir counted
//! ```
//!
//! ```text
//! file -> ingest/main -> visitor/<ip> -> page/<path> -> summary/all
//!              ^                                             |
//!              +------- how much of it has arrived ----------+
//! ```
//!
//! The ingest actor keeps its position in its state, every visitor and every page is an actor of its own, and each hop
//! is a durable message. So the program may be killed at any moment and started again with the same folder, any number
//! of times: the figures are those of one undisturbed run, and those that awk computes from the fields 1, 7 and 10. A
//! run after the end answers from the folder at once; when the file has grown, it counts what was appended.
//!
//! What a line must look like is said in `line.rs`. A line that does not parse is counted and logged. Exit codes: 0; 1 if
//! something failed on the way; 2 with one line on standard error if the file or the folder cannot be used.

mod ingest;
mod line;
#[cfg(test)]
mod line_tests;
mod log_file;
#[cfg(test)]
mod log_file_tests;
mod names;
mod page;
mod problem;
mod report;
mod screen;
mod summary;
mod visitor;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use everpost::Node;
use indicatif::ProgressBar;

use self::ingest::{AskHowFar, Begin, Ingest};
use self::log_file::LogFile;
use self::page::Page;
use self::problem::Problem;
use self::report::Report;
use self::summary::{AskTotals, Summary};
use self::visitor::Visitor;

/// Counts the requests in an HTTP access log with durable actors: kill it at any moment, start it again, and it goes on
/// where it was.
#[derive(Debug, Parser)]
struct Options {
    /// The access log, in the Combined Log Format.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The folder that keeps the position in the file and the figures so far; made when it is missing. One folder
    /// belongs to one log.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Where even standard error is closed, the exit code has to say it all.
            let _ = writeln!(io::stderr(), "access_log: {problem}");
            ExitCode::from(problem.exit_code)
        }
    }
}

async fn run(options: &Options) -> Result<(), Problem> {
    let log = Arc::new(LogFile::open(&options.input)?);
    let bar = screen::progress_bar(log.length());
    screen::init_logs(&bar);
    let node = start(&options.data_dir, &log).await?;
    let counted = count(&node, &log, &bar).await;
    bar.finish_and_clear();
    let stopped = node.stop().await;
    let report = counted?;
    stopped.map_err(Problem::failure)?;
    let out = io::stdout().lock();
    let written = if options.json { report.write_json(out) } else { report.write_table(out) };
    written.map_err(|error| Problem::failure(format!("the figures cannot be written: {error}")))
}

async fn start(data_dir: &Path, log: &Arc<LogFile>) -> Result<Node, Problem> {
    let ingest = Ingest::new(Arc::clone(log), rand::random());
    let node = Node::builder("access_log", data_dir).actor(ingest).actor(Visitor).actor(Page).actor(Summary);
    Ok(node.start().await?)
}

/// Counts what is new in the file, and asks for the figures when nothing is on its way any more.
async fn count(node: &Node, log: &LogFile, bar: &ProgressBar) -> Result<Report, Problem> {
    let ingest = node.actor::<Ingest>(Ingest::KEY);
    let before = ingest.query(AskHowFar).await.map_err(Problem::failure)?;
    log.recognise(&before.position)?;
    ingest.send(Begin).await.map_err(Problem::failure)?;
    drain(node, log, bar).await?;
    let how_far = ingest.query(AskHowFar).await.map_err(Problem::failure)?;
    let totals = node.actor::<Summary>(Summary::KEY).query(AskTotals).await.map_err(Problem::failure)?;
    let report = Report { totals, how_far };
    check(node, log, &report).await?;
    Ok(report)
}

async fn drain(node: &Node, log: &LogFile, bar: &ProgressBar) -> Result<(), Problem> {
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    let mut drained = std::pin::pin!(node.drained());
    loop {
        tokio::select! {
            drained = &mut drained => return drained.map_err(Problem::failure),
            _ = tick.tick() => bar.set_position(log.read()),
        }
    }
}

/// The figures are shown only if they are whole: every line read, every request arrived.
async fn check(node: &Node, log: &LogFile, report: &Report) -> Result<(), Problem> {
    let Report { totals, how_far } = report;
    let whole = how_far.position.offset == log.length() && totals.requests == how_far.accepted_lines;
    if whole {
        return Ok(());
    }
    let letters = node.dead_letters().await.map_err(Problem::failure)?;
    let newest =
        letters.last().map(|letter| format!("{} to {}: {}", letter.message, letter.address, letter.errors.join("; ")));
    Err(Problem::failure(format!(
        "only {} of {} bytes were read, and {} of {} requests counted; messages that were given up on: {}, the newest: {}",
        how_far.position.offset,
        log.length(),
        totals.requests,
        how_far.accepted_lines,
        letters.len(),
        newest.as_deref().unwrap_or("none"),
    )))
}
