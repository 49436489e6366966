//! Timers that are due long after the measurement.

use std::time::Duration;

use everpost::{ActorHandle, Node, Schedule};

use crate::growth::load::{one_by_one, share};
use crate::growth::order::{Order, Telling};
use crate::growth::subject::{PAYLOAD_BYTES, Push, Subject};
use crate::problem::Problem;
use crate::throughput::ACTORS;

/// When they are due, from now on.
const DELAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn prepare(order: &Order, node: &Node) -> Result<(), Problem> {
    let _telling = Telling::begin(node, "timers set", order.amount, |statistics| statistics.timers as u64);
    let timers: Vec<_> = (0..ACTORS as u64).map(|actor| share(order.amount, actor, ACTORS as u64)).collect();
    let setting = node.clone();
    one_by_one(&timers, None, move |actor, _| {
        let handle: ActorHandle<Subject> = setting.actor(&actor.to_string());
        // They are never due here, so they have no order either.
        async move {
            handle.schedule(Push::new(0, PAYLOAD_BYTES), Schedule::after(DELAY)).await.map(drop).map_err(Problem::new)
        }
    })
    .await?;
    let set = node.statistics().timers as u64;
    if set == order.amount {
        Ok(())
    } else {
        Err(Problem::new(format!("the node keeps {set} timers, and {} were set", order.amount)))
    }
}
