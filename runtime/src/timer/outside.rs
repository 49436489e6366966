//! Setting and cancelling timers from outside of turns.

use everpost_persistence::{Class, Position};

use super::changes::TimerChanges;
use super::id::TimerId;
use super::schedule::Schedule;
use crate::actor::Actor;
use crate::address::Address;
use crate::core::Core;
use crate::envelope::Origin;
use crate::gate::NodeEnded;
use crate::message::{Message, MessageId};
use crate::refusal::{Refusal, SendError};

/// Why it is not known whether a timer was cancelled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It was not tried; the timer is as it was.
    #[error("not cancelled: {0}")]
    NotAccepted(#[from] Refusal),
    /// The node ended before it said that the cancellation is durable: the timer may be there or not.
    #[error("the node ended meanwhile, so that it is unknown whether the timer was cancelled: {0}")]
    OutcomeUnknown(#[from] NodeEnded),
}

impl Core {
    /// Sets a timer; it is durable when this returns.
    pub(crate) async fn set_timer<A: Actor, M: Message>(
        &self,
        address: &Address,
        message: M,
        schedule: Schedule,
    ) -> Result<TimerId, SendError<M>> {
        let id = MessageId::random();
        match self.submit_timer::<A, M>(address, id, &message, schedule).await {
            Ok(ticket) => {
                let durable = self.gate.durable(ticket).await;
                durable.map_err(|source| SendError::OutcomeUnknown { id, source })?;
                Ok(self.timer_id(address, id))
            }
            Err(reason) => Err(SendError::not_accepted(message, reason)),
        }
    }

    async fn submit_timer<A: Actor, M: Message>(
        &self,
        address: &Address,
        id: MessageId,
        message: &M,
        schedule: Schedule,
    ) -> Result<Position, Refusal> {
        self.check_intake()?;
        let timer = self.new_timer::<A, M>(address, Origin::plain(id, self.clock.wall()), message, schedule)?;
        let permit = self.store.reserve(Class::Outside, timer.bytes()).await?;
        let mut changes = TimerChanges::default();
        changes.set(timer);
        let timers_max = self.config.timers_max;
        let changing = self.timers.change_within(changes, timers_max);
        let changing = changing.map_err(|timers| Refusal::TimersFull { timers, timers_max })?;
        let (ticket, ()) = self.store.submit(permit, |stage| changing.stage(stage));
        changing.submitted(ticket);
        Ok(ticket)
    }

    /// Cancels a timer. Whether it was there; either way that is durable when this returns.
    pub(crate) async fn cancel_timer(&self, timer: TimerId) -> Result<bool, CancelError> {
        self.check_intake()?;
        let permit = self.store.reserve(Class::Turn { grows: false }, 0).await.map_err(Refusal::Store)?;
        let mut changes = TimerChanges::default();
        changes.cancel(timer);
        let (was_there, ticket) = {
            let changing = self.timers.change(changes);
            if changing.cancels() {
                let (ticket, ()) = self.store.submit(permit, |stage| changing.stage(stage));
                changing.submitted(ticket);
                (true, ticket)
            } else {
                // What took it away may have to be written yet.
                (false, changing.last_submitted())
            }
        };
        self.gate.durable(ticket).await?;
        Ok(was_there)
    }
}
