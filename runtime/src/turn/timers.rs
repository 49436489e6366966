//! Timers that a turn sets and cancels, as part of its commit.

use std::time::Duration;

use super::Turn;
use crate::actor::Receives;
use crate::address::AddressOf;
use crate::clock::Micros;
use crate::failure::Failure;
use crate::message::Message;
use crate::timer::{Schedule, TimerId};

impl Turn<'_> {
    /// Sends `message` to `to` when `delay` has passed. Short for `schedule(to, message, Schedule::after(delay))`.
    pub fn send_after<A, M, Form>(&mut self, to: &AddressOf<A>, message: M, delay: Duration) -> TimerId
    where
        A: Receives<M, Form>,
        M: Message,
    {
        self.schedule(to, message, Schedule::after(delay))
    }

    /// Sends `message` to `to` at that moment; at once when it has passed. Short for `schedule(to, message, Schedule::at(moment))`.
    pub fn send_at<A, M, Form>(&mut self, to: &AddressOf<A>, message: M, moment: impl Into<Micros>) -> TimerId
    where
        A: Receives<M, Form>,
        M: Message,
    {
        self.schedule(to, message, Schedule::at(moment))
    }

    /// Sends `message` to `to` as often as `schedule` says. The timer is set when this turn commits, or never; its name is
    /// the same on every attempt of this message. It is kept on this node, whatever node `to` lives on.
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
    /// #     async fn handle(&self, _: &mut Durable<Option<TimerId>>, _: Remind, _: &mut Turn<'_>) -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # impl Handler<Order> for Clerk {
    /// async fn handle(&self, reminder: &mut Durable<Option<TimerId>>, _: Order, turn: &mut Turn<'_>) -> Result<(), Failure> {
    ///     let daily = Schedule::every(Duration::from_secs(24 * 60 * 60))?.missed(Missed::Once);
    ///     **reminder = Some(turn.schedule(&Clerk::at("bob"), Remind, daily));
    ///     Ok(())
    /// }
    /// # }
    /// # impl Handler<Paid> for Clerk {
    /// async fn handle(&self, reminder: &mut Durable<Option<TimerId>>, _: Paid, turn: &mut Turn<'_>) -> Result<(), Failure> {
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
        let id = self.next_id();
        match self.core.new_timer::<A, M>(to.address(), self.origin(id, self.core.clock.wall()), &message, schedule) {
            Ok(timer) => self.staged.timers.set(timer),
            Err(refusal) => {
                let failure = || Failure::reject(format!("`{}` cannot be sent to {to} later: {refusal}", M::NAME));
                self.staged.refused.get_or_insert_with(failure);
            }
        }
        self.core.timer_id(to.address(), id)
    }

    /// Cancels a timer that was set on this node: from the commit of this turn on it does not fire. Nothing happens when it has
    /// fired before that, or was cancelled.
    pub fn cancel(&mut self, timer: TimerId) {
        self.staged.timers.cancel(timer);
    }
}
