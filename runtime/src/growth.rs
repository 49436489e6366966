//! By how much a submission grows the store: what it leaves behind, less what it removes. Pure. A full store lets pass what does not
//! grow it, so what comes out has to be true: a pipeline whose turns were all taken for growing would never drain.

use everpost_persistence::{Class, Position, footprint};

/// The class of the turn of a message that puts values of these sizes and removes, or replaces, values of those, the message among them.
pub(crate) fn message(
    position: Position,
    puts: impl IntoIterator<Item = usize>,
    removes: impl IntoIterator<Item = usize>,
) -> Class {
    Class::Message { growth: sum(puts).saturating_sub(sum(removes)), position }
}

/// The same of any other submission.
pub(crate) fn turn(puts: impl IntoIterator<Item = usize>, removes: impl IntoIterator<Item = usize>) -> Class {
    Class::Turn { growth: sum(puts).saturating_sub(sum(removes)) }
}

/// The class of what is written down for the trials after an unclean end. It passes however full the store is, since nothing runs before it,
/// and so nothing makes room; it is bounded by the number of threads that the process had.
pub(crate) const TRIAL: Class = Class::Turn { growth: 0 };

/// The class of a submission that puts one record and removes none.
pub(crate) fn record(bytes: usize) -> Class {
    turn([bytes], [])
}

fn sum(values: impl IntoIterator<Item = usize>) -> usize {
    values.into_iter().map(footprint).fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_frees_more_than_its_state_grows_by_does_not_grow_the_store() {
        assert_eq!(turn([10_001], [20_000, 10_000]), Class::Turn { growth: 0 });
    }

    #[test]
    fn many_small_records_in_the_place_of_a_large_one_cost_their_keys() {
        let Class::Turn { growth } = turn([100; 10], [1000]) else { unreachable!() };
        assert!(growth > 9 * 50, "{growth}");
        assert_eq!(turn([900], [1000]), Class::Turn { growth: 0 });
    }
}
