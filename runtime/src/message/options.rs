//! What a sender says about the delivery of a message.

use std::time::Duration;

use crate::base::clock::Now;
use crate::message::envelope::{Extension, Origin};
use crate::message::expiry::{Expires, Expiry};
use crate::message::priority::Priority;
use crate::message::request::RequestId;

/// How a message is to be delivered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) priority: Priority,
    /// After which wait it expires; none for never.
    pub(crate) expires_in: Option<Duration>,
    /// What becomes of it then; none for what its actor type says.
    pub(crate) when_expired: Option<Expiry>,
    /// Its idempotency key.
    pub(crate) request: Option<RequestId>,
}

impl Options {
    /// Says it in the headers of a message that is sent now.
    pub(crate) fn apply<'a>(&self, origin: Origin<'a>, now: Now) -> Origin<'a> {
        let extension = Extension::of_request(self.request);
        let expires = self.expires_in.map(|wait| Expires { at: now.steady.plus(wait), then: self.when_expired });
        Origin { priority: self.priority, expires, extension, ..origin }
    }
}
