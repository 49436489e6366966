//! Actors that have a state in the store and no activation: each message is to another one. A node keeps 10,000
//! activations in memory, so with more actors than that every message loads a state and ends another activation.

use everpost::Node;
use hdrhistogram::Histogram;

use crate::disk::quantile_us;
use crate::growth::bystander::Bystander;
use crate::growth::load::Load;
use crate::growth::order::{Figures, Order, Telling};
use crate::growth::quantity::Quantity;
use crate::growth::run::{Run, all_handled};
use crate::growth::subject::Subject;
use crate::problem::Problem;

/// Messages a second of the paced load: what a node bears that needs 80 us of two processors for each.
const RATE: u32 = 10_000;

/// Gives each actor a state, by one message to each.
pub(super) async fn prepare(order: &Order, node: &Node) -> Result<(), Problem> {
    let _telling = Telling::begin(node, "actors made", order.amount, |statistics| statistics.handled);
    let load = Load { actors: order.amount, messages: order.amount, time: None, ..order.load() };
    let sent = load.send::<Subject>(node).await?;
    all_handled(node, sent.total()).await
}

/// The bystander is asked while the node is idle, under a paced load, and under as much as the node takes, when all
/// actors that have work are in one line and the bystander is in it.
pub(super) async fn measure(order: &Order, node: &Node) -> Result<Figures, Problem> {
    let half = order.bounds.time / 2;
    let load = Load { actors: order.amount, ..order.load() };

    let bystander = Bystander::watch(node);
    tokio::time::sleep(half).await;
    let idle = bystander.end().await?;

    let before = load.one_to_each();
    let bystander = Bystander::watch(node);
    let sent = Load { before, time: Some(half), rate: Some(RATE), ..load }.send::<Subject>(node).await?;
    let paced = bystander.end().await?;
    all_handled(node, idle.len() + paced.len() + sent.total() - before.total()).await?;

    let run = Run::begin(node);
    let bystander = Bystander::watch(node);
    let sent_at_last = Load { before: sent, ..load }.send::<Subject>(node).await?;
    let full = bystander.end().await?;
    let cost = run.end(node, sent_at_last.total() - sent.total() + full.len()).await?;
    let mut figures = cost.figures()?;
    figures.extend(latencies(&idle, &paced, &full));
    Ok(figures)
}

fn latencies(idle: &Histogram<u64>, paced: &Histogram<u64>, full: &Histogram<u64>) -> Figures {
    let [idle_p99, p99, full_p99] = [idle, paced, full].map(|histogram| quantile_us(histogram, 0.99));
    vec![
        (Quantity::IdleP50, quantile_us(idle, 0.5)),
        (Quantity::IdleP99, idle_p99),
        (Quantity::P50, quantile_us(paced, 0.5)),
        (Quantity::P99, p99),
        (Quantity::P99ToIdle, p99 / idle_p99),
        (Quantity::FullP50, quantile_us(full, 0.5)),
        (Quantity::FullP99, full_p99),
        (Quantity::FullP99ToIdle, full_p99 / idle_p99),
    ]
}
