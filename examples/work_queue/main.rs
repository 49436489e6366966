//! Workers compete for the jobs of a durable queue, with manual acknowledgement. They die and hang all the time, and
//! every job is done once.
//!
//! ```text
//! cargo run --release --example work_queue -- --data-dir jobs
//! ```
//!
//! ```text
//! main --submit--> queue/main --job, held--> worker 0..n
//!                      ^                        |
//!                      +--- done, with the ack -+
//! ```
//!
//! What happens exactly once: that a job gets into the queue (the turn that submits jobs also notes how many there
//! are), and that its outcome is counted (it is part of the commit of the acknowledgement). What happens at least once:
//! the work itself. A worker that dies, or hangs for too long, gives its job back, and another one does it again.
//!
//! Kill the program at any moment and start it again with the same folder: it goes on where it was, and the figures are
//! those of one undisturbed run. When all is done it reports what is there; with a larger `--jobs` it goes on from
//! there.
//!
//! Exit codes: 0; 1 if something failed on the way; 2 with one line on standard error if the folder cannot be used; 130
//! if it was interrupted before all jobs were done.

mod job;
mod queue;
mod report;
mod worker;

use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use everpost::{ActorHandle, Backoff, Node, NodeConfig, Supervised};
use everpost_examples::{Interrupt, Problem};
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use self::queue::{AskTally, Queue, Submit, Tally};
use self::report::Report;
use self::worker::Temper;

/// How often the program looks how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Workers that die are no reason to give up on a job. At most every second attempt ends so, and a job that fails so
/// often by chance does not occur.
const ATTEMPTS_MAX: u32 = 64;

/// Lets unreliable workers compete for the jobs of a durable queue: kill the program too, at any moment, start it
/// again, and it goes on where it was. Each job is counted once.
#[derive(Debug, Parser)]
#[command(name = "work_queue")]
struct Options {
    /// The folder that keeps the jobs and what came of them; made when it is missing.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// How many jobs there are to be in the folder, those of earlier runs included.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    jobs: u64,
    /// How many workers compete for them.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(Queue::WORKERS_MAX))
    )]
    workers: u16,
    /// How hard a job is: so many zero bits have to be found. One more doubles the work.
    #[arg(long, value_name = "BITS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(0..=24))]
    hardness: u32,
    /// In which part of all attempts the worker dies in the middle of the work, from 0 to 0.4.
    #[arg(long, value_name = "PART", default_value_t = 0.2, value_parser = part)]
    dying: f64,
    /// In which part of all attempts the worker hangs, for two seconds, and is late then; from 0 to 0.4.
    #[arg(long, value_name = "PART", default_value_t = 0.001, value_parser = part)]
    hanging: f64,
    /// Decides which attempts these are.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if (0.0..=0.4).contains(&part) { Ok(part) } else { Err(format!("{part} is not in 0..=0.4")) }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Where even standard error is closed, the exit code has to say it all.
            let _ = writeln!(io::stderr(), "work_queue: {problem}");
            ExitCode::from(problem.exit_code)
        }
    }
}

async fn run(options: Options) -> Result<(), Problem> {
    let bar = everpost_examples::bar(options.jobs, "jobs");
    let mut interrupt = Interrupt::new()?;
    let (desk, delivered) = mpsc::channel(1);
    let backoff = Backoff { first: Duration::from_millis(20), cap: Duration::from_millis(500) };
    let config = NodeConfig { attempts_max: ATTEMPTS_MAX, backoff, ..NodeConfig::default() };
    let node = Node::builder("main", &options.data_dir).actor(Queue { desk }).config(config).start().await?;
    let Options { seed, dying, hanging, .. } = options;
    let workers = node.supervise(worker::group(options.workers, delivered, Temper { seed, dying, hanging })).await;
    let workers = workers.map_err(Problem::failure)?;
    let done = tokio::select! {
        biased;
        failure = node.failed() => Err(Problem::failure(failure)),
        () = interrupt.received() => Err(Problem::interrupted()),
        done = all_done(&node, &workers, &options, &bar) => done,
    };
    bar.finish_and_clear();
    // What happened before is told rather than what happens now.
    let stopped = node.stop().await;
    let report = Report(done?);
    stopped.map_err(Problem::failure)?;
    let out = io::stdout().lock();
    let written = if options.json { report.write_json(out) } else { report.write_table(out) };
    written.map_err(|error| Problem::failure(format!("the figures cannot be written: {error}")))
}

/// Submits what is missing, and waits until every job is done.
async fn all_done(node: &Node, workers: &Supervised, options: &Options, bar: &ProgressBar) -> Result<Tally, Problem> {
    let queue = node.actor::<Queue>(Queue::KEY);
    let submit = Submit { jobs: options.jobs, zero_bits: options.hardness };
    queue.send(submit).await.map_err(Problem::failure)?;
    let mut drained = pin!(node.drained());
    let mut ended = pin!(workers.ended());
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            drained = &mut drained => {
                drained.map_err(Problem::failure)?;
                break;
            }
            ended = &mut ended => {
                ended.map_err(Problem::failure)?;
                return Err(Problem::failure("the workers have left"));
            }
            _ = tick.tick() => {
                let tally = tally(&queue).await?;
                bar.set_length(tally.submitted.max(options.jobs));
                bar.set_position(tally.done);
            }
        }
    }
    let tally = tally(&queue).await?;
    if tally.done == tally.submitted { Ok(tally) } else { Err(given_up(node, &tally).await) }
}

async fn tally(queue: &ActorHandle<Queue>) -> Result<Tally, Problem> {
    queue.query(AskTally).await.map_err(Problem::failure)
}

/// Why jobs are missing although nothing is left to be done.
async fn given_up(node: &Node, tally: &Tally) -> Problem {
    let letters = match node.dead_letters().list().await {
        Ok(letters) => letters,
        Err(error) => return Problem::failure(error),
    };
    let newest = letters.last().map(|letter| letter.errors.join("; "));
    Problem::failure(format!(
        "{} of {} jobs are done; messages that were given up on: {}, the newest: {}",
        tally.done,
        tally.submitted,
        letters.len(),
        newest.as_deref().unwrap_or("none"),
    ))
}
