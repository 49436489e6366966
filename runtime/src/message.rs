//! Messages as everything else sees them: who they are for, what they say about themselves, and how their bytes are
//! read.

pub(crate) mod address;
pub(crate) mod ask;
pub(crate) mod decode;
mod definition;
pub(crate) mod delivery;
pub(crate) mod encode;
pub(crate) mod envelope;
pub(crate) mod expiry;
pub(crate) mod failure;
pub(crate) mod fingerprint;
pub(crate) mod newest;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod priority;
pub(crate) mod reason;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod sequence;
pub(crate) mod unhandled;

pub(crate) use self::definition::first_half;
pub use self::definition::{Message, MessageId, UpgradeError};
