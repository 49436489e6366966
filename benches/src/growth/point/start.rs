//! A start that finds many mailboxes with messages.

use everpost::{ActorHandle, Node};
use tokio::runtime::Builder;

use super::runtime;
use crate::clock::{now, processor_time};
use crate::growth::load::Load;
use crate::growth::order::{Figures, Order, Telling};
use crate::growth::quantity::Quantity;
use crate::growth::run::{Cost, all_handled};
use crate::growth::subject::{NextNumber, Subject};
use crate::memory::Memory;
use crate::problem::Problem;
use crate::throughput::settle;

/// How many actors are asked how many messages they have handled.
const ASKED_MAX: u64 = 1_000;

/// What a start found, before anything was handled.
struct Found {
    seconds: f64,
    memory: Memory,
}

/// Fills the mailboxes while their actors are paused. They go on right before the stop, which lets only turns that run
/// finish: what the start finds waits for nothing.
pub(super) async fn prepare(order: &Order, node: &Node) -> Result<(), Problem> {
    let messages = order.messages_at_start;
    let _telling = Telling::begin(node, "messages sent", messages, |statistics| statistics.waiting as u64);
    node.pause_type::<Subject>("its mailboxes are filled").await?;
    let load = Load { actors: order.amount, messages, time: None, waiting_max: usize::MAX, ..order.load() };
    load.send::<Subject>(node).await?;
    settle(node).await?;
    Ok(node.resume_type::<Subject>().await?)
}

pub(super) fn measure(order: &Order) -> Result<Figures, Problem> {
    let empty = look(&Order { folder: order.folder.with_file_name("empty"), ..order.clone() })?;
    let found = look(order)?;
    let memory = found.memory.anonymous_bytes as f64 - empty.memory.anonymous_bytes as f64;
    let mut figures = vec![(Quantity::Started, found.seconds), (Quantity::MailboxMemory, memory / order.amount as f64)];
    let runtime = runtime()?;
    let order = order.clone();
    let (handled_seconds, cost) = runtime.block_on(runtime.spawn(async move { handle(&order).await }))??;
    figures.push((Quantity::Handled, handled_seconds));
    figures.extend(cost.figures()?);
    Ok(figures)
}

/// Starts the node and looks at its memory. On one thread, so that nothing is handled meanwhile.
fn look(order: &Order) -> Result<Found, Problem> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let begun = now();
        let node = order.open().await?;
        let seconds = begun.elapsed().as_secs_f64();
        let memory = Memory::resident()?;
        node.stop().await?;
        Ok(Found { seconds, memory })
    })
}

/// Starts the node and lets it handle everything: how long that takes from the beginning of the start, and what it
/// costs.
async fn handle(order: &Order) -> Result<(f64, Cost), Problem> {
    let (begun, before) = (now(), processor_time());
    let node = order.open().await?;
    let found = node.statistics().replayed;
    let telling = Telling::begin(&node, "messages handled", found, |statistics| statistics.handled);
    all_handled(&node, found).await?;
    let elapsed = begun.elapsed();
    settle(&node).await?;
    let cost = Cost::new(processor_time() - before, elapsed, found);
    drop(telling);
    check(order, &node).await?;
    node.stop().await?;
    Ok((elapsed.as_secs_f64(), cost))
}

/// Whether actors have handled what was sent to them, over all starts.
async fn check(order: &Order, node: &Node) -> Result<(), Problem> {
    for key in 0..order.amount.min(ASKED_MAX) {
        let handle: ActorHandle<Subject> = node.actor(&key.to_string());
        let handled = handle.query(NextNumber).await?;
        let sent = order.messages_at_start / order.amount;
        if handled != sent {
            return Err(Problem::new(format!("{} has handled {handled} messages of {sent}", handle.address())));
        }
    }
    Ok(())
}
