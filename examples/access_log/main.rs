//! Counts the requests in an HTTP access log (Combined Log Format) with durable actors, on one node or on several.
//!
//! ```text
//! cargo run --release --example access_log -- --input access.log --data-dir counted
//! ```
//!
//! ```text
//! file -> ingest -> visitor/<ip> -> page/<path> -> total/all
//!           ^                                          |
//!           +------- how much of it has arrived -------+
//! ```
//!
//! An ingest actor keeps its position in its state, every visitor and every page is an actor of its own, and each hop
//! is a durable message. So the program may be killed at any moment and started again with the same folder, any number
//! of times: the figures are those of one undisturbed run, and those that awk computes from the fields 1, 7 and 10. A
//! run after the end answers from the folder at once; when the file has grown, it counts what was appended.
//!
//! # On several nodes
//!
//! ```text
//! cargo run -p everpost-cli -- init --nodes east,west --dir nodes
//! cargo run --release --example access_log -- --config nodes/west.toml
//! cargo run --release --example access_log -- --config nodes/east.toml --input access.log
//! ```
//!
//! The first process serves until it is interrupted; the second one reads the file and ends when the total has counted
//! every request of it. Visitors, pages and the total are spread over the nodes, so all of them have to run. In which
//! order they start, and how often any of them is killed and started again, changes nothing but the time it takes.
//!
//! Each node may read a log of its own. There is one total: the figures are those of all logs together, and the program
//! ends when they hold all of its own log, and what has arrived of the others. Its node ends with it, and is missed by
//! those that still count: start it again without `--input`, so that it serves.
//!
//! What a line must look like is said in `line.rs`. A line that does not parse is counted and logged. Exit codes: 0; 1
//! if something failed on the way; 2 with one line on standard error if the files, the folder or the port cannot be
//! used; 130 if it was interrupted before the log was counted.

mod count;
mod ingest;
mod line;
#[cfg(test)]
mod line_tests;
mod log_file;
#[cfg(test)]
mod log_file_tests;
mod names;
mod page;
mod report;
mod screen;
mod site;
mod total;
mod visitor;
mod waiting;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use everpost::Node;
use everpost_examples::{Interrupt, Problem};

use self::count::count;
use self::ingest::Ingest;
use self::log_file::LogFile;
use self::report::Report;
use self::screen::Screen;
use self::site::Site;

/// Counts the requests in an HTTP access log with durable actors: kill it at any moment, start it again, and it goes on
/// where it was.
#[derive(Debug, Parser)]
#[command(override_usage = "\
access_log --input FILE --data-dir DIR [--json]
       access_log --config FILE [--input FILE [--json]]")]
struct Options {
    /// The access log, in the Combined Log Format. A node that has none serves until it is interrupted.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    input: Option<PathBuf>,
    /// The folder that keeps the position in the file and the figures so far; made when it is missing. One folder
    /// belongs to one log.
    #[arg(long, value_name = "DIR", required_unless_present = "config", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    /// The file of a node: counts together with its peers. `everpost init` makes such files.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints one JSON object instead of a table.
    #[arg(long, requires = "input")]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Where even standard error is closed, the exit code has to say it all.
            let _ = writeln!(io::stderr(), "access_log: {problem}");
            ExitCode::from(problem.exit_code)
        }
    }
}

async fn run(options: Options) -> Result<(), Problem> {
    let Options { input, data_dir, config, json } = options;
    let log = input.map(|input| LogFile::open(&input)).transpose()?.map(Arc::new);
    let site = match (config, data_dir) {
        (Some(config), _) => Site::of_node(&config)?,
        (None, Some(data_dir)) => Site::Alone(data_dir),
        (None, None) => return Err(Problem::usage("neither --config nor --data-dir is given")),
    };
    match log {
        Some(log) => {
            let report = ingest(site, log).await?;
            let out = io::stdout().lock();
            let written = if json { report.write_json(out) } else { report.write_table(out) };
            written.map_err(|error| Problem::failure(format!("the figures cannot be written: {error}")))
        }
        None => serve(site).await,
    }
}

/// Counts a log, with the help of the other nodes if there are any.
async fn ingest(site: Site, log: Arc<LogFile>) -> Result<Report, Problem> {
    let screen = Screen::of_counting(log.length());
    screen.init_logs(site.log_settings(), "warn")?;
    let mut interrupt = Interrupt::new()?;
    let peers = site.peers();
    let node = site.start(Ingest::new(Some(Arc::clone(&log)), rand::random())).await?;
    let counted = tokio::select! {
        biased;
        failure = node.failed() => Err(Problem::failure(failure)),
        () = interrupt.received() => Err(Problem::interrupted()),
        counted = count(&node, peers, &log, &screen) => counted,
    };
    screen.bar.finish_and_clear();
    stop(&node, counted).await
}

/// Lends the node to those that count, until a signal comes.
async fn serve(site: Site) -> Result<(), Problem> {
    Screen::of_serving().init_logs(site.log_settings(), "warn,everpost::link=info")?;
    let mut interrupt = Interrupt::new()?;
    let node = site.start(Ingest::new(None, rand::random())).await?;
    if let Some(address) = node.local_address() {
        // Where standard output is closed, nobody looks.
        let _ = writeln!(io::stdout(), "{} listens on {address}", node.name());
    }
    let served = tokio::select! {
        () = interrupt.received() => Ok(()),
        failure = node.failed() => Err(Problem::failure(failure)),
    };
    stop(&node, served).await
}

/// Stops the node in order. What happened before is told rather than what happens now.
async fn stop<T>(node: &Node, outcome: Result<T, Problem>) -> Result<T, Problem> {
    let stopped = node.stop().await;
    let outcome = outcome?;
    stopped.map_err(Problem::failure)?;
    Ok(outcome)
}
