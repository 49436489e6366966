//! Durable messages a second, from send to committed turn, and what one costs.

use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use everpost::{Node, StoreStatistics};

use crate::actors::{Committed, Counts, Pipelined};
use crate::clock::{now, per_second, processor_time};
use crate::flood::{Until, WINDOW, check, flood, send_one_by_one, targets};
use crate::problem::Problem;
use crate::samples::Samples;
use crate::written::Written;

/// How many actors share the messages, where they are many.
pub(crate) const ACTORS: usize = 1_000;

/// Within what time the tables must have what the journal has; they follow within seconds.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(60);

/// How many messages a run sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) flood: u64,
    pub(crate) one_by_one: u64,
}

/// What is sent to whom, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Run {
    /// To one actor that handles what is durable.
    #[value(name = "committed_1")]
    Committed1,
    /// To 1,000 such actors.
    #[value(name = "committed_1000")]
    Committed1000,
    /// To one actor that handles at once.
    #[value(name = "pipelined_1")]
    Pipelined1,
    /// To 1,000 such actors.
    #[value(name = "pipelined_1000")]
    Pipelined1000,
    /// As `committed_1000`, by 1,000 senders that each wait until a message is durable before they send the next.
    #[value(name = "committed_1000_send_await")]
    Committed1000SendAwait,
}

/// One run of each kind. The node stays the same in all rounds: its files have grown, and its actors are in memory.
pub(crate) async fn round(
    samples: &mut Samples,
    node: &Node,
    folder: &Path,
    runs: &[Run],
    load: Load,
) -> Result<(), Problem> {
    for &run in runs {
        match run {
            Run::Committed1 => measure::<Committed>(samples, node, folder, run, 1, load.flood).await?,
            Run::Committed1000 => measure::<Committed>(samples, node, folder, run, ACTORS, load.flood).await?,
            Run::Pipelined1 => measure::<Pipelined>(samples, node, folder, run, 1, load.flood).await?,
            Run::Pipelined1000 => measure::<Pipelined>(samples, node, folder, run, ACTORS, load.flood).await?,
            Run::Committed1000SendAwait => {
                measure::<Committed>(samples, node, folder, run, ACTORS, load.one_by_one).await?;
            }
        }
    }
    Ok(())
}

async fn measure<A: Counts>(
    samples: &mut Samples,
    node: &Node,
    folder: &Path,
    run: Run,
    actors: usize,
    messages: u64,
) -> Result<(), Problem> {
    settle(node).await?;
    let targets = targets::<A>(node, actors).await?;
    let before = Counters::read(node, folder)?;
    let start = now();
    let targets = match run {
        Run::Committed1000SendAwait => send_one_by_one(targets, messages).await?,
        _ => flood(targets, messages, WINDOW, Until::Accepted).await?,
    };
    node.drained().await?;
    let elapsed = start.elapsed();
    let after = Counters::read(node, folder)?;
    check(&targets).await?;
    settle(node).await?;
    let settled = Counters::read(node, folder)?;

    let value = run.to_possible_value().expect("no run is skipped");
    let name = value.get_name();
    let mut add = |figure: &str, unit, value| samples.add(format!("throughput.{name}{figure}"), unit, value);
    let each = |bytes: u64| bytes as f64 / messages as f64;
    add("", "messages/s", per_second(messages, elapsed));
    add(".processor", "us/message", (after.processor - before.processor).as_secs_f64() * 1e6 / messages as f64);
    // The tables are written behind: their share is in it, since it is read when they have caught up.
    let (written, written_before) = (settled.written, before.written);
    add(".write_calls", "bytes/message", each(written.by_calls - written_before.by_calls));
    add(".write_pages", "bytes/message", each(written.by_pages - written_before.by_pages));
    if let Some((device, device_before)) = written.by_device.zip(written_before.by_device) {
        add(".device", "bytes/message", each(device - device_before));
    }
    add(".journal", "bytes/message", each(settled.store.journal_bytes - before.store.journal_bytes));
    let groups = after.store.groups - before.store.groups;
    add(".groups", "commits/s", per_second(groups, elapsed));
    add(".group_messages", "messages/commit", messages as f64 / groups as f64);
    add(
        ".group_bytes",
        "bytes/commit",
        (after.store.journal_bytes - before.store.journal_bytes) as f64 / groups as f64,
    );
    Ok(())
}

struct Counters {
    processor: Duration,
    written: Written,
    store: StoreStatistics,
}

impl Counters {
    fn read(node: &Node, folder: &Path) -> Result<Self, Problem> {
        Ok(Self { processor: processor_time(), written: Written::read(folder)?, store: node.store_statistics() })
    }
}

/// Waits until the tables have everything, so that one run does not pay for the one before it.
pub(crate) async fn settle(node: &Node) -> Result<(), Problem> {
    let start = now();
    while node.store_statistics().overlay_bytes > 0 {
        if start.elapsed() > CHECKPOINT_TIMEOUT {
            return Err(Problem::new("the tables did not catch up with the journal within a minute"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
