//! How large a submission is, and by how much it grows the store: what it leaves behind, less what it removes. Pure. A
//! full store lets pass what does not grow it, so what comes out has to be true: a pipeline whose turns were all taken
//! for growing would never drain.

use everpost_persistence::{Class, Position, footprint};

/// What the effects of one transaction put and remove.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// Bytes that the submission has room for in the store's queue.
    pub(super) bytes: usize,
    puts: usize,
    removes: usize,
}

impl Size {
    /// A value of so many bytes is put.
    #[inline]
    pub(super) fn put(&mut self, bytes: usize) {
        self.hold(bytes);
        self.leave(bytes);
    }

    /// So many bytes count against what a submission may have, without being left behind.
    #[inline]
    pub(super) fn hold(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// A value of so many bytes is left behind, which has its room in the queue already.
    #[inline]
    pub(super) fn leave(&mut self, bytes: usize) {
        self.puts = self.puts.saturating_add(footprint(bytes));
    }

    /// A value of so many bytes is removed or replaced.
    #[inline]
    pub(super) fn remove(&mut self, bytes: usize) {
        self.removes = self.removes.saturating_add(footprint(bytes));
    }

    fn growth(self) -> usize {
        self.puts.saturating_sub(self.removes)
    }
}

/// On whose behalf something is committed, which decides what it waits for in a full store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Origin {
    /// From outside: it is refused first.
    Outside,
    /// The turn of a message: of those that grow a nearly full store the newest goes first.
    Turn(Position),
    /// The node itself, by what the effects grow the store.
    Node,
    /// The node itself, however full the store is: it removes, or is needed before anything can be removed.
    Upkeep,
}

impl Origin {
    #[inline]
    pub(super) fn class(self, size: Size) -> Class {
        match self {
            Self::Outside => Class::Outside,
            Self::Turn(position) => Class::Message { growth: size.growth(), position },
            Self::Node => Class::Turn { growth: size.growth() },
            Self::Upkeep => Class::Turn { growth: 0 },
        }
    }

    /// Whether it is to be durable soon although nobody may wait for it. A turn changes what is known here alone until
    /// something of it is to leave, which waits at the gate; and upkeep removes what does no harm.
    #[inline]
    pub(super) fn is_hurried(self) -> bool {
        match self {
            Self::Outside | Self::Node => true,
            Self::Turn(_) | Self::Upkeep => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(puts: &[usize], removes: &[usize]) -> Class {
        let mut size = Size::default();
        puts.iter().for_each(|bytes| size.put(*bytes));
        removes.iter().for_each(|bytes| size.remove(*bytes));
        Origin::Node.class(size)
    }

    #[test]
    fn a_turn_that_frees_more_than_its_state_grows_by_does_not_grow_the_store() {
        assert_eq!(class(&[10_001], &[20_000, 10_000]), Class::Turn { growth: 0 });
    }

    #[test]
    fn many_small_records_in_the_place_of_a_large_one_cost_their_keys() {
        let Class::Turn { growth } = class(&[100; 10], &[1000]) else { unreachable!() };
        assert!(growth > 9 * 50, "{growth}");
        assert_eq!(class(&[900], &[1000]), Class::Turn { growth: 0 });
    }

    #[test]
    fn upkeep_grows_nothing_however_much_it_writes() {
        let mut size = Size::default();
        size.put(1000);
        assert_eq!(Origin::Upkeep.class(size), Class::Turn { growth: 0 });
        assert_eq!(size.bytes, 1000);
    }
}
