//! From the files of a store to one that runs: making, checking, recovering.

mod halves;
mod making;
mod random;
mod recover;
mod replay;

pub(crate) use self::halves::{Found, find};
pub(crate) use self::making::{is_new, refuse_unmade};
pub use self::recover::Opened;
pub(crate) use self::recover::{Recovered, recover};
pub(crate) use self::replay::{Replayed, Tail, replay};
