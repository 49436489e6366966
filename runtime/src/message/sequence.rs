//! The number of a message in the order of its node's store.

use std::fmt;

use everpost_persistence::Position;
use serde::{Deserialize, Serialize};

/// The number of a message in the order of the store that keeps it: a later message of a mailbox has a greater one,
/// with gaps between them. It says nothing across nodes.
///
/// ```
/// use everpost::Sequence;
///
/// let typed = "17".parse().map(Sequence).expect("a number");
/// assert_eq!(typed.to_string(), "17");
/// assert!(typed < Sequence(18));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sequence(pub u64);

impl Sequence {
    pub(crate) const fn of(position: Position) -> Self {
        Self(position.0)
    }

    pub(crate) const fn position(self) -> Position {
        Position(self.0)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
