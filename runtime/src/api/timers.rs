//! Setting, looking at and cancelling timers from outside of turns.

use std::borrow::Cow;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Position, ReadError};

use crate::actor::Actor;
use crate::api::sending;
use crate::api::timer_list::Timer;
use crate::base::ended::NodeEnded;
use crate::commit::{Fired, Refused, Timers as TimerEffect, Transaction};
use crate::engine::new_timers::{new_timer, timer_meant};
use crate::engine::reading;
use crate::engine::timers::{check_room, on_top};
use crate::message::address::Address;
use crate::message::envelope::Origin;
use crate::message::refusal::{Refusal, SendError};
use crate::message::{Message, MessageId};
use crate::shard::Shard;
use crate::shard::current::Current;
use crate::tables;
use crate::timer::changes::TimerChanges;
use crate::timer::id::TimerId;
use crate::timer::identity::KnownBy;
use crate::timer::schedule::Schedule;
use crate::timer::timer_ref::TimerRef;

/// Why it is not known whether a timer was cancelled.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// It was not tried; the timer is as it was.
    #[error("not cancelled: {0}")]
    NotAccepted(#[from] Refusal),
    /// The node ended before it said that the cancellation is durable: the timer may be there or not.
    #[error("the node ended meanwhile, so that it is unknown whether the timer was cancelled: {0}")]
    OutcomeUnknown(#[from] NodeEnded),
}

/// Why a timer was not triggered. It is as it was.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum TriggerError {
    /// There is no such timer on this node: it was never set, was cancelled, or has fired for the last time.
    #[error("this node keeps no such timer; it was never set, was cancelled, or has fired for the last time")]
    NotThere,
    /// This build cannot send its message.
    #[error("the timer cannot fire: {0}")]
    CannotFire(Cow<'static, str>),
    /// The node does not take its message, because something is full, or it is stopping.
    #[error("not triggered: {0}")]
    NotAccepted(#[from] Refusal),
    /// The store cannot be read.
    #[error("not triggered: {0}")]
    Read(#[from] ReadError),
    /// The node ended before it said that the message is durable: it may be there or not.
    #[error("the node ended meanwhile, so that it is unknown whether the timer was triggered: {0}")]
    OutcomeUnknown(#[from] NodeEnded),
}

impl From<AdmissionError> for TriggerError {
    fn from(error: AdmissionError) -> Self {
        Self::NotAccepted(error.into())
    }
}

/// The timers of a node: all that were set on it, from outside or by turns, wherever their messages go. Made by
/// [`Node::timers`](crate::Node::timers).
///
/// ```
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Deposit>(); }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<i64, Failure> {
/// #         **balance += deposit.cents;
/// #         Ok(**balance)
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
/// # use std::time::Duration;
/// let alice = node.actor::<Account>("alice");
/// let yearly = Schedule::cron("0 0 1 1 *")?.in_zone("Europe/Berlin")?;
/// alice.schedule_named("interest", Deposit { cents: 1 }, yearly).await?;
/// let once = alice.schedule(Deposit { cents: 2 }, Schedule::after(Duration::from_secs(3600))).await?;
///
/// for timer in node.timers().list().await? {
///     println!("{:?} {}: {} ({} missed)", timer.name, timer.address, timer.schedule, timer.missed);
/// }
/// node.timers().trigger("interest").await?; // now, and on the first of January too
/// assert!(node.timers().cancel(once).await?);
/// # node.stop().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Timers {
    current: Current,
}

impl Timers {
    pub(crate) fn new(current: Current) -> Self {
        Self { current }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.current.look(|shard| shard.timers.len())
    }

    /// All of them, those with names first, in the order of these. One that this build cannot read is left out; the log
    /// of the start names it. It takes memory for each, of which there may be `timers_max`.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be read; nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// It only looks.
    pub async fn list(&self) -> Result<Vec<Timer>, ReadError> {
        let shard = self.current.get();
        let listed = Arc::clone(&shard);
        reading::off_the_workers(&shard, move || list(&listed)).await
    }

    /// The one of this name or id, if there is one that this build can read.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be read; nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// It only looks.
    pub async fn get<'a>(&self, which: impl Into<TimerRef<'a>>) -> Result<Option<Timer>, ReadError> {
        let shard = self.current.get();
        let timer = timer_meant(&shard, which.into());
        let Some(record) = read_timer(&shard, timer).await? else { return Ok(None) };
        let entry = shard.timers.lock().index.get(timer);
        Ok(Timer::decode(timer, &record, entry, shard.clock.now()))
    }

    /// Sends its message now, on top of what its schedule sends, which goes on as before. Durable when this returns the
    /// id of that message.
    ///
    /// # Errors
    ///
    /// [`TriggerError`]; it does not wait for room.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped has sent the message or not; made again, it sends another.
    pub async fn trigger<'a>(&self, which: impl Into<TimerRef<'a>>) -> Result<MessageId, TriggerError> {
        let shard = self.current.get();
        trigger_timer(&shard, timer_meant(&shard, which.into())).await
    }

    /// Cancels the one of this name or id. True when it was there: then it does not fire, or not again, whatever
    /// crashes; a tick that was sent before is handled all the same. False when it is gone: it was never set, has fired
    /// for the last time, or was cancelled, which is durable then.
    ///
    /// # Errors
    ///
    /// [`CancelError`] says whether it was tried.
    ///
    /// # Cancel safety
    ///
    /// A call that is dropped may or may not have cancelled the timer; it can be made again.
    pub async fn cancel<'a>(&self, which: impl Into<TimerRef<'a>>) -> Result<bool, CancelError> {
        let shard = self.current.get();
        cancel_timer(&shard, timer_meant(&shard, which.into())).await
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("count", &self.count()).finish_non_exhaustive()
    }
}

fn list(shard: &Shard) -> Result<Vec<Timer>, ReadError> {
    let now = shard.clock.now();
    let mut timers = Vec::new();
    shard.store.scan(&tables::TIMERS, |key, record| {
        let (partition, timer) = tables::timer_of(key);
        let id = TimerId::new(partition, MessageId(timer));
        let entry = shard.timers.lock().index.get(id);
        timers.extend(Timer::decode(id, record, entry, now));
        ControlFlow::Continue(())
    })?;
    timers.sort_by(|one, other| (one.name.is_none(), &one.name).cmp(&(other.name.is_none(), &other.name)));
    Ok(timers)
}

/// Sets a timer; it is durable when this returns. One that repeats and has no name is the one that does the same, if
/// there is one: a program may set it at each of its starts.
pub(crate) async fn set_timer<A: Actor, M: Message>(
    shard: &Shard,
    address: &Address,
    message: M,
    schedule: Schedule,
    name: Option<&str>,
) -> Result<TimerId, SendError<M>> {
    let id = MessageId::random();
    let known_by = match name {
        Some(name) => KnownBy::Name(name),
        None if schedule.repeats() => KnownBy::Content,
        None => KnownBy::Itself,
    };
    match submit_timer::<A, M>(shard, address, id, &message, schedule, known_by).await {
        Ok((timer, ticket)) => {
            let durable = shard.gate.durable(ticket).await;
            durable.map_err(|source| SendError::OutcomeUnknown { id: timer.message(), source })?;
            Ok(timer)
        }
        Err(reason) => Err(SendError::not_accepted(message, reason)),
    }
}

/// The timer, and what must be durable for it to be set.
async fn submit_timer<A: Actor, M: Message>(
    shard: &Shard,
    address: &Address,
    id: MessageId,
    message: &M,
    schedule: Schedule,
    known_by: KnownBy<'_>,
) -> Result<(TimerId, Position), Refusal> {
    sending::check_intake(shard)?;
    let origin = Origin::plain(id, shard.clock.wall());
    let new = new_timer(shard, A::TYPE, address, origin, message, schedule, known_by)?;
    let timer = new.timer;
    let mut changes = TimerChanges::default();
    changes.set(new);
    // One that is there is found there although the store is full.
    if let Some(set) = shard.timers.is_set(&changes) {
        return Ok((timer, set));
    }
    let timers_max = shard.config.timers_max;
    let transaction = Transaction::outside(shard).with(TimerEffect::from_outside(changes, timers_max));
    let permit = transaction.reserve().await?;
    match transaction.commit(permit) {
        Ok(committed) => Ok((timer, committed.ticket)),
        Err(Refused::TimersFull(timers)) => Err(Refusal::TimersFull { timers, timers_max }),
        // It was set meanwhile.
        Err(_) => Ok((timer, shard.timers.last_submitted())),
    }
}

/// Cancels a timer. Whether it was there; either way that is durable when this returns.
async fn cancel_timer(shard: &Shard, timer: TimerId) -> Result<bool, CancelError> {
    sending::check_intake(shard)?;
    let mut changes = TimerChanges::default();
    changes.cancel(timer);
    let transaction = Transaction::upkeep(shard).with(TimerEffect::from_outside(changes, shard.config.timers_max));
    let permit = transaction.reserve().await.map_err(Refusal::Store)?;
    let (was_there, ticket) = match transaction.commit(permit) {
        Ok(committed) => (true, committed.ticket),
        // What took it away may have to be written yet.
        Err(_) => (false, shard.timers.last_submitted()),
    };
    shard.gate.durable(ticket).await?;
    Ok(was_there)
}

async fn trigger_timer(shard: &Shard, timer: TimerId) -> Result<MessageId, TriggerError> {
    sending::check_intake(shard)?;
    let id = MessageId::random();
    loop {
        let entry = shard.timers.lock().index.get(timer).ok_or(TriggerError::NotThere)?;
        shard.gate.durable(entry.since).await?;
        let record = read_timer(shard, timer).await?;
        let Some(record) = record else {
            match shard.timers.lock().index.get(timer) {
                Some(now) if now == entry => return Err(TriggerError::CannotFire("it is not in the store".into())),
                _ => continue,
            }
        };
        let tick = on_top(shard, timer, entry, &record, id).map_err(TriggerError::CannotFire)?;
        tick.sends.iter().try_for_each(|send| check_room(shard, send))?;
        let tick = [tick];
        let transaction = Transaction::outside(shard).with(Fired::new(&tick));
        let permit = transaction.reserve().await?;
        // If it was cancelled or set anew meanwhile, it is looked at again.
        if let Ok(committed) = transaction.commit(permit) {
            shard.gate.durable(committed.ticket).await?;
            return Ok(id);
        }
    }
}

async fn read_timer(shard: &Shard, timer: TimerId) -> Result<Option<Bytes>, ReadError> {
    shard.store.read(timer.key()).await
}

crate::base::error_text::debug_as_text!(CancelError, TriggerError);
