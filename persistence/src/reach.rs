//! How far the keys of records reach. What a key names is counted on from: the next position to be given out, the
//! partitions that there are. So a record that nobody can have written is refused by its key before anything is built
//! on it. Pure.

use crate::error::Damage;
use crate::ids::{Partition, Position};
use crate::key::Key;
use crate::table::Schema;

/// Of the records that were looked at, those that reach furthest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    schema: Schema,
    position: Option<(Position, Key)>,
    partition: Option<(Partition, Key)>,
}

impl Reach {
    pub(crate) const fn new(schema: Schema) -> Self {
        Self { schema, position: None, partition: None }
    }

    /// Looks at the key of a record. Refuses the position that means "none".
    pub(crate) fn note(&mut self, key: &Key) -> Result<(), Damage> {
        if let Some(position) = key.position() {
            if position == Position(0) {
                return Err(self.damage(key, "no record has this position"));
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
            (Some((position, key)), _) if position > last => Err(self.damage(&key, "its position was never given out")),
            (_, Some((partition, key))) if partition.0 >= partitions => {
                Err(self.damage(&key, "the store has no such partition"))
            }
            _ => Ok(()),
        }
    }

    fn damage(&self, key: &Key, reason: &'static str) -> Damage {
        self.schema.table(key.table()).damage(key, reason)
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
    use crate::declared;

    fn reach(keys: &[Key]) -> Result<(), Damage> {
        let mut reach = Reach::new(declared::SCHEMA);
        keys.iter().try_for_each(|key| reach.note(key))?;
        reach.check(4, Position(9))
    }

    #[test]
    fn the_record_that_reaches_too_far_is_named() {
        let (partition, position) = (Partition(3), Position(9));
        let within = [
            declared::inbox(partition, position),
            declared::outbox(partition, Position(1)),
            declared::attempts(Partition(0), position),
            declared::note(u32::MAX),
        ];
        assert_eq!(reach(&within), Ok(()));
        let never = "its position was never given out";
        for (key, reason) in [
            (declared::inbox(partition, Position(10)), never),
            (declared::outbox(partition, Position(u64::MAX)), never),
            (declared::attempts(partition, Position(10)), never),
            (declared::attempts(partition, Position(0)), "no record has this position"),
            (declared::timer(Partition(4), 1), "the store has no such partition"),
        ] {
            assert_eq!(
                reach(&[&within[..], &[key]].concat()),
                Err(declared::SCHEMA.table(key.table()).damage(&key, reason))
            );
        }
    }
}
