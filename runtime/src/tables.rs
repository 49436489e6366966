//! The tables of a node's store: what they are called, what their keys are made of, and the keys of their records. For
//! whoever reads the store of a node from outside, too.

use everpost_persistence::Field::{Partition as InPartition, U32, U64, U128};
use everpost_persistence::{Key, MailboxId, Partition, Position, Schema, ShardId, Table};

/// Messages that wait for an actor, in order of arrival.
pub const INBOX: Table = Table::queue(1, "inbox", 1).with_companion(&ATTEMPTS);
/// What is kept about a mailbox: the state of its actor.
pub const MAILBOXES: Table = Table::keyed(2, "mailboxes", 1, &[InPartition, U128]);
/// What is kept about the attempts at a message that waits.
pub const ATTEMPTS: Table = Table::companion(3, "attempts", 1, 1);
/// Messages that were given up on, by the position that they had.
pub const DEAD_LETTERS: Table = Table::keyed(4, "dead_letters", 1, &[U64]);
/// Kept replies to asks, and what turns have asked.
pub const REPLIES: Table = Table::keyed(5, "replies", 1, &[InPartition, U128, U128]);
/// Messages on their way to another node, in order of departure.
pub const OUTBOX: Table = Table::queue(6, "outbox", 2);
/// How far a lane of another node was received.
pub const RECEIVED: Table = Table::keyed(7, "received", 2, &[InPartition, U128, U64]);
/// How far another node has acknowledged a lane of this one.
pub const ACKNOWLEDGED: Table = Table::keyed(8, "acknowledged", 2, &[InPartition, U128, U64]);
/// What is known of other stores.
pub const PEERS: Table = Table::keyed(9, "peers", 2, &[U128]);
/// What is to be sent later.
pub const TIMERS: Table = Table::keyed(10, "timers", 3, &[InPartition, U128]);
/// What came of requests with an idempotency key.
pub const REQUESTS: Table = Table::keyed(11, "requests", 3, &[InPartition, U128, U128]);
/// How what is supervised fares.
pub const SUPERVISION: Table = Table::keyed(12, "supervision", 3, &[InPartition, U128]);
/// Small facts about the node.
pub const NOTES: Table = Table::keyed(13, "notes", 4, &[U32]);

/// All of them.
pub const SCHEMA: Schema = Schema::new(&[
    INBOX,
    MAILBOXES,
    ATTEMPTS,
    DEAD_LETTERS,
    REPLIES,
    OUTBOX,
    RECEIVED,
    ACKNOWLEDGED,
    PEERS,
    TIMERS,
    REQUESTS,
    SUPERVISION,
    NOTES,
]);

/// A message that waits.
#[must_use]
#[inline]
pub const fn inbox(partition: Partition, position: Position) -> Key {
    INBOX.key().partition(partition).position(position).end()
}

/// The state of a mailbox.
#[must_use]
#[inline]
pub const fn mailbox(partition: Partition, mailbox: MailboxId) -> Key {
    MAILBOXES.key().partition(partition).u128(mailbox.0).end()
}

/// The attempts at the message that waits at this position.
#[must_use]
#[inline]
pub const fn attempts(partition: Partition, position: Position) -> Key {
    ATTEMPTS.key().partition(partition).position(position).end()
}

/// The dead letter of the message that had this position.
#[must_use]
pub const fn dead_letter(position: Position) -> Key {
    DEAD_LETTERS.key().u64(position.0).end()
}

/// The reply to an ask, under the mailbox that answered it, or what the turn of a mailbox has asked.
#[must_use]
#[inline]
pub const fn reply(partition: Partition, mailbox: MailboxId, request: u128) -> Key {
    REPLIES.key().partition(partition).u128(mailbox.0).u128(request).end()
}

/// A message on its way.
#[must_use]
#[inline]
pub const fn outbox(partition: Partition, position: Position) -> Key {
    OUTBOX.key().partition(partition).position(position).end()
}

/// How far the lane of a producer was received.
#[must_use]
#[inline]
pub const fn received(partition: Partition, producer: ShardId, receiver_type: u64) -> Key {
    RECEIVED.key().partition(partition).u128(producer.0).u64(receiver_type).end()
}

/// How far a receiver has acknowledged a lane.
#[must_use]
#[inline]
pub const fn acknowledged(partition: Partition, receiver: ShardId, receiver_type: u64) -> Key {
    ACKNOWLEDGED.key().partition(partition).u128(receiver.0).u64(receiver_type).end()
}

/// What is known of a store.
#[must_use]
pub const fn peer(store: ShardId) -> Key {
    PEERS.key().u128(store.0).end()
}

/// A timer.
#[must_use]
#[inline]
pub const fn timer(partition: Partition, timer: u128) -> Key {
    TIMERS.key().partition(partition).u128(timer).end()
}

/// What came of a request to a mailbox.
#[must_use]
#[inline]
pub const fn request(partition: Partition, mailbox: MailboxId, request: u128) -> Key {
    REQUESTS.key().partition(partition).u128(mailbox.0).u128(request).end()
}

/// How a mailbox fares, or in partition 0 something else by a name in the same space.
#[must_use]
pub const fn supervision(partition: Partition, subject: MailboxId) -> Key {
    SUPERVISION.key().partition(partition).u128(subject.0).end()
}

/// A small fact.
#[must_use]
pub const fn note(name: u32) -> Key {
    NOTES.key().u32(name).end()
}

/// Where a record of [`INBOX`], [`ATTEMPTS`] or [`OUTBOX`] is.
#[must_use]
pub fn queued_of(key: &Key) -> (Partition, Position) {
    let mut fields = key.fields();
    (fields.partition(), fields.position())
}

/// The position that a dead letter had.
#[must_use]
pub fn dead_letter_of(key: &Key) -> Position {
    Position(key.fields().u64())
}

/// The mailbox of a record of [`MAILBOXES`].
#[must_use]
pub fn mailbox_of(key: &Key) -> (Partition, MailboxId) {
    let mut fields = key.fields();
    (fields.partition(), MailboxId(fields.u128()))
}

/// The mailbox and the request of a record of [`REPLIES`] or [`REQUESTS`].
#[must_use]
pub fn request_of(key: &Key) -> (Partition, MailboxId, u128) {
    let mut fields = key.fields();
    (fields.partition(), MailboxId(fields.u128()), fields.u128())
}

/// The lane of a record of [`RECEIVED`] or [`ACKNOWLEDGED`]: its partition, the other store, its receiver type.
#[must_use]
pub fn lane_of(key: &Key) -> (Partition, ShardId, u64) {
    let mut fields = key.fields();
    (fields.partition(), ShardId(fields.u128()), fields.u64())
}

/// The store that a record of [`PEERS`] is about.
#[must_use]
pub fn peer_of(key: &Key) -> ShardId {
    ShardId(key.fields().u128())
}

/// The name of a timer.
#[must_use]
pub fn timer_of(key: &Key) -> (Partition, u128) {
    let mut fields = key.fields();
    (fields.partition(), fields.u128())
}
