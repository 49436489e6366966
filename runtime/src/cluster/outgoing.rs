//! What this node owes one peer: the link protocol's sending side, and everything that belongs under the same lock. The
//! messages are in the store; a step here never waits.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{MailboxId, Position, ShardId};
use everpost_transport::link::{
    Ack, AckError, Backlog, DeliveryStatus, FlagOutcome, Lane, Next, ResumeError, Sending, Sequence, Terms,
};
use rustc_hash::FxHashMap;
use tokio::sync::{Semaphore, oneshot};

use crate::base::clock::Steady;
use crate::base::count;
use crate::base::rules::room::{Amount, Room, SenderQueue};
use crate::cluster::expiring::Expiring;
use crate::config::NodeConfig;

/// How many bytes of volatile messages wait for the link at most; more are dropped, which is what volatile means.
const VOLATILE_BYTES_MAX: usize = 8 << 20;

/// How many mailboxes of a peer are known to be full at a time.
const FULL_MAX: usize = 65_536;

/// How far the lanes to one store have come.
type Progress = FxHashMap<Lane, Sequence>;

/// The state of what is owed to one peer.
pub(crate) struct Outgoing {
    sending: Sending,
    messages_max: usize,
    bytes_max: usize,
    /// What each store that the peer ever had has acknowledged.
    acknowledged: FxHashMap<u128, Progress>,
    /// The store that the peer has now.
    receiver: Option<ShardId>,
    /// Who waits until a message is on the peer's disk.
    delivered: FxHashMap<Sequence, Vec<oneshot::Sender<Delivery>>>,
    /// When those that expire do, until they have left or expired.
    expiring: FxHashMap<Sequence, Steady>,
    /// Messages that have expired and may have arrived, while there is no conversation in which that could be learned.
    undecided: BTreeMap<Position, Expiring>,
    /// Mailboxes of the peer that are full, by its own word in this conversation; closed when that is over.
    full: FxHashMap<MailboxId, Arc<Semaphore>>,
    /// Senders that wait for room.
    pub(crate) senders: SenderQueue,
    /// Messages that are stored nowhere.
    volatile: VecDeque<(u16, Bytes)>,
    volatile_bytes: usize,
    is_connected: bool,
    /// The node has ended: nobody learns of deliveries.
    is_over: bool,
    /// The gate will ring when more may leave.
    pub(crate) gated: bool,
}

/// A message that is to leave.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) lane: Lane,
    pub(crate) position: Position,
    pub(crate) flags: u8,
    pub(crate) envelope: Bytes,
}

/// What became of a message whose delivery is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is on the peer's disk.
    Arrived,
    /// It expired before it was sent, and has left this node when this is durable.
    Expired(Position),
}

/// As much is owed to the peer as may be.
#[derive(Clone, Debug)]
pub(crate) enum OutboxFull {
    /// By number or bytes over all addresses.
    Outbox,
    /// The peer says that the mailbox is full. This is closed when it is not any more.
    Mailbox(Arc<Semaphore>),
}

impl Outgoing {
    pub(crate) fn new(limits: &NodeConfig, under_way_bytes_max: usize) -> Self {
        Self {
            sending: Sending::new(limits.window_bytes_max, under_way_bytes_max),
            messages_max: limits.outbox_messages_max,
            bytes_max: limits.outbox_bytes_max,
            acknowledged: FxHashMap::default(),
            receiver: None,
            delivered: FxHashMap::default(),
            expiring: FxHashMap::default(),
            undecided: BTreeMap::new(),
            full: FxHashMap::default(),
            senders: SenderQueue::default(),
            volatile: VecDeque::new(),
            volatile_bytes: 0,
            is_connected: false,
            is_over: false,
            gated: false,
        }
    }

    /// A message that the start found in the store, and whether an earlier run may have sent it.
    pub(crate) fn recovered(&mut self, lane: Lane, position: Position, bytes: usize, may_have_arrived: bool) {
        self.sending.recovered(lane, Sequence(position.0), bytes, may_have_arrived);
    }

    /// What the start found in the store of what a store of this peer has acknowledged.
    pub(crate) fn recovered_acknowledgement(&mut self, store: u128, lane: Lane, through: Sequence) {
        self.acknowledged.entry(store).or_default().insert(lane, through);
    }

    /// Whether a message from outside has to wait. `sender` is its number in the queue, if it has waited before.
    pub(crate) fn is_full_for(&self, mailbox: MailboxId, sender: Option<u64>) -> Option<OutboxFull> {
        if let Some(opening) = self.full.get(&mailbox) {
            return Some(OutboxFull::Mailbox(Arc::clone(opening)));
        }
        let is_admitted = match sender {
            Some(sender) => self.senders.has_given(sender),
            None => self.senders.admits(self.room()),
        };
        (!is_admitted).then_some(OutboxFull::Outbox)
    }

    /// Whether the peer says that the mailbox is full.
    pub(crate) fn is_told_full(&self, mailbox: MailboxId) -> bool {
        self.full.contains_key(&mailbox)
    }

    /// The room for what is owed.
    pub(crate) fn room(&self) -> Room {
        let Backlog { messages, bytes, .. } = self.sending.backlog();
        Room { used: Amount { messages, bytes }, max: Amount { messages: self.messages_max, bytes: self.bytes_max } }
    }

    /// Adds a message that was submitted to the store.
    pub(crate) fn push(&mut self, departure: Departure) {
        let Departure { lane, position, flags, envelope } = departure;
        self.sending.push(lane, Sequence(position.0), flags, envelope);
    }

    /// Adds a message that is stored nowhere. False when it was dropped, because the peer is not there,
    /// too slow, or takes none as large.
    pub(crate) fn push_volatile(&mut self, partition: u16, envelope: Bytes) -> bool {
        let is_taken = self.is_connected && self.sending.takes(envelope.len());
        if !is_taken || self.volatile_bytes + envelope.len() > VOLATILE_BYTES_MAX {
            return false;
        }
        self.volatile_bytes += envelope.len();
        self.volatile.push_back((partition, envelope));
        true
    }

    pub(crate) fn pop_volatile(&mut self) -> Option<(u16, Bytes)> {
        let (partition, envelope) = self.volatile.pop_front()?;
        count::take(&mut self.volatile_bytes, envelope.len());
        Some((partition, envelope))
    }

    /// Registers who waits until a message is on the peer's disk; nobody has to when it is there.
    pub(crate) fn wait_for_delivery(&mut self, lane: Lane, position: Position) -> Option<oneshot::Receiver<Delivery>> {
        if self.flag(lane, position, 0) == FlagOutcome::Acknowledged {
            return None;
        }
        let (waiter, delivered) = oneshot::channel();
        if self.is_over {
            // The waiter is dropped, which tells it.
            return Some(delivered);
        }
        if self.delivered.len() == self.delivered.capacity() {
            // Who has stopped waiting goes before more memory is taken; what is reserved is filled before they are
            // looked for again.
            self.delivered.retain(|_, waiting| waiting.iter().any(|waiter| !waiter.is_closed()));
            self.delivered.reserve(self.delivered.len());
        }
        let waiting = self.delivered.entry(Sequence(position.0)).or_default();
        if waiting.len() == waiting.capacity() {
            waiting.retain(|waiter| !waiter.is_closed());
            waiting.reserve(waiting.len());
        }
        waiting.push(waiter);
        Some(delivered)
    }

    pub(crate) fn flag(&mut self, lane: Lane, position: Position, flags: u8) -> FlagOutcome {
        self.sending.flag(lane, Sequence(position.0), flags)
    }

    /// A conversation begins with a peer that has this store. What turns out to be there already is told to `settled`.
    pub(crate) fn resume(
        &mut self,
        receiver: ShardId,
        cursors: &Progress,
        terms: Terms,
        settled: impl FnMut(Lane, Sequence),
    ) -> Result<(), ResumeError> {
        if self.receiver != Some(receiver) {
            let known = self.acknowledged.entry(receiver.0).or_default();
            self.sending.reset_acknowledged(known.iter().map(|(lane, through)| (*lane, *through)));
            self.receiver = Some(receiver);
        }
        let Self { sending, delivered, .. } = self;
        sending.resume(cursors, terms, tell(delivered, settled))?;
        // Of lanes that have not begun nothing is kept, whichever the peer names.
        let begun = cursors.iter().filter(|(_, through)| through.0 > 0);
        self.note_progress(begun.map(|(lane, through)| (*lane, *through)));
        self.senders.give(self.room());
        self.open_all();
        self.is_connected = true;
        Ok(())
    }

    /// The peer acknowledges. What is done with is told to `settled`.
    pub(crate) fn acknowledged(&mut self, ack: Ack, settled: impl FnMut(Lane, Sequence)) -> Result<(), AckError> {
        let Self { sending, delivered, .. } = self;
        sending.acknowledged(ack, tell(delivered, settled))?;
        self.note_progress([(ack.lane, ack.through)]);
        self.senders.give(self.room());
        Ok(())
    }

    fn note_progress(&mut self, progress: impl IntoIterator<Item = (Lane, Sequence)>) {
        if let Some(receiver) = self.receiver {
            self.acknowledged.entry(receiver.0).or_default().extend(progress);
        }
    }

    /// Whether a store of the peer has acknowledged anything.
    pub(crate) fn has_acknowledged(&self, store: u128) -> bool {
        self.acknowledged.get(&store).is_some_and(|progress| !progress.is_empty())
    }

    /// Forgets a store that the peer does not have now. Returns the lanes in which it had acknowledged something.
    pub(crate) fn forget_store(&mut self, store: u128) -> impl Iterator<Item = Lane> {
        self.acknowledged.remove(&store).into_iter().flatten().map(|(lane, _)| lane)
    }

    /// A message expires then, unless it has left before.
    pub(crate) fn expires(&mut self, position: Position, at: Steady) {
        self.expiring.insert(Sequence(position.0), at);
    }

    /// A message is not owed any more, or has expired. Says when it was to expire.
    pub(crate) fn expires_no_more(&mut self, sequence: Sequence) -> Option<Steady> {
        // Nothing expires, as a rule.
        if self.expiring.is_empty() { None } else { self.expiring.remove(&sequence) }
    }

    /// How a message stands with the peer.
    pub(crate) fn delivery_status(&self, lane: Lane, position: Position) -> DeliveryStatus {
        self.sending.delivery_status(lane, Sequence(position.0))
    }

    /// Messages that have expired may have arrived: they count against no bound. Hands back those of which it will be
    /// known soon.
    pub(crate) fn leave_undecided(&mut self, expired: Vec<Expiring>, lane: Lane) -> Vec<Expiring> {
        expired.iter().for_each(|expiring| self.sending.expire(lane, Sequence(expiring.position.0)));
        self.senders.give(self.room());
        if self.is_connected {
            return expired;
        }
        // Each once, however often its moment comes between two conversations.
        self.undecided.extend(expired.into_iter().map(|expiring| (expiring.position, expiring)));
        Vec::new()
    }

    /// Messages that have expired and of which it can be known now, or soon, whether they have arrived.
    pub(crate) fn take_undecided(&mut self) -> Vec<Expiring> {
        std::mem::take(&mut self.undecided).into_values().collect()
    }

    /// Takes out messages that have expired and were not sent; in the order of their positions. `ticket` is that of the
    /// submission that takes them out of the store.
    pub(crate) fn withdraw(&mut self, lane: Lane, positions: &[Position], ticket: Position) {
        let sequences: Vec<Sequence> = positions.iter().map(|position| Sequence(position.0)).collect();
        self.sending.withdraw(lane, &sequences, Sequence(ticket.0));
        for sequence in sequences {
            self.expires_no_more(sequence);
            // Whoever has stopped waiting is not told.
            let waiting = self.delivered.remove(&sequence);
            waiting.into_iter().flatten().for_each(|waiter| _ = waiter.send(Delivery::Expired(ticket)));
        }
        self.senders.give(self.room());
    }

    /// The last number that the peer may have: what was accepted after it was never sent.
    pub(crate) fn reached(&self) -> Position {
        Position(self.sending.reached().0)
    }

    /// The connection is gone. What is volatile goes with it.
    pub(crate) fn interrupted(&mut self) {
        self.sending.interrupted();
        // No mailbox there is known to be full any more.
        self.open_all();
        self.volatile.clear();
        self.volatile_bytes = 0;
        self.is_connected = false;
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// The peer does not take this message: its lane waits. False for one that is not owed.
    pub(crate) fn stopped(&mut self, lane: Lane, sequence: Sequence) -> bool {
        self.sending.stopped(lane, sequence)
    }

    /// What may leave, given what is durable.
    pub(crate) fn next(&mut self, durable: Position) -> Next {
        self.sending.committed(Sequence(durable.0));
        self.sending.poll()
    }

    pub(crate) fn loaded(&mut self, lane: Lane, bodies: impl IntoIterator<Item = (Sequence, Bytes)>) {
        self.sending.loaded(lane, bodies);
    }

    /// The message whose commit lets more leave, if there is one.
    pub(crate) fn next_commit(&self) -> Option<Position> {
        self.sending.next_commit().map(|sequence| Position(sequence.0))
    }

    /// The peer's word on one of its mailboxes.
    pub(crate) fn set_full(&mut self, mailbox: MailboxId, full: bool) {
        if full {
            // Beyond that the peer is taken at its word of what it grants: it stores what it has granted.
            if self.full.len() >= FULL_MAX {
                return;
            }
            self.full.entry(mailbox).or_insert_with(|| Arc::new(Semaphore::new(0)));
        } else if let Some(opening) = self.full.remove(&mailbox) {
            opening.close();
        }
    }

    fn open_all(&mut self) {
        self.full.drain().for_each(|(_, opening)| opening.close());
    }

    /// Nobody need wait for room any more.
    pub(crate) fn dismiss_senders(&mut self) {
        self.senders.dismiss();
        self.open_all();
    }

    pub(crate) fn backlog(&self) -> Backlog {
        self.sending.backlog()
    }

    /// Nobody will learn of deliveries any more.
    pub(crate) fn dismiss(&mut self) {
        self.is_over = true;
        self.delivered.clear();
    }
}

/// Tells those who wait for the delivery of a message, and then `settled`.
fn tell(
    delivered: &mut FxHashMap<Sequence, Vec<oneshot::Sender<Delivery>>>,
    mut settled: impl FnMut(Lane, Sequence),
) -> impl FnMut(Lane, Sequence) {
    move |lane, sequence| {
        if !delivered.is_empty() {
            // Whoever has stopped waiting is not told.
            delivered.remove(&sequence).into_iter().flatten().for_each(|waiter| _ = waiter.send(Delivery::Arrived));
        }
        settled(lane, sequence);
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("owed", &self.sending.backlog()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::expiring::Waits;
    use crate::message::MessageId;
    use crate::message::expiry::Expiry;

    /// It was kept once more with each conversation that began and ended without a word on it.
    #[test]
    fn a_message_of_which_it_is_not_known_whether_it_has_arrived_is_kept_once() {
        let mut outgoing = Outgoing::new(&NodeConfig::default(), 1000);
        let (position, lane) = (Position(7), Lane { receiver_type: 1, partition: 2 });
        let (place, id) = (Waits::Mailbox(MailboxId(1)), MessageId(2));
        let expiring = Expiring { position, place, id, request: None, bytes: 3, then: Expiry::DeadLetter };
        for _ in 0..3 {
            assert!(outgoing.leave_undecided(vec![expiring.clone(); 2], lane).is_empty());
        }
        assert_eq!(outgoing.take_undecided().len(), 1);
        assert!(outgoing.take_undecided().is_empty());
    }
}
