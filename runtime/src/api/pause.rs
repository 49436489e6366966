//! Pausing and resuming: an address, or all of an actor type. What is paused keeps accepting and handles nothing.

use std::sync::Arc;

use everpost_persistence::AdmissionError;

use crate::actor::Actor;
use crate::api::handle::ActorHandle;
use crate::api::sending;
use crate::base::clock::Micros;
use crate::base::ended::NodeEnded;
use crate::engine::pausing;
use crate::mailbox::actor_type::ActorType;
use crate::message::address::Address;
use crate::message::refusal::Refusal;
use crate::record::supervised::{PauseReason, Paused};
use crate::shard::{Remote, Shard};

/// Why nothing was paused or resumed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PauseError {
    /// The actor lives on another node: pause it there.
    #[error("{address} lives on node `{node}`; pause or resume it there")]
    LivesElsewhere {
        /// The actor.
        address: String,
        /// Where it lives.
        node: String,
    },
    /// The node does not take the order.
    #[error(transparent)]
    NotAccepted(#[from] Refusal),
    /// The node ended before it said that the order is durable.
    #[error("the node ended while the order was being written, so that it is unknown whether it counts: {0}")]
    OutcomeUnknown(#[from] NodeEnded),
}

impl From<AdmissionError> for PauseError {
    fn from(error: AdmissionError) -> Self {
        Self::NotAccepted(error.into())
    }
}

impl<A: Actor> ActorHandle<A> {
    /// Lets the actor handle nothing more until it is resumed, also over restarts of the node. Its mailbox keeps
    /// accepting; a turn that runs is finished; queries to its state are answered. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`PauseError`]; nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// An order whose call is dropped counts as a whole or not at all; give it again.
    pub async fn pause(&self, reason: &str) -> Result<(), PauseError> {
        let shard = self.current.get();
        let (address, actor_type) = self.supervised_here(&shard)?;
        let ticket = pausing::pause(&shard, address, actor_type, asked(reason, shard.clock.wall())).await?;
        Ok(shard.gate.durable(ticket).await?)
    }

    /// Lets the actor go on, with its whole restart budget. Nothing happens to one that is not paused. One whose state
    /// may have ended the process stays a suspect: such deaths are counted whatever is paused and resumed meanwhile.
    ///
    /// # Errors
    ///
    /// [`PauseError`]; nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// An order whose call is dropped counts as a whole or not at all; give it again.
    pub async fn resume(&self) -> Result<(), PauseError> {
        let shard = self.current.get();
        let (address, _) = self.supervised_here(&shard)?;
        let ticket = pausing::resume(&shard, address).await?;
        Ok(shard.gate.durable(ticket).await?)
    }

    /// Why the actor is paused, if it is. Only known on the node where it lives; says nothing of its whole type, for
    /// which there is [`Node::paused`](crate::Node::paused).
    #[must_use]
    pub fn paused(&self) -> Option<Paused> {
        let mailbox = self.current.get().directory.find(self.address.address().mailbox())?;
        let inner = mailbox.lock();
        inner.paused().cloned()
    }

    fn supervised_here<'a>(&'a self, shard: &'a Shard) -> Result<(&'a Address, &'a Arc<ActorType>), PauseError> {
        sending::check_intake(shard)?;
        let address = self.address.address();
        if let Some(Remote { peer, .. }) = shard.remote(address) {
            return Err(PauseError::LivesElsewhere { address: address.to_string(), node: peer.name.to_string() });
        }
        let actor_type = shard.actor_types.get(A::TYPE);
        Ok((address, actor_type.ok_or(Refusal::NoSuchActor { actor_type: A::TYPE })?))
    }
}

pub(crate) fn asked(reason: &str, now: Micros) -> Paused {
    Paused { reason: PauseReason::Asked(reason.to_owned()), since: now }
}

crate::base::error_text::debug_as_text!(PauseError);
