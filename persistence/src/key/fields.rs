//! Reads the fields of a key.

use crate::ids::{Partition, Position};
use crate::integers::{take_u16, take_u32, take_u64, take_u128};

/// The fields of a key, from the first on; see [`Key::fields`](crate::Key::fields).
///
/// ```
/// use everpost_persistence::{Field, Partition, Table};
///
/// const PEOPLE: Table = Table::keyed(3, "people", 1, &[Field::Partition, Field::U128]);
///
/// let key = PEOPLE.key().partition(Partition(7)).u128(1).end();
/// let mut fields = key.fields();
/// assert_eq!((fields.partition(), fields.u128()), (Partition(7), 1));
/// ```
#[derive(Debug, Clone)]
pub struct Fields<'k> {
    rest: &'k [u8],
}

const MISSING: &str = "the table is declared with this field";

/// # Panics
///
/// All of these, if the key has no such field left: a defect of the caller.
impl<'k> Fields<'k> {
    pub(super) const fn new(bytes: &'k [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Takes the partition.
    pub fn partition(&mut self) -> Partition {
        Partition(take_u16(&mut self.rest).expect(MISSING))
    }

    /// Takes the position.
    pub fn position(&mut self) -> Position {
        Position(take_u64(&mut self.rest).expect(MISSING))
    }

    /// Takes a number of 4 bytes.
    pub fn u32(&mut self) -> u32 {
        take_u32(&mut self.rest).expect(MISSING)
    }

    /// Takes a number of 8 bytes.
    pub fn u64(&mut self) -> u64 {
        take_u64(&mut self.rest).expect(MISSING)
    }

    /// Takes an id of 16 bytes.
    pub fn u128(&mut self) -> u128 {
        take_u128(&mut self.rest).expect(MISSING)
    }
}
