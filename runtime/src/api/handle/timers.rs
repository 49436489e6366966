//! Timers that are set from outside.

use super::ActorHandle;
use crate::actor::{Actor, Receives};
use crate::api::timers::set_timer;
use crate::message::Message;
use crate::message::refusal::SendError;
use crate::timer::{Schedule, TimerId};

impl<A: Actor> ActorHandle<A> {
    /// Sends `message` as often as `schedule` says. When this has returned, the timer is durable; it is kept on this
    /// node, whatever node the actor lives on. While the node, the mailbox or the outbox is full, the ticks of a timer
    /// that repeats are held back, and are missed as when the node is down ([`Missed`](crate::Missed)).
    ///
    /// A timer that repeats is the one that sends the same message to the same actor by the same schedule, if there is
    /// one: so a program may set it at each of its starts. A schedule that was changed in the program is another timer,
    /// beside that of before: give it a name ([`schedule_named`](Self::schedule_named)), and it replaces it. Each call
    /// for a single tick sets a timer of its own.
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
    /// #     async fn handle(&self, _: &mut Durable<i64>, _: Report, _: &mut Turn<'_>)
    /// #         -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # async fn f(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let nightly = Schedule::cron("0 3 * * *")?.missed(Missed::Skip);
    /// let timer = node.actor::<Clerk>("bob").schedule(Report, nightly).await?;
    /// let was_there = node.timers().cancel(timer).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::NotAccepted`] hands the message back, with [`Refusal::TimersFull`](crate::Refusal::TimersFull) when
    /// the node keeps as many as `timers_max`; [`SendError::OutcomeUnknown`] when the node ended meanwhile.
    ///
    /// # Cancel safety
    ///
    /// A timer whose call is dropped is set as a whole or not at all. Made again, the call finds one that repeats; a
    /// single tick may come twice then, unless it has a name.
    pub async fn schedule<M: Message, Form>(&self, message: M, schedule: Schedule) -> Result<TimerId, SendError<M>>
    where
        A: Receives<M, Form>,
    {
        set_timer::<A, M>(&self.current.get(), self.address.address(), message, schedule, None).await
    }

    /// As [`schedule`](Self::schedule), as *the* timer of this name on this node: to be called whenever the program
    /// starts. If it is there with this schedule and this message for this actor, nothing changes, nor does the moment
    /// at which it is due next. Otherwise this takes its place, in one commit. One with the same schedule and another
    /// message is due when that was; one with another schedule begins anew. One of a single tick is gone when it has
    /// fired: set again, it fires again.
    ///
    /// Messages are compared by value, whatever of them their type leaves out for its idempotency keys; a set whose
    /// order may differ has to be marked ([`unordered`](crate::unordered)). A name is known on the node where it was
    /// set, and nowhere else; the ids of its ticks, and with them the [keys](crate::Turn::idempotency_key) for the
    /// outside, derive from it and from the moments of its ticks, also when it was cancelled and set again.
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
    /// #     async fn handle(&self, _: &mut Durable<i64>, _: Report, _: &mut Turn<'_>)
    /// #         -> Result<(), Failure> { Ok(()) }
    /// # }
    /// # async fn f(node: Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let nightly = Schedule::cron("0 3 * * *")?.in_zone("Europe/Berlin")?;
    /// node.actor::<Clerk>("bob").schedule_named("nightly-report", Report, nightly).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`schedule`](Self::schedule); [`Refusal::TimerName`](crate::Refusal::TimerName) for a name that is empty,
    /// longer than [`TIMER_NAME_BYTES_MAX`](crate::TIMER_NAME_BYTES_MAX), or has control characters.
    ///
    /// # Cancel safety
    ///
    /// The timer of a call that is dropped is set as a whole or not at all; the call can be made again.
    pub async fn schedule_named<M: Message, Form>(
        &self,
        name: &str,
        message: M,
        schedule: Schedule,
    ) -> Result<TimerId, SendError<M>>
    where
        A: Receives<M, Form>,
    {
        set_timer::<A, M>(&self.current.get(), self.address.address(), message, schedule, Some(name)).await
    }
}
