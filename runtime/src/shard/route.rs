//! Where a message goes: decided once, before it is put into its envelope, and by the same rule for whoever sends.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Partition, Position, Stage};
use everpost_transport::link::Lane;

use super::Shard;
use crate::cluster::Peer;
use crate::mailbox::Mailbox;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::Address;
use crate::message::expiry::Handling;
use crate::tables;

/// Where a message goes.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// Into a mailbox of this node.
    Local(Arc<Mailbox>),
    /// Into the outbox, on its way to an actor of another node.
    Remote(Remote),
}

/// The way to an actor of another node.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    pub(crate) peer: Arc<Peer>,
    pub(crate) lane: Lane,
    pub(crate) address: Address,
}

impl Route {
    pub(crate) fn address(&self) -> &Address {
        match self {
            Self::Local(mailbox) => &mailbox.address,
            Self::Remote(remote) => &remote.address,
        }
    }

    pub(crate) fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote),
        }
    }

    /// Puts a message on this way into the submission. Returns its position.
    pub(crate) fn stage(&self, stage: &mut Stage<'_>, envelope: Bytes) -> Position {
        match self {
            Self::Local(mailbox) => stage.enqueue(&tables::INBOX, mailbox.partition, envelope),
            Self::Remote(remote) => stage.enqueue(&tables::OUTBOX, Partition(remote.lane.partition), envelope),
        }
    }
}

impl Shard {
    /// The route to an address. What lives here is judged by its actor type, or by the want of one; what lives
    /// elsewhere is judged there.
    pub(crate) fn route<E>(
        &self,
        address: &Address,
        judge: impl FnOnce(Option<&Arc<ActorType>>) -> Result<(), E>,
    ) -> Result<Route, E> {
        if let Some(remote) = self.remote(address) {
            return Ok(Route::Remote(remote));
        }
        if let Some(mailbox) = self.directory.find(address.mailbox()) {
            judge(Some(&mailbox.actor_type))?;
            return Ok(Route::Local(mailbox));
        }
        let actor_type = self.actor_types.get(address.actor_type());
        judge(actor_type)?;
        let actor_type = actor_type.expect("an address without an actor type is refused by whoever judges it");
        Ok(Route::Local(self.directory.mailbox(address, actor_type)))
    }

    /// The way to an address that lives on another node; none to one that lives here.
    pub(crate) fn remote(&self, address: &Address) -> Option<Remote> {
        if self.cluster.is_alone() {
            return None;
        }
        let (peer, lane) = self.cluster.remote(address, address.partition(self.store.partitions()))?;
        Some(Remote { peer, lane, address: address.clone() })
    }
}

/// A message in its envelope, ready to be sent.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) route: Route,
    pub(crate) handling: Handling,
    pub(crate) envelope: Bytes,
}
