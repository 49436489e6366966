//! Timers that are set from outside.

use std::time::Duration;

use super::ActorHandle;
use crate::actor::{Actor, Receives};
use crate::clock::Micros;
use crate::message::Message;
use crate::refusal::SendError;
use crate::timer::{Schedule, TimerId};

impl<A: Actor> ActorHandle<A> {
    /// Sends `message` when `delay` has passed. Short for `schedule(message, Schedule::after(delay))`.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::schedule`].
    ///
    /// # Cancel safety
    ///
    /// As [`ActorHandle::schedule`].
    pub async fn send_after<M: Message, Form>(&self, message: M, delay: Duration) -> Result<TimerId, SendError<M>>
    where
        A: Receives<M, Form>,
    {
        self.schedule(message, Schedule::after(delay)).await
    }

    /// Sends `message` at that moment; at once when it has passed. Short for `schedule(message, Schedule::at(moment))`.
    ///
    /// # Errors
    ///
    /// As [`ActorHandle::schedule`].
    ///
    /// # Cancel safety
    ///
    /// As [`ActorHandle::schedule`].
    pub async fn send_at<M: Message, Form>(
        &self,
        message: M,
        moment: impl Into<Micros>,
    ) -> Result<TimerId, SendError<M>>
    where
        A: Receives<M, Form>,
    {
        self.schedule(message, Schedule::at(moment)).await
    }

    /// Sends `message` as often as `schedule` says. When this has returned, the timer is durable; it is kept on this node,
    /// whatever node the actor lives on. A tick is never held back by a full mailbox.
    ///
    /// ```no_run
    /// # use everpost::*;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Report;
    /// # struct Clerk;
    /// # impl Actor for Clerk {
    /// #     const TYPE: &'static str = "clerk"; type State = i64;
    /// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Report>(); }
    /// # }
    /// # impl Handler<Report> for Clerk {
    /// #     async fn handle(&self, _: &mut Durable<i64>, _: Report, _: &mut Turn<'_>) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # async fn f(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let nightly = Schedule::cron("0 3 * * *")?.missed(Missed::Skip);
    /// let timer = node.actor::<Clerk>("bob").schedule(Report, nightly).await?;
    /// let was_there = node.cancel(timer).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back, with [`Refusal::TimersFull`](crate::Refusal::TimersFull) when the
    /// node keeps as many as `timers_max`; [`SendError::OutcomeUnknown`] when the node ended meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A timer whose call is dropped is set as a whole or not at all; without its name it cannot be cancelled.
    pub async fn schedule<M: Message, Form>(&self, message: M, schedule: Schedule) -> Result<TimerId, SendError<M>>
    where
        A: Receives<M, Form>,
    {
        self.core.set_timer::<A, M>(self.address.address(), message, schedule).await
    }
}
