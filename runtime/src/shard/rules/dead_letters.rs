//! Which dead letters there are: pure, and small enough to be in memory for all of them, so that nobody goes through
//! their records to find one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use everpost_persistence::{MailboxId, Position};

use crate::base::clock::Steady;
use crate::message::MessageId;
use crate::message::address::mailbox_id;
use crate::message::envelope::Header;
use crate::message::reason::Reason;
use crate::record::dead_letter::DeadLetterRecord;

/// What is known of a dead letter without its record; nothing of one that this build cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: MessageId,
    /// Where it was.
    pub(crate) mailbox: MailboxId,
    pub(crate) kept_since: Steady,
    pub(crate) reason: Reason,
    /// It is the ask of a turn, which may ask anew.
    pub(crate) is_ask: bool,
}

/// What the queue knows of a record, if the record can be read.
pub(crate) fn known_of(record: &[u8]) -> Option<Known> {
    let DeadLetterRecord { envelope, kept_since, reason, .. } = DeadLetterRecord::decode(record)?;
    let (header, _) = Header::decode(envelope).ok()?;
    let (mailbox, kept_since) = (mailbox_id(header.destination), Steady(kept_since));
    Some(Known { id: header.id(), mailbox, kept_since, reason, is_ask: header.keep_reply })
}

/// The dead letters of a node by their numbers, ids and ages. A dead letter is here from the step that submits its
/// record to the step that submits its removal.
#[derive(Debug, Default)]
pub(crate) struct Index {
    dead_letters: BTreeMap<Position, Option<Known>>,
    by_id: BTreeSet<(MessageId, Position)>,
    by_age: BTreeSet<(Steady, Position)>,
}

impl Index {
    pub(crate) fn insert(&mut self, position: Position, known: Option<Known>) {
        self.remove(position);
        self.dead_letters.insert(position, known);
        if let Some(Known { id, kept_since, .. }) = known {
            self.by_id.insert((id, position));
            self.by_age.insert((kept_since, position));
        }
    }

    /// Takes a dead letter out. False when it is not here.
    pub(crate) fn remove(&mut self, position: Position) -> bool {
        let Some(known) = self.dead_letters.remove(&position) else { return false };
        if let Some(Known { id, kept_since, .. }) = known {
            self.by_id.remove(&(id, position));
            self.by_age.remove(&(kept_since, position));
        }
        true
    }

    /// What is known of a dead letter; none when it is not here.
    pub(crate) fn get(&self, position: Position) -> Option<Option<Known>> {
        self.dead_letters.get(&position).copied()
    }

    pub(crate) fn contains(&self, position: Position) -> bool {
        self.dead_letters.contains_key(&position)
    }

    pub(crate) fn len(&self) -> usize {
        self.dead_letters.len()
    }

    /// The dead letter of this message; the newest, should there be more.
    pub(crate) fn find(&self, id: MessageId) -> Option<Position> {
        let of_id = self.by_id.range((id, Position(0))..=(id, Position(u64::MAX)));
        of_id.last().map(|(_, position)| *position)
    }

    /// The one that was given up on first, and when. One that this build cannot read is nobody's oldest: its build
    /// decides.
    pub(crate) fn oldest(&self) -> Option<(Steady, Position)> {
        self.by_age.first().copied()
    }

    /// Up to `max` dead letters that were given up on at that moment or before, the oldest first.
    pub(crate) fn until(&self, moment: Steady, max: usize) -> Vec<Position> {
        let old = self.by_age.range(..=(moment, Position(u64::MAX)));
        old.take(max).map(|(_, position)| *position).collect()
    }

    /// Up to `max` dead letters after this one, in the order in which they were sent.
    pub(crate) fn after(&self, last: Option<Position>, max: usize) -> Vec<Position> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        self.dead_letters.range((after, Bound::Unbounded)).take(max).map(|(position, _)| *position).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(id: u128, kept_since: u64) -> Option<Known> {
        let (mailbox, kept_since) = (MailboxId(0), Steady(kept_since));
        Some(Known { id: MessageId(id), mailbox, kept_since, reason: Reason::Rejected, is_ask: false })
    }

    #[test]
    fn a_letter_is_found_by_its_id_and_its_age_until_it_is_taken_out() {
        let mut index = Index::default();
        index.insert(Position(5), known(1, 300));
        index.insert(Position(7), known(1, 200));
        index.insert(Position(6), None);
        assert_eq!((index.len(), index.find(MessageId(1)), index.find(MessageId(2))), (3, Some(Position(7)), None));
        assert_eq!(index.oldest(), Some((Steady(200), Position(7))));
        assert_eq!((index.until(Steady(199), 9), index.until(Steady(200), 9)), (vec![], vec![Position(7)]));
        assert_eq!(index.until(Steady(999), 1), [Position(7)], "the oldest first");
        assert_eq!(index.after(None, 2), [Position(5), Position(6)]);
        assert_eq!(index.after(Some(Position(6)), 9), [Position(7)]);
        assert!(index.remove(Position(7)) && !index.remove(Position(7)), "it is taken out once");
        assert_eq!((index.find(MessageId(1)), index.oldest()), (Some(Position(5)), Some((Steady(300), Position(5)))));
        assert!(index.remove(Position(5)));
        assert_eq!((index.len(), index.oldest()), (1, None), "what cannot be read has no age");
    }

    proptest! {
        #[test]
        fn all_three_orders_hold_the_same_letters(steps: Vec<(bool, u8, u8, u8)>) {
            let mut index = Index::default();
            let mut oracle = BTreeMap::new();
            for (insert, position, id, kept_since) in steps {
                let position = Position(u64::from(position));
                if insert {
                    index.insert(position, known(u128::from(id), u64::from(kept_since)));
                    oracle.insert(position, (u64::from(kept_since), u128::from(id)));
                } else {
                    prop_assert_eq!(index.remove(position), oracle.remove(&position).is_some());
                }
                let oldest = oracle.iter().map(|(position, (kept_since, _))| (Steady(*kept_since), *position)).min();
                prop_assert_eq!((index.len(), index.oldest()), (oracle.len(), oldest));
                let of_id = oracle.iter().rev().find(|(_, (_, other))| *other == u128::from(id)).map(|(at, _)| *at);
                prop_assert_eq!(index.find(MessageId(u128::from(id))), of_id);
                prop_assert_eq!((index.by_id.len(), index.by_age.len()), (oracle.len(), oracle.len()));
            }
        }
    }
}
