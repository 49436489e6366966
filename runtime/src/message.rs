//! Messages as everything else sees them: who they are for, what they say about themselves, and how their bytes are read.

pub(crate) mod address;
pub(crate) mod decode;
mod definition;
pub(crate) mod encode;
pub(crate) mod envelope;
pub(crate) mod identity;
pub(crate) mod priority;
pub(crate) mod refusal;
pub(crate) mod schema;

pub(crate) use self::definition::first_half;
pub use self::definition::{Message, MessageId, UpgradeError};
