//! The queries of one peer that are not answered yet: how much of them is kept, and which wait until there is room for
//! their answers. Pure.

use std::collections::VecDeque;

use crate::base::count;

/// How many bytes of queries are kept for a peer at a time. A query beyond that is lost, as whoever asked is told.
pub(crate) const QUERIES_BYTES_MAX: usize = 16 << 20;

/// What a query takes beside its own bytes, about.
const QUERY_BYTES: usize = 1 << 10;

/// How many are put again at a time: not all of them to find out that the first has taken the room.
const AGAIN_MAX: usize = 64;

/// The queries of a peer.
#[derive(Debug)]
pub(crate) struct RemoteQueries<Q> {
    bytes: usize,
    put_off: VecDeque<Q>,
}

impl<Q> RemoteQueries<Q> {
    /// What a query counts for.
    pub(crate) const fn counted(bytes: usize) -> usize {
        bytes + QUERY_BYTES
    }

    /// Whether one more is kept. One is, however large it is.
    pub(crate) fn take_in(&mut self, bytes: usize) -> bool {
        let is_kept = self.bytes == 0 || self.bytes + Self::counted(bytes) <= QUERIES_BYTES_MAX;
        if is_kept {
            self.bytes += Self::counted(bytes);
        }
        is_kept
    }

    /// One that was kept is done with.
    pub(crate) fn settle(&mut self, bytes: usize) {
        count::take(&mut self.bytes, Self::counted(bytes));
    }

    /// One waits until there is room for its answer.
    pub(crate) fn put_off(&mut self, query: Q) {
        self.put_off.push_back(query);
    }

    pub(crate) fn has_put_off(&self) -> bool {
        !self.put_off.is_empty()
    }

    /// Some that are to be put again, those first that have waited longest.
    pub(crate) fn put_again(&mut self) -> Vec<Q> {
        let count = self.put_off.len().min(AGAIN_MAX);
        self.put_off.drain(..count).collect()
    }

    /// Nobody waits for an answer any more.
    pub(crate) fn lose(&mut self) -> VecDeque<Q> {
        std::mem::take(&mut self.put_off)
    }
}

impl<Q> Default for RemoteQueries<Q> {
    fn default() -> Self {
        Self { bytes: 0, put_off: VecDeque::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_kept_up_to_a_bound_in_bytes_and_one_always_is() {
        let mut asked = RemoteQueries::<u32>::default();
        assert!(asked.take_in(2 * QUERIES_BYTES_MAX) && !asked.take_in(0));
        asked.settle(2 * QUERIES_BYTES_MAX);
        let mut kept = 0;
        while asked.take_in(1 << 20) {
            kept += 1;
        }
        assert_eq!(kept, 15);
        (0..kept).for_each(|_| asked.settle(1 << 20));
        assert_eq!(asked.bytes, 0);
    }

    #[test]
    fn what_was_put_off_is_put_again_in_its_order_a_few_at_a_time() {
        let mut asked = RemoteQueries::default();
        (0..100).for_each(|query| asked.put_off(query));
        assert_eq!(asked.put_again(), (0..64).collect::<Vec<_>>());
        asked.put_off(7);
        assert_eq!(asked.put_again(), (64..100).chain([7]).collect::<Vec<_>>());
        assert!(!asked.has_put_off() && asked.lose().is_empty());
    }
}
