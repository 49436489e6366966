//! Messages that wait for actors that are paused, and what a message to others costs meanwhile.

use everpost::Node;

use crate::flood::WINDOW;
use crate::growth::load::Load;
use crate::growth::order::{Figures, Order, Telling};
use crate::growth::run::Run;
use crate::growth::subject::{Parked, Subject};
use crate::problem::Problem;
use crate::throughput::settle;

/// The backlog comes to be in the node that is measured: after a start its bodies would be in the store only.
pub(super) async fn measure(order: &Order, node: &Node) -> Result<Figures, Problem> {
    node.pause_type::<Parked>("its backlog is measured").await?;
    let telling = Telling::begin(node, "messages parked", order.amount, |statistics| statistics.waiting as u64);
    let backlog = Load { messages: order.amount, time: None, waiting_max: usize::MAX, ..order.load() };
    let parked = backlog.send::<Parked>(node).await?.total();
    settle(node).await?;
    drop(telling);

    let load = Load { waiting_max: usize::try_from(parked)? + WINDOW, ..order.load() };
    let run = Run::begin(node);
    let sent = load.send::<Subject>(node).await?;
    let figures = run.end(node, sent.total()).await?.figures()?;
    let waiting = node.statistics().waiting as u64;
    if waiting == parked {
        Ok(figures)
    } else {
        Err(Problem::new(format!("{waiting} messages wait, and {parked} were parked")))
    }
}
