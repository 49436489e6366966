//! The tables of the stores of these tests, which are those of the golden stores.

use everpost_persistence::Field::{Partition as InPartition, U32, U64, U128};
use everpost_persistence::{Key, MailboxId, Partition, Position, Schema, ShardId, Table};

pub(crate) const INBOX: Table = Table::queue(1, "inbox", 1).with_companion(&ATTEMPTS);
pub(crate) const MAILBOXES: Table = Table::keyed(2, "mailboxes", 1, &[InPartition, U128]);
pub(crate) const ATTEMPTS: Table = Table::companion(3, "attempts", 1, 1);
pub(crate) const DEAD_LETTERS: Table = Table::keyed(4, "dead_letters", 1, &[U64]);
pub(crate) const REPLIES: Table = Table::keyed(5, "replies", 1, &[InPartition, U128, U128]);
pub(crate) const OUTBOX: Table = Table::queue(6, "outbox", 2);
pub(crate) const RECEIVED: Table = Table::keyed(7, "received", 2, &[InPartition, U128, U64]);
pub(crate) const ACKNOWLEDGED: Table = Table::keyed(8, "acknowledged", 2, &[InPartition, U128, U64]);
pub(crate) const PEERS: Table = Table::keyed(9, "peers", 2, &[U128]);
pub(crate) const TIMERS: Table = Table::keyed(10, "timers", 3, &[InPartition, U128]);
pub(crate) const REQUESTS: Table = Table::keyed(11, "requests", 3, &[InPartition, U128, U128]);
pub(crate) const SUPERVISION: Table = Table::keyed(12, "supervision", 3, &[InPartition, U128]);
pub(crate) const NOTES: Table = Table::keyed(13, "notes", 4, &[U32]);

pub(crate) const SCHEMA: Schema = Schema::new(&[
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

pub(crate) const fn inbox(partition: Partition, position: Position) -> Key {
    INBOX.key().partition(partition).position(position).end()
}

pub(crate) const fn mailbox(partition: Partition, mailbox: MailboxId) -> Key {
    MAILBOXES.key().partition(partition).u128(mailbox.0).end()
}

pub(crate) const fn attempts(partition: Partition, position: Position) -> Key {
    ATTEMPTS.key().partition(partition).position(position).end()
}

pub(crate) const fn dead_letter(position: Position) -> Key {
    DEAD_LETTERS.key().u64(position.0).end()
}

pub(crate) const fn reply(partition: Partition, mailbox: MailboxId, request: u128) -> Key {
    REPLIES.key().partition(partition).u128(mailbox.0).u128(request).end()
}

pub(crate) const fn outbox(partition: Partition, position: Position) -> Key {
    OUTBOX.key().partition(partition).position(position).end()
}

pub(crate) const fn received(partition: Partition, producer: ShardId, line: u64) -> Key {
    RECEIVED.key().partition(partition).u128(producer.0).u64(line).end()
}

pub(crate) const fn acknowledged(partition: Partition, receiver: ShardId, line: u64) -> Key {
    ACKNOWLEDGED.key().partition(partition).u128(receiver.0).u64(line).end()
}

pub(crate) const fn peer(store: ShardId) -> Key {
    PEERS.key().u128(store.0).end()
}

pub(crate) const fn timer(partition: Partition, timer: u128) -> Key {
    TIMERS.key().partition(partition).u128(timer).end()
}

pub(crate) const fn request(partition: Partition, mailbox: MailboxId, request: u128) -> Key {
    REQUESTS.key().partition(partition).u128(mailbox.0).u128(request).end()
}

pub(crate) const fn supervision(partition: Partition, subject: MailboxId) -> Key {
    SUPERVISION.key().partition(partition).u128(subject.0).end()
}

pub(crate) const fn note(name: u32) -> Key {
    NOTES.key().u32(name).end()
}
