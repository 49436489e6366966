//! Waiting messages that expire.

use std::sync::Arc;

use everpost_persistence::{MailboxId, Position};
use everpost_transport::link::Lane;

use crate::cluster::Peer;
use crate::message::MessageId;
use crate::message::expiry::Expiry;
use crate::message::request::RequestId;

/// Where a message that expires waits.
#[derive(Clone, Debug)]
pub(crate) enum Waits {
    /// In a mailbox of this node.
    Mailbox(MailboxId),
    /// In the outbox, for this peer.
    Outbox(Arc<Peer>, Lane),
}

/// A waiting message that expires.
#[derive(Clone, Debug)]
pub(crate) struct Expiring {
    pub(crate) position: Position,
    pub(crate) place: Waits,
    pub(crate) id: MessageId,
    /// Its idempotency key.
    pub(crate) request: Option<RequestId>,
    pub(crate) bytes: usize,
    pub(crate) then: Expiry,
}
