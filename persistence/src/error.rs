//! What can go wrong: one enum per operation. Each message says what happened, what it means for the data and what to
//! do next.

mod admission;
mod batch;
mod commit;
mod damage;
mod environment;
mod limit;
mod open;
mod read;

pub use self::admission::AdmissionError;
pub use self::batch::BatchError;
pub use self::commit::CommitError;
pub use self::damage::{Damage, KeyBytes};
pub use self::environment::Environment;
pub use self::limit::{ProcessLimit, ProcessLimits};
pub(crate) use self::open::failed;
pub use self::open::{ConfigError, OpenError};
pub use self::read::ReadError;
