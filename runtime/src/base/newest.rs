//! The newest of many ids and what is known of each, a bounded number: for who asks after the fact. Pure.

use std::collections::{HashMap, VecDeque};

use crate::message::MessageId;

/// How many are known.
pub(crate) const NEWEST_KNOWN: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Newest<V> {
    in_order: VecDeque<MessageId>,
    by_id: HashMap<MessageId, V>,
}

impl<V> Newest<V> {
    /// What is known of an id, in place of what was known of it before. One that is known already becomes no newer.
    pub(crate) fn note(&mut self, id: MessageId, known: V) {
        if self.by_id.insert(id, known).is_some() {
            return;
        }
        self.in_order.push_back(id);
        if self.in_order.len() > NEWEST_KNOWN
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    pub(crate) fn get(&self, id: MessageId) -> Option<&V> {
        self.by_id.get(&id)
    }
}

impl<V> Default for Newest<V> {
    fn default() -> Self {
        Self { in_order: VecDeque::new(), by_id: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_known_and_each_as_it_was_noted_last() {
        let mut newest = Newest::default();
        (0..=NEWEST_KNOWN as u128).for_each(|id| newest.note(MessageId(id), 'a'));
        newest.note(MessageId(7), 'b');
        assert_eq!((newest.in_order.len(), newest.by_id.len()), (NEWEST_KNOWN, NEWEST_KNOWN));
        let known = [0, 1, 7].map(|id| newest.get(MessageId(id)).copied());
        assert_eq!(known, [None, Some('a'), Some('b')]);
    }
}
