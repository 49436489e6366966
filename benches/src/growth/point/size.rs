//! How large messages and states are.

use everpost::{ActorHandle, Node};

use crate::growth::load::{Load, window};
use crate::growth::order::{Figures, Order};
use crate::growth::run::{Run, all_handled};
use crate::growth::subject::{Resize, Subject};
use crate::problem::Problem;
use crate::throughput::settle;

/// So many actors have states of the size; those of 1 MiB would fill the memory with more.
const WITH_STATE: u64 = 100;

pub(super) async fn of_message(order: &Order, node: &Node) -> Result<Figures, Problem> {
    let load = Load { payload_bytes: order.amount, waiting_max: window(order.amount), ..order.load() };
    let run = Run::begin(node);
    let sent = load.send::<Subject>(node).await?;
    run.end(node, sent.total()).await?.figures()
}

pub(super) async fn of_state(order: &Order, node: &Node) -> Result<Figures, Problem> {
    for key in 0..WITH_STATE {
        let handle: ActorHandle<Subject> = node.actor(&key.to_string());
        handle.ask(Resize { bytes: order.amount }).await?;
    }
    all_handled(node, WITH_STATE).await?;
    settle(node).await?;
    let load = Load { actors: WITH_STATE, waiting_max: window(order.amount), ..order.load() };
    let run = Run::begin(node);
    let sent = load.send::<Subject>(node).await?;
    run.end(node, sent.total()).await?.figures()
}
