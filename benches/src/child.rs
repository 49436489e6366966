//! Processes of their own, for what a process cannot measure about itself: a start after a kill, and memory.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use everpost::{Node, NodeConfig};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::actors::{Committed, Parcel, Waiting};
use crate::clock::now;
use crate::flood::{Target, Until, WINDOW, flood};
use crate::memory::Memory;
use crate::problem::Problem;
use crate::process::{Running, report, wait_for_the_end};
use crate::throughput::{ACTORS, settle};

/// What a child process does; it reports one line of JSON and then waits for its end.
#[derive(Debug, Args)]
pub(crate) struct ChildTask {
    #[arg(long)]
    task: Task,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long, default_value_t = 0)]
    messages: u64,
}

/// How many bytes of changes a node gathers before a checkpoint while it is filled: more than the last tenth of the
/// messages has, so that a kill finds a tail of the journal that a start must replay.
const CHECKPOINT_BYTES: usize = 64 << 20;

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Task {
    /// Sends messages that nobody handles; ends by being killed.
    Fill,
    /// The same in a node that keeps no bodies and little else in memory.
    FillBeyondWindow,
    /// Starts a node; ends cleanly when its input ends.
    Start,
}

/// What it costs to hold messages that wait in a node that runs; the tables had everything each time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filled {
    /// Before the first message.
    pub(crate) empty: Memory,
    /// With `step` messages: more than the window in memory holds.
    pub(crate) first: Memory,
    /// With twice as many.
    pub(crate) second: Memory,
    pub(crate) step: u64,
}

/// What a start took.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Started {
    /// Until the node could be used: the store open, the journal's tail applied, the index of what waits rebuilt.
    pub(crate) start_seconds: f64,
    /// From the beginning of the start until a first message was durable.
    pub(crate) first_send_seconds: f64,
    /// How many messages wait.
    pub(crate) waiting: usize,
    /// Before anything was woken: with the index of what waits, and what is overlaid until the tables have it.
    pub(crate) memory: Memory,
    pub(crate) overlay_bytes: u64,
}

impl ChildTask {
    /// Starts a process that does `task`.
    pub(crate) fn start(task: Task, folder: &Path, messages: u64) -> Result<Running, Problem> {
        let task = task.to_possible_value().expect("no task is skipped");
        let mut arguments = ["child", "--task", task.get_name(), "--folder"].map(OsString::from).to_vec();
        arguments.extend([folder.into(), "--messages".into(), messages.to_string().into()]);
        Running::start(&std::env::current_exe()?, &arguments)
    }

    pub(crate) fn run(self) -> Result<(), Problem> {
        match self.task {
            Task::Fill => {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
                let mut config = NodeConfig::default();
                config.store.checkpoint_bytes = CHECKPOINT_BYTES;
                runtime.block_on(fill(&self.folder, self.messages, config))
            }
            Task::FillBeyondWindow => {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
                runtime.block_on(fill(&self.folder, self.messages, small()))
            }
            Task::Start => {
                // One thread, so that nothing runs between the end of the start and the look at the memory.
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
                runtime.block_on(start(&self.folder))
            }
        }
    }
}

async fn open(folder: &Path, config: NodeConfig) -> Result<Node, Problem> {
    let gate = Arc::new(Semaphore::new(0));
    Ok(Node::builder("child", folder).config(config).actor(Waiting(gate)).actor(Committed).start().await?)
}

/// A node with no bodies and little else in memory, so that what a message costs is not lost in what the store keeps
/// for the next burst.
fn small() -> NodeConfig {
    let mut config = NodeConfig { window_bytes_max: 0, ..NodeConfig::default() };
    config.store.queue_turns_max = 1_024;
    config.store.checkpoint_bytes = 1 << 20;
    config.store.checkpoint_age = Duration::from_millis(50);
    config.store.overlay_bytes_max = 4 << 20;
    config
}

async fn fill(folder: &Path, messages: u64, config: NodeConfig) -> Result<(), Problem> {
    let node = open(folder, config).await?;
    let actors = (0..ACTORS).map(|key| node.actor::<Waiting>(&key.to_string()));
    let mut targets: Vec<_> = actors.map(|handle| Target { handle, next: 0 }).collect();
    let empty = Memory::resident()?;
    let step = messages / 20 * 9;
    let mut settled = Vec::new();
    for _ in 0..2 {
        targets = send(targets, step).await?;
        settle(&node).await?;
        settled.push(Memory::resident()?);
    }
    // The tables are not waited for after the rest, so that a kill finds a tail of the journal that a start must
    // replay.
    send(targets, messages - 2 * step).await?;
    report(&Filled { empty, first: settled[0], second: settled[1], step })?;
    wait_for_the_end()
}

/// Sends, and returns when everything is durable.
async fn send(targets: Vec<Target<Waiting>>, messages: u64) -> Result<Vec<Target<Waiting>>, Problem> {
    let mut targets = flood(targets, messages - ACTORS as u64, WINDOW, Until::Accepted).await?;
    // The last message to each actor, and with it all before it.
    for target in &mut targets {
        let parcel = target.next_parcel();
        target.handle.send(parcel).await.map_err(Problem::new)?;
    }
    Ok(targets)
}

async fn start(folder: &Path) -> Result<(), Problem> {
    let begun = now();
    // The handlers never end by themselves; there is no use in waiting for them at the stop.
    let config = NodeConfig { stop_timeout: Duration::from_millis(100), ..NodeConfig::default() };
    let node = open(folder, config).await?;
    let start_seconds = begun.elapsed().as_secs_f64();
    let memory = Memory::resident()?;
    let overlay_bytes = node.store_statistics().overlay_bytes;
    let waiting = node.statistics().waiting;
    let reading = begun.elapsed().as_secs_f64() - start_seconds;
    let first = node.actor::<Committed>("first");
    first.send(Parcel::new(0)).await.map_err(Problem::new)?;
    let first_send_seconds = begun.elapsed().as_secs_f64() - reading;
    // The next start is to find what this one found: its own messages are handled before it ends.
    first.ask(Parcel::new(1)).await?;
    report(&Started { start_seconds, first_send_seconds, waiting, memory, overlay_bytes })?;
    tokio::task::spawn_blocking(wait_for_the_end).await??;
    // Handlers that wait for ever are cut off, which is no failure of their messages.
    match node.stop().await {
        Ok(()) | Err(everpost::StopError::CutOff(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
