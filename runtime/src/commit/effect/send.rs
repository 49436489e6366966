//! A message on its way: into a mailbox of this node, or into the outbox. Its position, its place in the store's queue
//! and what its receiver sees are decided together, so that a send that is cancelled leaves no hole.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Position, Stage};
use tokio::sync::oneshot;

use super::Phases;
use super::ask::Ask;
use crate::cluster::flags;
use crate::cluster::{Awaited, Departure, OutboxFull};
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::mailbox::waiter::Waiter;
use crate::mailbox::{Mailbox, Queue};
use crate::message::delivery::Delivery;
use crate::message::envelope::{id_of, request_of};
use crate::message::expiry::Handling;
use crate::message::outcome::Outcome;
use crate::shard::asks::Asking;
use crate::shard::expiring;
use crate::shard::senders::{Full, WaitingSender};
use crate::shard::{Release, Remote, Route, Shard};

/// One message. From outside it may be refused for want of room; from a turn or the node itself it never is, or two
/// actors that send to each other's full mailbox would wait for ever.
pub(crate) struct Send<'a> {
    pub(crate) route: &'a Route,
    pub(crate) envelope: Bytes,
    handling: Handling,
    /// Who waits for what becomes of it.
    told: Option<oneshot::Sender<Outcome>>,
    /// That it is the ask of a turn of this node.
    ask: Option<Box<Ask<'a>>>,
    position: Position,
}

impl<'a> Send<'a> {
    pub(crate) fn new(route: &'a Route, handling: Handling, envelope: Bytes) -> Self {
        Self { route, envelope, handling, told: None, ask: None, position: Position(0) }
    }

    /// Whoever this is wants to know what becomes of it, with the reply.
    pub(crate) fn told(mut self, waiter: oneshot::Sender<Outcome>) -> Self {
        self.told = Some(waiter);
        self
    }

    /// It is the ask of a turn.
    pub(crate) fn asking(mut self, asking: Asking<'a>) -> Self {
        self.ask = Some(Box::new(Ask::new(asking)));
        self
    }
}

impl<'a> Phases<'a> for Send<'a> {
    #[inline]
    fn size(&self, size: &mut Size) {
        size.put(self.envelope.len());
        if let Some(ask) = &self.ask {
            size.put(ask.bytes_max());
        }
    }

    #[inline]
    fn locks(&self, wanted: &mut Wanted<'a>) {
        lock(self.route, wanted);
    }

    #[inline]
    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        match self.route {
            Route::Local(mailbox) => is_admitted(step, mailbox, self.envelope.len()),
            Route::Remote(remote) => is_admitted_to_outbox(step, remote),
        }
    }

    #[inline]
    fn take(&mut self, step: &mut Step<'_, 'a>) {
        // One from outside was counted when it was admitted.
        if let (Route::Local(_), None) = (self.route, &step.waits) {
            step.shard.add_waiting(1);
        }
        if let Some(ask) = &mut self.ask {
            ask.take(step);
        }
    }

    #[inline]
    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.position = self.route.stage(stage, self.envelope.clone());
        if let Some(ask) = &mut self.ask {
            ask.stage(stage, self.position);
        }
    }

    #[inline]
    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { route, envelope, handling, told, ask, position } = self;
        step.position = position;
        match route {
            Route::Local(mailbox) => {
                if let Some(told) = told {
                    let is_over = step.shard.gate.is_over();
                    step.mailbox(mailbox).add_waiter(is_over, position, Waiter::Here { told, reply: true });
                }
                if let Some(ask) = ask {
                    ask.waits_in(step, mailbox, position);
                }
                place(step, mailbox, position, handling, envelope);
            }
            Route::Remote(remote) => {
                if let Some(ask) = ask {
                    ask.left(step);
                }
                let flags = flags_of(&envelope, told.is_some());
                if let Some((id, waiter)) = id_of(&envelope).zip(told) {
                    let Remote { peer, lane, address } = remote;
                    let awaited = Awaited { waiter, address: address.clone(), lane: *lane, position, reply: true };
                    peer.pending.wait(id, awaited);
                }
                depart(step, remote, position, handling, flags, envelope);
            }
        }
        if let Some(sender) = step.passed.take() {
            enter(step.shard, sender);
        }
    }
}

/// What a route has to have locked.
pub(super) fn lock<'a>(route: &'a Route, wanted: &mut Wanted<'a>) {
    match route {
        Route::Local(mailbox) => wanted.mailboxes.push(mailbox),
        Route::Remote(remote) => wanted.peers.push(&remote.peer),
    }
}

/// Makes a submitted message visible to its receiver, or to the link to it.
pub(super) fn deliver<'a>(
    step: &mut Step<'_, 'a>,
    route: &'a Route,
    position: Position,
    handling: Handling,
    envelope: Bytes,
) {
    match route {
        Route::Local(mailbox) => place(step, mailbox, position, handling, envelope),
        Route::Remote(remote) => {
            let flags = flags_of(&envelope, false);
            depart(step, remote, position, handling, flags, envelope);
        }
    }
}

/// Makes a submitted message visible in its mailbox: at once, or when it is durable.
#[inline]
pub(super) fn place<'a>(
    step: &mut Step<'_, 'a>,
    mailbox: &'a Arc<Mailbox>,
    position: Position,
    handling: Handling,
    envelope: Bytes,
) {
    let (shard, inner) = (step.shard, step.mailbox(mailbox));
    let Handling { priority, expires } = handling;
    let bytes = envelope.len();
    if let Some(expires) = expires {
        shard.expiries.add_waiting(mailbox, position, expires, &envelope);
    }
    let queue = Queue { priority, is_for_holds: mailbox.actor_type.holds_what_is_in(&envelope) };
    let own = inner.amount().bytes + bytes;
    let keeps = !inner.rests(mailbox, || shard.clock.steady()) && shard.window_keeps(bytes, own);
    let kept = inner.enqueue(position, queue, envelope, keeps);
    let counted = if kept { &shard.load.window_bytes } else { &shard.load.beyond_bytes };
    counted.add(bytes);
    if mailbox.actor_type.delivery == Delivery::Pipelined && !shard.quarantine.is_active() {
        inner.ring(mailbox);
    } else if inner.gate() {
        step.release(position, Release::Ring(Arc::clone(mailbox)));
    }
}

/// Makes a submitted message known to the link: it leaves when it is durable.
#[inline]
fn depart<'a>(
    step: &mut Step<'_, 'a>,
    remote: &'a Remote,
    position: Position,
    handling: Handling,
    flags: u8,
    envelope: Bytes,
) {
    let Remote { peer, lane, .. } = remote;
    let (shard, outgoing) = (step.shard, step.outgoing(peer));
    if let Some(expires) = handling.expires {
        expiring::expires_outward(shard, outgoing, peer, *lane, position, expires, &envelope);
    }
    outgoing.push(Departure { lane: *lane, position, flags, envelope });
    ring_departures(step, peer, position);
}

/// Rings the link, if there is one, when `position` is durable.
pub(super) fn ring_departures<'a>(step: &mut Step<'_, 'a>, peer: &'a Arc<crate::cluster::Peer>, position: Position) {
    let outgoing = step.outgoing(peer);
    if outgoing.is_connected() && !outgoing.gated {
        outgoing.gated = true;
        step.release(position, Release::Depart(Arc::clone(peer)));
    }
}

/// What is to be told of a message that leaves.
fn flags_of(envelope: &[u8], is_awaited: bool) -> u8 {
    match is_awaited {
        true => flags::TELL | flags::REPLY,
        false if request_of(envelope).is_some() => flags::CONTRADICTION,
        false => 0,
    }
}

/// Whether a message may go into this mailbox. One from outside is counted then.
fn is_admitted<'a>(step: &mut Step<'_, 'a>, mailbox: &'a Arc<Mailbox>, bytes: usize) -> Result<(), Refused> {
    let shard = step.shard;
    let Some((inner, waits)) = step.mailbox_and_waits(mailbox) else { return Ok(()) };
    if !shard.mailbox_admits(inner, waits.mailbox.as_ref()) {
        return Err(Refused::Full(Full::Mailbox(Arc::clone(mailbox))));
    }
    // Counted before it is compared: to look first at what all threads write would fetch it twice.
    shard.add_waiting(1);
    if !shard.node_admits(waits.beyond.as_ref()) {
        shard.load.waiting.take(1);
        // Who waits for room, or until nothing waits, may have seen this one, and no commit comes of it.
        shard.give_room();
        shard.gate.look_again();
        waits.mailbox.get_or_insert_with(|| {
            WaitingSender::keeping(shard, Full::Mailbox(Arc::clone(mailbox)), inner.senders_mut(), bytes)
        });
        return Err(Refused::Full(Full::Node));
    }
    if let Some(sender) = waits.mailbox.take() {
        sender.enter(inner.senders_mut());
    }
    step.passed = waits.beyond.take();
    Ok(())
}

/// The same of the outbox.
fn is_admitted_to_outbox<'a>(step: &mut Step<'_, 'a>, remote: &'a Remote) -> Result<(), Refused> {
    let Some((outgoing, waits)) = step.outgoing_and_waits(&remote.peer) else { return Ok(()) };
    match outgoing.is_full_for(remote.address.mailbox(), waits.beyond.as_ref().map(WaitingSender::number)) {
        Some(OutboxFull::Outbox) => return Err(Refused::Full(Full::Outbox(Arc::clone(&remote.peer)))),
        Some(OutboxFull::Mailbox(opening)) => return Err(Refused::FullThere(opening)),
        None => {}
    }
    if let Some(sender) = waits.beyond.take() {
        sender.enter(&mut outgoing.senders);
    }
    Ok(())
}

/// A sender that had waited for room in the node has used it. It was counted twice until now, as given room and as
/// using it, so that room which was made meanwhile was not given.
fn enter(shard: &Shard, sender: WaitingSender<'_>) {
    shard.with_senders(&Full::Node, |queue, room| {
        sender.enter(queue);
        queue.give(room);
    });
}
