//! Idempotency keys that are kept, and asks beside them: first under new keys, then again under the same ones.

use std::time::Instant;

use everpost::{ActorHandle, Node};

use crate::clock::now;
use crate::growth::load::{one_by_one, share};
use crate::growth::order::{Figures, Order, Telling};
use crate::growth::quantity::Quantity;
use crate::growth::run::{Run, all_handled};
use crate::growth::subject::{PAYLOAD_BYTES, Push, Subject};
use crate::problem::Problem;
use crate::throughput::ACTORS;

/// How many keys each actor has at the beginning.
fn kept(order: &Order) -> u64 {
    order.amount / ACTORS as u64
}

/// Each actor has a task that asks it.
fn shares(pieces: u64) -> Vec<u64> {
    (0..ACTORS as u64).map(|actor| share(pieces, actor, ACTORS as u64)).collect()
}

pub(super) async fn prepare(order: &Order, node: &Node) -> Result<(), Problem> {
    let _telling = Telling::begin(node, "keys used", order.amount, |statistics| statistics.handled);
    ask(node, 0, &shares(order.amount), None).await?;
    all_handled(node, order.amount).await
}

pub(super) async fn measure(order: &Order, node: &Node) -> Result<Figures, Problem> {
    let asks = shares(order.bounds.messages);
    let run = Run::begin(node);
    let until = now() + order.bounds.time;
    let asked = ask(node, kept(order), &asks, Some(until)).await?;
    let new = run.end(node, asked.iter().sum()).await?;
    let run = Run::begin(node);
    let until = now() + order.bounds.time;
    let again = ask(node, kept(order), &asked, Some(until)).await?;
    let known = run.end(node, again.iter().sum()).await?;

    let mut figures = new.figures()?;
    figures.extend([
        (Quantity::KnownProcessor, known.processor_us()),
        (Quantity::KnownRate, known.rate()),
        (Quantity::KnownToNew, known.processor_us() / new.processor_us()),
    ]);
    Ok(figures)
}

/// Asks each actor under so many keys, one after the other, from the `first` on: a key is known if it was used before,
/// and gets the same reply then.
async fn ask(node: &Node, first: u64, asks: &[u64], until: Option<Instant>) -> Result<Vec<u64>, Problem> {
    let node = node.clone();
    one_by_one(asks, until, move |actor, asked| {
        let handle: ActorHandle<Subject> = node.actor(&actor.to_string());
        let number = first + asked;
        async move {
            let ask = handle.ask(Push::new(number, PAYLOAD_BYTES));
            let reply = ask.idempotency_key(&format!("order-{actor}-{number}")).await?;
            if reply == number + 1 {
                Ok(())
            } else {
                Err(Problem::new(format!("the reply under key {number} of actor {actor} was {reply}")))
            }
        }
    })
    .await
}
