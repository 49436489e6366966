//! Keys against the fields that they are made of.

use std::hash::BuildHasher;

use proptest::prelude::*;
use rustc_hash::{FxBuildHasher, FxHashSet};

use super::*;
use crate::declared;
use crate::ids::{MailboxId, Partition, Position, ShardId};
use crate::table::{Field, Table};

/// A number, small often, so that keys meet.
fn number() -> impl Strategy<Value = u128> {
    prop_oneof![1..20_u128, any::<u128>()]
}

/// The key of these numbers, cut to the fields of the table.
pub(crate) fn key_of(table: &Table, numbers: [u128; 4]) -> Key {
    let mut key = table.key();
    for (field, number) in table.fields().iter().zip(numbers) {
        key = match field {
            Field::Partition => key.partition(Partition(number as u16 % 64)),
            Field::Position => key.position(Position(number as u64)),
            Field::U32 => key.u32(number as u32),
            Field::U64 => key.u64(number as u64),
            Field::U128 => key.u128(number),
        };
    }
    key.end()
}

/// Any key of the declared tables.
pub(crate) fn any_key() -> impl Strategy<Value = Key> {
    let table = prop::sample::select(declared::SCHEMA.tables());
    (table, [number(), number(), number(), number()]).prop_map(|(table, numbers)| key_of(&table, numbers))
}

proptest! {
    #[test]
    fn keys_survive_encoding(key in any_key()) {
        let table = declared::SCHEMA.table(key.table());
        prop_assert_eq!(key.bytes().len(), table.key_bytes());
        let decoded = Key::decode(table, key.bytes());
        prop_assert_eq!(decoded, Some(key));
        let hash = |key: &Key| FxBuildHasher.hash_one(key);
        prop_assert_eq!(hash(&decoded.unwrap()), hash(&key));
        prop_assert_eq!(Key::decode(table, &key.bytes()[1..]), None);
        prop_assert_eq!(Key::decode(table, &[key.bytes(), &[0]].concat()), None);
    }

    #[test]
    fn encoded_order_is_key_order(a in any_key(), b in any_key()) {
        prop_assert_eq!(a.cmp(&b), (a.table(), a.bytes()).cmp(&(b.table(), b.bytes())));
        prop_assert_eq!(a == b, a.cmp(&b).is_eq());
    }

    #[test]
    fn fields_are_read_as_they_were_given(partition in any::<u16>(), id in any::<u128>(), line in any::<u64>()) {
        let key = declared::received(Partition(partition), ShardId(id), line);
        let mut fields = key.fields();
        prop_assert_eq!((fields.partition(), fields.u128(), fields.u64()), (Partition(partition), id, line));
        prop_assert_eq!((key.partition(), key.position()), (Some(Partition(partition)), None));
        let key = declared::inbox(Partition(partition), Position(line));
        let mut fields = key.fields();
        prop_assert_eq!((fields.partition(), fields.position()), (Partition(partition), Position(line)));
        prop_assert_eq!((key.partition(), key.position()), (Some(Partition(partition)), Some(Position(line))));
        prop_assert_eq!(key.companion(), Some(declared::attempts(Partition(partition), Position(line))));
        prop_assert_eq!(key.companion().unwrap().queue(), Some(key));
    }
}

#[test]
fn only_what_was_declared_has_a_partition_a_position_or_a_companion() {
    let (letter, outbox) = (declared::dead_letter(Position(3)), declared::outbox(Partition(1), Position(2)));
    assert_eq!((letter.partition(), letter.position(), letter.companion()), (None, None, None));
    assert_eq!((outbox.companion(), outbox.queue()), (None, None));
    assert_eq!(letter.fields().u64(), 3);
    assert_eq!(declared::note(7).fields().u32(), 7);
}

/// Numbers that follow on each other are the names of much, and a quick hash of them could differ in a few bits only.
#[test]
fn keys_that_follow_on_each_other_do_not_share_the_low_bits_of_their_hashes() {
    let makers: [fn(u64) -> Key; 6] = [
        |n| declared::dead_letter(Position(n)),
        |n| declared::note(n as u32),
        |n| declared::mailbox(Partition(1), MailboxId(u128::from(n))),
        |n| declared::acknowledged(Partition(1), ShardId(9), n),
        |n| declared::request(Partition(1), MailboxId(u128::from(n)), 1),
        |n| declared::reply(Partition(1), MailboxId(1), u128::from(n)),
    ];
    for make in makers {
        let low: FxHashSet<u64> = (0..4096).map(|n| FxBuildHasher.hash_one(make(n)) % 4096).collect();
        assert!(low.len() > 1500, "{} of {:?}", low.len(), make(0));
    }
}

#[test]
fn a_key_with_other_fields_than_declared_is_refused() {
    let refused = |wrong: fn() -> Key| std::panic::catch_unwind(wrong).is_err();
    assert!(refused(|| declared::TIMERS.key().u128(1).end()), "the partition comes first");
    assert!(refused(|| declared::TIMERS.key().partition(Partition(1)).end()), "the id is missing");
    assert!(refused(|| declared::TIMERS.key().partition(Partition(1)).u128(1).u128(1).end()), "there is no third");
    assert!(refused(|| declared::INBOX.key().partition(Partition(1)).u64(1).end()), "a position is a position");
    assert!(!refused(|| declared::TIMERS.key().partition(Partition(1)).u128(1).end()));
}
