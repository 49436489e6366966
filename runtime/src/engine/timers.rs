//! Firing: one task sends what is due. A tick and what becomes of its timer are one submission, so that each has its
//! effect once wherever the process dies.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use everpost_persistence::{AdmissionError, ReadError};
use tokio::time::{Instant, sleep, timeout};

use crate::base::alarm::{Alarm, Said};
use crate::base::clock::{Micros, Now, Steady};
use crate::cluster::OutboxFull;
use crate::commit::{Fired, Firing, Transaction};
use crate::engine::reading;
use crate::engine::timer_recovery::{NO_ZONE, UNREADABLE, set_right};
use crate::mailbox::actor_type::ActorType;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::envelope::{Header, as_tick};
use crate::message::expiry::Handling;
use crate::message::refusal::Refusal;
use crate::message::unhandled::Unhandled;
use crate::shard::{Remote, Route, Routed, Shard};
use crate::timer::id::TimerId;
use crate::timer::index::{Entry, Next};
use crate::timer::plan::Due;
use crate::timer::record::TimerRecord;
use crate::timer::schedule::Missed;
use crate::timer::tick::{Then, Tick};

/// How long the clock is trusted: one that was set is noticed within this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often some of those that are held back are looked at.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(100);
/// How many timers are looked at in one step.
const TIMERS_AT_A_TIME: usize = 256;
/// How many missed ticks of one timer are sent in one step.
const TICKS_AT_A_TIME: usize = 64;
/// How many bytes one submission takes where the store takes that; a single tick may have more.
const BYTES_AT_A_TIME: usize = 32 << 10;
/// For how long one step reads and reckons; a single timer may take longer.
const READING_MAX: Duration = Duration::from_millis(20);

/// What the task remembers from step to step.
#[derive(Debug)]
struct Watch {
    /// When those that are held back were looked at last.
    looked: Steady,
    /// When it was tried in vain to set timers right after the clock was put back.
    set_right: Option<Steady>,
    left_out: Alarm,
    /// How many ticks were left out since that was told.
    ticks: u64,
    held_back: Alarm,
    /// What was to fire together was too large for the store: the next one fires alone, by one tick.
    is_alone: bool,
}

/// Sends what is due for as long as the node runs.
pub(crate) async fn fire_timers(shard: Arc<Shard>) {
    let looked = shard.clock.steady();
    let (left_out, held_back) = (Alarm::default(), Alarm::default());
    let mut watch = Watch { looked, set_right: None, left_out, ticks: 0, held_back, is_alone: false };
    while !shard.is_stopping() {
        if !watch.look(&shard).await {
            return;
        }
        let (next, holds_back) = {
            let index = &shard.timers.lock().index;
            (index.next(shard.clock.now(), shard.store.durable(), TIMERS_AT_A_TIME), index.holds_back())
        };
        let wait = if holds_back { LOOK_AGAIN_EVERY } else { LOOK_EVERY };
        let goes_on = match next {
            Next::Nothing if !holds_back => {
                shard.timers.earlier.notified().await;
                true
            }
            Next::Nothing => wait_for(&shard, wait).await,
            Next::After(moment) => wait_for(&shard, moment.min(wait)).await,
            Next::Durable(position) => shard.gate.durable(position).await.is_ok(),
            Next::Fire(due) => fire(&shard, due, &mut watch).await,
        };
        if !goes_on {
            return;
        }
    }
}

impl Watch {
    /// Looks at what may have changed by itself. False when the store can be read no more.
    async fn look(&mut self, shard: &Arc<Shard>) -> bool {
        let now = shard.clock.now();
        if now.steady.since(self.looked) >= LOOK_AGAIN_EVERY {
            self.looked = now.steady;
            let mut state = shard.timers.lock();
            if !state.index.holds_back() && self.held_back.clear(Instant::now()).is_some() {
                tracing::info!(
                    node = %shard.name, event = "ticks are sent again",
                    "there is room for what repeating timers send"
                );
            }
            state.index.look_again(TIMERS_AT_A_TIME);
        }
        let is_tried_lately = self.set_right.is_some_and(|tried| now.steady.since(tried) < LOOK_EVERY);
        let last = {
            let mut state = shard.timers.lock();
            if !state.latest.is_put_back(now.wall) || is_tried_lately {
                return true;
            }
            state.last_submitted
        };
        // What has fired must be seen as it is now.
        if shard.gate.durable(last).await.is_err() {
            return false;
        }
        let setting = Arc::clone(shard);
        match reading::off_the_workers(shard, move || set_right(&setting, last)).await {
            Ok(()) => {
                shard.timers.lock().latest.set_right(now.wall);
                self.set_right = None;
                true
            }
            Err(ReadError::Closed) => false,
            Err(error) => {
                self.set_right = Some(now.steady);
                if let Some(times) = shard.recurring.met("timers not set right") {
                    tracing::error!(
                        node = %shard.name, %error, times, event = "timers not set right",
                        "timers cannot be set right after the clock was put back; it is tried again, and until then \
                         those by wall time may wait for longer"
                    );
                }
                true
            }
        }
    }

    /// These timers have no room for their ticks.
    fn hold_back(&mut self, shard: &Shard, timers: Vec<(TimerId, Entry)>) {
        let Some(&(timer, _)) = timers.first() else { return };
        if let Some(Said { times, lasts }) = self.held_back.raise(Instant::now()) {
            tracing::error!(
                node = %shard.name, %timer, times, ?lasts, event = "ticks held back",
                "what repeating timers send is held back, since this node, or the mailbox or outbox that it goes to, \
                 is full; it is sent when there is room, and missed until then"
            );
        }
        shard.timers.hold_back(timers);
    }

    /// Ticks are left out.
    fn leave_out(&mut self, shard: &Shard, firings: &[Firing]) {
        let Some(firing) = firings.iter().find(|firing| firing.left_out > 0) else { return };
        self.ticks = self.ticks.saturating_add(firings.iter().map(|firing| firing.left_out).sum());
        let (timer, now) = (firing.tick.timer, Instant::now());
        if let Some(Said { times, .. }) = self.left_out.raise(now) {
            let ticks = std::mem::take(&mut self.ticks);
            tracing::error!(
                node = %shard.name, %timer, ticks, times, event = "ticks left out",
                "timers with `Missed::All` could not fire for too long: their newest ticks are sent, and these are \
                 not; see `missed_within` and `missed_max` of their schedules"
            );
        }
        // Each time it is over at once.
        let _ = self.left_out.clear(now);
    }
}

/// Waits for so long, or until a timer is due before all others. Either way it is looked at anew.
async fn wait_for(shard: &Shard, wait: Duration) -> bool {
    let _ = timeout(wait, shard.timers.earlier.notified()).await;
    true
}

/// Fires these timers, or the first of them. False when the store takes nothing any more.
async fn fire(shard: &Arc<Shard>, due: Vec<(TimerId, Entry)>, watch: &mut Watch) -> bool {
    let (reading, is_alone) = (Arc::clone(shard), std::mem::take(&mut watch.is_alone));
    let read = reading::off_the_workers(shard, move || firings(&reading, due, is_alone)).await;
    let Ok(Read { firings, held, is_unreadable }) = read else { return false };
    watch.hold_back(shard, held);
    if firings.is_empty() {
        if is_unreadable {
            sleep(LOOK_EVERY).await;
        }
        return true;
    }
    let transaction = Transaction::node(shard).with(Fired::new(&firings));
    match transaction.reserve().await {
        Ok(permit) => {
            watch.leave_out(shard, &firings);
            // Nothing happens where all of them were cancelled or set anew meanwhile.
            let _ = transaction.commit(permit);
        }
        // Whoever is too large alone is found alone, and takes nobody with it.
        Err(AdmissionError::TooLarge { .. }) if !is_single(&firings) => watch.is_alone = true,
        Err(error @ AdmissionError::TooLarge { .. }) => {
            for firing in &firings {
                set_apart(shard, firing.tick.timer, firing.tick.entry, &error.to_string());
            }
        }
        Err(_) => return false,
    }
    true
}

fn is_single(firings: &[Firing]) -> bool {
    matches!(firings, [firing] if firing.sends.len() <= 1)
}

/// What was read of timers that are due.
#[derive(Debug, Default)]
struct Read {
    firings: Vec<Firing>,
    /// There is no room for these.
    held: Vec<(TimerId, Entry)>,
    /// The store could not be read just now.
    is_unreadable: bool,
}

/// Reads timers from the store, as many as fit one submission, or one for a single tick. Blocks. None when the store is
/// closed.
fn firings(shard: &Shard, mut due: Vec<(TimerId, Entry)>, is_alone: bool) -> Result<Read, ReadError> {
    let now = shard.clock.now();
    // A timer that goes on has its message twice in its submission, and several of these fit the store's queue, however
    // small that is.
    let bytes_max = shard.config.store.submission_bytes_max() / 4;
    let mut room = if is_alone { 0 } else { bytes_max.min(BYTES_AT_A_TIME) };
    due.truncate(if is_alone { 1 } else { due.len() });
    let mut read = Read { firings: Vec::with_capacity(due.len()), ..Read::default() };
    for (timer, entry) in due {
        let record = match shard.store.get(&timer.key()) {
            Ok(Some(record)) => record,
            Ok(None) => {
                set_apart(shard, timer, entry, "it is not in the store though it waits");
                continue;
            }
            Err(ReadError::Closed) => return Err(ReadError::Closed),
            Err(error @ ReadError::Damaged { .. }) => {
                set_apart(shard, timer, entry, &error.to_string());
                continue;
            }
            Err(error) => {
                if let Some(times) = shard.recurring.met("timer unreadable") {
                    tracing::error!(
                        node = %shard.name, %timer, %error, times, event = "timer unreadable",
                        "a timer cannot be read now; it is tried again"
                    );
                }
                read.is_unreadable = true;
                break;
            }
        };
        let is_full = record.len() > room || shard.clock.steady().since(now.steady) > READING_MAX;
        if is_full && !(read.firings.is_empty() && read.held.is_empty()) {
            break;
        }
        match firing(shard, timer, entry, &record, now, room) {
            Ok(Some(firing)) => {
                room = room.saturating_sub(firing.bytes());
                read.firings.push(firing);
            }
            Ok(None) => read.held.push((timer, entry)),
            Err(reason) => set_apart(shard, timer, entry, &reason),
        }
    }
    Ok(read)
}

/// What a timer does that is due; none when there is no room for it, or why it cannot fire.
fn firing(
    shard: &Shard,
    timer: TimerId,
    entry: Entry,
    record: &[u8],
    now: Now,
    room: usize,
) -> Result<Option<Firing>, Cow<'static, str>> {
    let (record, envelope) = TimerRecord::decode(record).ok_or(UNREADABLE)?;
    let plan = &record.plan;
    let (Due::Steady(Steady(due)) | Due::Wall(Micros(due))) = entry.due else { return Err(UNREADABLE.into()) };
    let ticks_max = (room / envelope.len()).clamp(1, TICKS_AT_A_TIME);
    let round = plan.beat().map_err(|_| NO_ZONE)?.round(plan.catch_up, due, plan.present(now), ticks_max);
    let send = |tick: &u64| {
        let id = MessageId::of_tick(timer.message(), Micros(*tick));
        staged(shard, envelope, id, plan.wall_of(*tick, now))
    };
    let sends = round.ticks.iter().map(send).collect::<Result<Vec<_>, _>>()?;
    // A timer that fires once is counted by `timers_max`, and leaves room when it has fired. What repeats would fill
    // the node.
    if plan.repeats() && sends.first().is_some_and(|send| check_room(shard, send).is_err()) {
        return Ok(None);
    }
    let left_out = if plan.catch_up.missed == Missed::All { round.missed } else { 0 };
    let plan = plan.clone();
    let then = match record.after(&round, now.wall) {
        Some(record) => Then::Again(plan.due(record.due), record.encode(envelope)),
        None => Then::Gone,
    };
    Ok(Some(Firing { tick: Tick { timer, entry, then }, sends, left_out }))
}

/// The message of a timer, ready to be sent under this id.
fn staged(shard: &Shard, envelope: &[u8], id: MessageId, sent_at: Micros) -> Result<Routed, Cow<'static, str>> {
    let (header, _) = Header::decode(envelope).map_err(|_| UNREADABLE)?;
    let address = Address::parse(header.destination).ok_or(UNREADABLE)?;
    let route = route_of(shard, &address, &header).map_err(|unhandled| unhandled.to_string())?;
    let envelope = as_tick(envelope, id, sent_at).map_err(|_| UNREADABLE)?;
    Ok(Routed { route, handling: Handling::of(&header), envelope })
}

/// Where the message of a timer goes, if something handles it there; what lives on another node is judged there.
fn route_of(shard: &Shard, address: &Address, header: &Header<'_>) -> Result<Route, Unhandled> {
    shard.route(address, |actor_type| is_read_by(actor_type, address, header))
}

/// The same without a mailbox for it.
pub(crate) fn judge(shard: &Shard, address: &Address, header: &Header<'_>) -> Result<(), Unhandled> {
    match shard.remote(address) {
        Some(_) => Ok(()),
        None => is_read_by(shard.actor_types.get(address.actor_type()), address, header),
    }
}

fn is_read_by(actor_type: Option<&Arc<ActorType>>, address: &Address, header: &Header<'_>) -> Result<(), Unhandled> {
    let (message, version) = (header.message, header.message_version);
    let actor_type = actor_type.ok_or_else(|| Unhandled::no_actor(address.actor_type(), message, version))?;
    actor_type.reader(message, version).map(drop)
}

/// Whether there is room for the tick of a timer that may send any number of them: in the node, and in the mailbox or
/// outbox that it goes to.
pub(crate) fn check_room(shard: &Shard, send: &Routed) -> Result<(), Refusal> {
    match &send.route {
        Route::Local(_) if shard.is_full() => {
            Err(Refusal::NodeFull { messages: shard.waiting(), bytes: shard.load.bytes() })
        }
        Route::Local(mailbox) if shard.is_mailbox_full(&mailbox.lock()) => Err(Refusal::MailboxFull),
        Route::Local(_) => Ok(()),
        Route::Remote(Remote { peer, address, .. }) => {
            let outgoing = peer.outgoing();
            match outgoing.is_full_for(address.mailbox(), None) {
                None => Ok(()),
                Some(OutboxFull::Mailbox(_)) => Err(Refusal::MailboxFull),
                Some(OutboxFull::Outbox) => {
                    let (backlog, node) = (outgoing.backlog(), peer.name.to_string());
                    Err(Refusal::OutboxFull { node, messages: backlog.messages, bytes: backlog.bytes })
                }
            }
        }
    }
}

/// One tick on top of what a timer does, asked for now.
pub(crate) fn on_top(
    shard: &Shard,
    timer: TimerId,
    entry: Entry,
    record: &[u8],
    id: MessageId,
) -> Result<Firing, Cow<'static, str>> {
    let (_, envelope) = TimerRecord::decode(record).ok_or(UNREADABLE)?;
    let sends = vec![staged(shard, envelope, id, shard.clock.wall())?];
    Ok(Firing { tick: Tick { timer, entry, then: Then::AsItIs }, sends, left_out: 0 })
}

/// A timer cannot fire.
fn set_apart(shard: &Shard, timer: TimerId, entry: Entry, reason: &str) {
    if shard.timers.set_apart(timer, entry)
        && let Some(times) = shard.recurring.met("timer cannot fire")
    {
        tracing::error!(
            node = %shard.name, %timer, reason, times, event = "timer cannot fire",
            "a timer cannot fire; it stays in the store, and is tried again after the next start"
        );
    }
}
