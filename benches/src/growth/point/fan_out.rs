//! Turns that send many messages in one commit. Each turn is asked for, and counts as a message, as its sends do.

use everpost::{ActorHandle, Node};

use crate::clock::now;
use crate::flood::WINDOW;
use crate::growth::load::{hold_back, one_by_one, share};
use crate::growth::order::{Figures, Order};
use crate::growth::run::Run;
use crate::growth::subject::{Spread, Spreader};
use crate::problem::Problem;

/// How many turns may be on their way, each of another actor.
const ASKERS_MAX: u64 = 1_000;

pub(super) async fn measure(order: &Order, node: &Node) -> Result<Figures, Problem> {
    let sends = order.amount;
    let messages_of_turn = sends + 1;
    // As many messages may be on their way as with any load.
    let askers = (WINDOW as u64 / messages_of_turn).clamp(1, ASKERS_MAX);
    let turns: Vec<_> =
        (0..askers).map(|asker| share(order.bounds.messages / messages_of_turn, asker, askers).max(1)).collect();
    let run = Run::begin(node);
    let (asked, until) = (node.clone(), now() + order.bounds.time);
    let done = one_by_one(&turns, Some(until), move |asker, _| {
        let spreader: ActorHandle<Spreader> = asked.actor(&asker.to_string());
        let node = asked.clone();
        async move {
            hold_back(&node, WINDOW).await;
            spreader.ask(Spread { sends }).await?;
            Ok(())
        }
    })
    .await?;
    let turns: u64 = done.iter().sum();
    run.end(node, turns * messages_of_turn).await?.figures()
}
