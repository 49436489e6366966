//! Expiry: messages that are not to be handled any more from some moment on.

use serde::{Deserialize, Serialize};

use crate::base::clock::Steady;
use crate::message::envelope::{Header, Origin};
use crate::message::priority::Priority;

/// What becomes of a message whose time is over before it was handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Expiry {
    /// It is deleted, and counted in [`NodeStatistics::expired`](crate::NodeStatistics::expired).
    #[default]
    Drop,
    /// It becomes a dead letter ([`Reason::Expired`](crate::Reason::Expired)).
    DeadLetter,
}

/// That a message expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expires {
    pub(crate) at: Steady,
    /// What its sender wants then; none for what its actor type says.
    pub(crate) then: Option<Expiry>,
}

/// When a message is handled, if it can be: how urgent it is, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handling {
    pub(crate) priority: Priority,
    pub(crate) expires: Option<Expires>,
}

impl Handling {
    pub(crate) fn of(header: &Header<'_>) -> Self {
        Self { priority: header.priority(), expires: header.expires() }
    }

    pub(crate) fn said_by(origin: &Origin<'_>) -> Self {
        Self { priority: origin.priority, expires: origin.expires }
    }
}

/// What whoever waits for a message that has expired is told.
pub(crate) const EXPIRED: &str = "its time was over before its turn came";
