//! Pausing actor types, and what is paused.

use super::Node;
use crate::actor::Actor;
use crate::api::pause::{PauseError, asked};
use crate::api::sending;
use crate::engine::pausing;
use crate::message::refusal::Refusal;
use crate::record::supervised::Paused;

impl Node {
    /// As [`ActorHandle::pause`](crate::ActorHandle::pause), for all actors of the type on this node.
    ///
    /// # Errors
    ///
    /// [`PauseError`]; nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// An order whose call is dropped counts as a whole or not at all; give it again.
    pub async fn pause_type<A: Actor>(&self, reason: &str) -> Result<(), PauseError> {
        self.set_type_paused::<A>(Some(asked(reason, self.shard().clock.wall()))).await
    }

    /// Lets the actors of the type go on, except those that are paused themselves.
    ///
    /// # Errors
    ///
    /// [`PauseError`]; nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// An order whose call is dropped counts as a whole or not at all; give it again.
    pub async fn resume_type<A: Actor>(&self) -> Result<(), PauseError> {
        self.set_type_paused::<A>(None).await
    }

    /// Everything on this node that is paused: addresses and names of actor types, in their order.
    #[must_use]
    pub fn paused(&self) -> Vec<(String, Paused)> {
        let shard = self.shard();
        let actor_types = shard.actor_types.values();
        let mut all: Vec<_> =
            actor_types.filter_map(|actor_type| Some((actor_type.name.to_owned(), actor_type.paused()?))).collect();
        shard.directory.for_each(|mailbox| {
            let paused = mailbox.lock().paused().cloned();
            all.extend(paused.map(|paused| (mailbox.address.to_string(), paused)));
        });
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    async fn set_type_paused<A: Actor>(&self, paused: Option<Paused>) -> Result<(), PauseError> {
        let shard = self.shard();
        sending::check_intake(&shard)?;
        let actor_type = shard.actor_types.get(A::TYPE).ok_or(Refusal::NoSuchActor { actor_type: A::TYPE })?;
        let ticket = pausing::set_type_paused(&shard, actor_type, paused).await?;
        Ok(shard.gate.durable(ticket).await?)
    }
}
