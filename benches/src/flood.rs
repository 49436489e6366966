//! Sends as a client at its best does: without waiting for each message, with a bounded number of unacknowledged ones.

use std::collections::VecDeque;

use everpost::{ActorHandle, Handler, Node, Receipt};
use tokio::task::JoinSet;

use crate::actors::{Counts, Parcel, Tally, TallyOf};
use crate::problem::Problem;

/// How many messages may be unacknowledged over all producers.
pub(crate) const WINDOW: usize = 10_000;
/// How many tasks send.
pub(crate) const PRODUCERS: usize = 4;
/// A producer keeps the receipt of every so many messages: they are durable in the order of submission, and delivered
/// in nearly that order.
const STRIDE: usize = 50;

/// One actor that is sent to, and the number of its next message.
pub(crate) struct Target<A> {
    pub(crate) handle: ActorHandle<A>,
    pub(crate) next: u64,
}

impl<A> Target<A> {
    /// The message that is next, which is to be sent.
    pub(crate) fn next_parcel(&mut self) -> Parcel {
        self.next += 1;
        Parcel::new(self.next - 1)
    }
}

/// The actors `0` to `actors - 1` of a type, as they are now.
pub(crate) async fn targets<A: Counts>(node: &Node, actors: usize) -> Result<Vec<Target<A>>, Problem> {
    let mut targets = Vec::with_capacity(actors);
    for key in 0..actors {
        let handle = node.actor::<A>(&key.to_string());
        let Tally { parcels, .. } = handle.query(TallyOf).await?;
        targets.push(Target { handle, next: parcels });
    }
    Ok(targets)
}

/// Which receipt takes a message out of the window.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Until {
    /// It is durable here.
    Accepted,
    /// It is durable on the node of its actor.
    Delivered,
}

/// Sends `messages` in all, round robin, with `window` of them on their way at most; returns when the last is
/// submitted. Each actor has one producer, so its messages have one order.
pub(crate) async fn flood<A: Handler<Parcel>>(
    targets: Vec<Target<A>>,
    messages: u64,
    window: usize,
    until: Until,
) -> Result<Vec<Target<A>>, Problem> {
    let producers = PRODUCERS.min(targets.len());
    let mut shares: Vec<Vec<Target<A>>> = (0..producers).map(|_| Vec::new()).collect();
    for (index, target) in targets.into_iter().enumerate() {
        shares[index % producers].push(target);
    }
    let mut tasks = JoinSet::new();
    for (index, share) in shares.into_iter().enumerate() {
        let own = messages / producers as u64 + u64::from((index as u64) < messages % producers as u64);
        tasks.spawn(produce(share, own, window / producers, until));
    }
    let mut targets = Vec::new();
    while let Some(done) = tasks.join_next().await {
        targets.extend(done??);
    }
    Ok(targets)
}

async fn produce<A: Handler<Parcel>>(
    mut targets: Vec<Target<A>>,
    messages: u64,
    window: usize,
    until: Until,
) -> Result<Vec<Target<A>>, Problem> {
    let mut receipts: VecDeque<Receipt> = VecDeque::new();
    let mut sent = 0;
    'all: loop {
        for target in &mut targets {
            if sent == messages {
                break 'all;
            }
            let parcel = target.next_parcel();
            let receipt = target.handle.send(parcel).submit().await.map_err(Problem::new)?;
            sent += 1;
            if sent.is_multiple_of(STRIDE as u64) {
                receipts.push_back(receipt);
                if receipts.len() * STRIDE >= window
                    && let Some(oldest) = receipts.pop_front()
                {
                    match until {
                        Until::Accepted => oldest.accepted().await?,
                        Until::Delivered => oldest.delivered().await?,
                    }
                }
            }
        }
    }
    Ok(targets)
}

/// Sends with one task for each actor, which waits until its message is durable before it sends the next.
pub(crate) async fn send_one_by_one<A: Counts>(
    targets: Vec<Target<A>>,
    messages: u64,
) -> Result<Vec<Target<A>>, Problem> {
    let senders = targets.len() as u64;
    let mut tasks = JoinSet::new();
    for (index, mut target) in targets.into_iter().enumerate() {
        let own = messages / senders + u64::from((index as u64) < messages % senders);
        tasks.spawn(async move {
            for _ in 0..own {
                let parcel = target.next_parcel();
                target.handle.send(parcel).await.map_err(Problem::new)?;
            }
            Ok::<_, Problem>(target)
        });
    }
    let mut targets = Vec::new();
    while let Some(done) = tasks.join_next().await {
        targets.push(done??);
    }
    Ok(targets)
}

/// Whether every actor has got exactly what was sent to it, in order; an error if not.
pub(crate) async fn check<A: Counts>(targets: &[Target<A>]) -> Result<(), Problem> {
    for Target { handle, next } in targets {
        let got = handle.query(TallyOf).await?;
        let expected = Tally { parcels: *next, out_of_order: 0 };
        if got != expected {
            return Err(Problem::new(format!("{} has {got:?}, and was sent {expected:?}", handle.address())));
        }
    }
    Ok(())
}
