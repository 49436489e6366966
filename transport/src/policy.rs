//! How long and for how many a node waits. Pure: moments, waits and random numbers are arguments.

pub(crate) mod admission;
pub(crate) mod backoff;
pub(crate) mod handshake_timeout;
pub(crate) mod large_frame;

pub use self::admission::{Admission, AdmissionId};
pub use self::backoff::Backoff;
pub use self::handshake_timeout::HandshakeTimeout;
