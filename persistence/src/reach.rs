//! How far the keys of records reach. What a key names is counted on from: the next position to be given out, the partitions that
//! there are. So a record that nobody can have written is refused by its key before anything is built on it. Pure.

use crate::error::Damage;
use crate::ids::{Partition, Position};
use crate::key::Key;

/// Of the records that were looked at, those that reach furthest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reach {
    position: Option<(Position, Key)>,
    partition: Option<(Partition, Key)>,
}

impl Reach {
    /// Looks at the key of a record. Refuses the position that means "none".
    pub(crate) fn note(&mut self, key: &Key) -> Result<(), Damage> {
        if let Some(position) = key.position() {
            if position == Position(0) {
                return Err(key.damage("no record has this position"));
            }
            further(&mut self.position, position, key);
        }
        if let Some(partition) = key.partition() {
            further(&mut self.partition, partition, key);
        }
        Ok(())
    }

    /// Refuses a record beyond what there is: so many partitions, and positions up to `last`.
    pub(crate) fn check(&self, partitions: u16, last: Position) -> Result<(), Damage> {
        match (self.position, self.partition) {
            (Some((position, key)), _) if position > last => Err(key.damage("its position was never given out")),
            (_, Some((partition, key))) if partition.0 >= partitions => {
                Err(key.damage("the store has no such partition"))
            }
            _ => Ok(()),
        }
    }
}

fn further<N: PartialOrd>(furthest: &mut Option<(N, Key)>, number: N, key: &Key) {
    if furthest.as_ref().is_none_or(|(furthest, _)| number > *furthest) {
        *furthest = Some((number, *key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(keys: &[Key]) -> Result<(), Damage> {
        let mut reach = Reach::default();
        keys.iter().try_for_each(|key| reach.note(key))?;
        reach.check(4, Position(9))
    }

    #[test]
    fn the_record_that_reaches_too_far_is_named() {
        let (partition, position) = (Partition(3), Position(9));
        let within = [
            Key::Inbox { partition, position },
            Key::Outbox { partition, position: Position(1) },
            Key::Attempts { partition: Partition(0), position },
            Key::Note { name: u32::MAX },
        ];
        assert_eq!(reach(&within), Ok(()));
        let never = "its position was never given out";
        for (key, reason) in [
            (Key::Inbox { partition, position: Position(10) }, never),
            (Key::Outbox { partition, position: Position(u64::MAX) }, never),
            (Key::Attempts { partition, position: Position(10) }, never),
            (Key::Attempts { partition, position: Position(0) }, "no record has this position"),
            (Key::Timer { partition: Partition(4), timer: 1 }, "the store has no such partition"),
        ] {
            assert_eq!(reach(&[&within[..], &[key]].concat()), Err(key.damage(reason)));
        }
    }
}
