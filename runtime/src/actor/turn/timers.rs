//! Timers that a turn sets and cancels, as part of its commit.

use super::Turn;
use crate::actor::Receives;
use crate::actor::address_of::AddressOf;
use crate::engine::new_timers::{new_timer, timer_id, timer_meant, timer_of_name};
use crate::message::failure::Failure;
use crate::message::{Message, MessageId};
use crate::timer::timer_ref::TimerRef;
use crate::timer::{KnownBy, Schedule, TimerId};

impl Turn<'_> {
    /// Sends `message` to `to` as often as `schedule` says. The timer is set when this turn commits, or never; its name
    /// is the same on every attempt of this message. It is kept on this node, whatever node `to` lives on. Each call
    /// sets a timer of its own; [`schedule_named`](Self::schedule_named) sets the one of a name.
    ///
    /// A message that cannot be sent (a type its actor did not register, an address that is too long) fails the turn.
    ///
    /// ```
    /// # use everpost::*;
    /// # use std::time::Duration;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Order;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Remind;
    /// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Paid;
    /// # struct Clerk;
    /// # impl Actor for Clerk {
    /// #     const TYPE: &'static str = "clerk"; type State = Option<TimerId>;
    /// #     fn handlers(handlers: &mut Handlers<Self>) {
    /// #         handlers.on::<Order>(); handlers.on::<Remind>(); handlers.on::<Paid>();
    /// #     }
    /// # }
    /// # impl Handler<Remind> for Clerk {
    /// #     async fn handle(&self, _: &mut Durable<Option<TimerId>>, _: Remind, _: &mut Turn<'_>)
    /// #         -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # impl Handler<Order> for Clerk {
    /// async fn handle(&self, reminder: &mut Durable<Option<TimerId>>, _: Order, turn: &mut Turn<'_>)
    ///     -> Result<(), Failure> {
    ///     let daily = Schedule::every(Duration::from_secs(24 * 60 * 60))?.missed(Missed::Once);
    ///     **reminder = Some(turn.schedule(&Clerk::at("bob"), Remind, daily));
    ///     Ok(())
    /// }
    /// # }
    /// # impl Handler<Paid> for Clerk {
    /// async fn handle(&self, reminder: &mut Durable<Option<TimerId>>, _: Paid, turn: &mut Turn<'_>)
    ///     -> Result<(), Failure> {
    ///     if let Some(timer) = reminder.take() {
    ///         turn.cancel(timer);
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    pub fn schedule<A, M, Form>(&mut self, to: &AddressOf<A>, message: M, schedule: Schedule) -> TimerId
    where
        A: Receives<M, Form>,
        M: Message,
    {
        let id = self.message_id().timer(self.staged.numbers.timer());
        self.set_timer(to, id, message, schedule, KnownBy::Itself);
        timer_id(self.shard, to.address(), id)
    }

    /// As [`schedule`](Self::schedule), as *the* timer of this name on this node: see
    /// [`ActorHandle::schedule_named`](crate::ActorHandle::schedule_named). If it is there as it would be set, nothing
    /// changes.
    ///
    /// A name that no timer can have fails the turn.
    pub fn schedule_named<A, M, Form>(
        &mut self,
        name: &str,
        to: &AddressOf<A>,
        message: M,
        schedule: Schedule,
    ) -> TimerId
    where
        A: Receives<M, Form>,
        M: Message,
    {
        let timer = timer_of_name(self.shard, name);
        self.set_timer(to, timer.message(), message, schedule, KnownBy::Name(name));
        timer
    }

    fn set_timer<A, M, Form>(
        &mut self,
        to: &AddressOf<A>,
        id: MessageId,
        message: M,
        schedule: Schedule,
        known_by: KnownBy<'_>,
    ) where
        A: Receives<M, Form>,
        M: Message,
    {
        match new_timer(
            self.shard,
            A::TYPE,
            to.address(),
            self.origin(id, self.shard.clock.wall()),
            &message,
            schedule,
            known_by,
        ) {
            Ok(timer) => self.staged.timers.set(timer),
            Err(refusal) => {
                let failure = || Failure::reject(format!("`{}` cannot be sent to {to} later: {refusal}", M::NAME));
                self.staged.refuse(failure);
            }
        }
    }

    /// Cancels a timer that was set on this node, by what setting it has returned, or by name: from the commit of this
    /// turn on it does not fire. Nothing happens when it has fired before that, or was cancelled.
    pub fn cancel<'t>(&mut self, which: impl Into<TimerRef<'t>>) {
        self.staged.timers.cancel(timer_meant(self.shard, which.into()));
    }
}
