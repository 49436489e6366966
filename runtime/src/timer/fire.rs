//! Firing: one task sends what is due. A tick and what becomes of its timer are one submission, so that each has its effect
//! once wherever the process dies.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Class, Position, ReadError, Stage};
use tokio::time::{sleep, timeout};

use super::id::TimerId;
use super::index::{Entry, NEVER, Next};
use super::record::TimerRecord;
use super::schedule::Round;
use super::{State, Timers};
use crate::address::Address;
use crate::clock::Micros;
use crate::core::Core;
use crate::envelope::{Header, as_tick};
use crate::message::MessageId;
use crate::turn::StagedSend;

/// How long the clock is trusted: one that was put forward is noticed within this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many timers are looked at in one step.
const TIMERS_AT_A_TIME: usize = 256;
/// How many missed ticks of one timer are sent in one step.
const TICKS_AT_A_TIME: usize = 64;
/// How many bytes one submission takes; a single tick may have more.
const BYTES_AT_A_TIME: usize = 32 << 10;

/// A timer that is due, and what it does.
#[derive(Debug)]
pub(crate) struct Firing {
    timer: TimerId,
    /// What was known when this was made: nothing of it holds if that has changed.
    entry: Entry,
    pub(crate) sends: Vec<StagedSend>,
    /// When it is due again, and its record then; none when it has done all.
    again: Option<(Micros, Bytes)>,
}

/// Sends what is due for as long as the node runs.
pub(crate) async fn fire_timers(core: Arc<Core>) {
    while !core.is_stopping() {
        let next = core.timers.lock().index.next(Micros::now(), core.store.durable(), TIMERS_AT_A_TIME);
        let goes_on = match next {
            Next::Nothing => {
                core.timers.earlier.notified().await;
                true
            }
            Next::Until(moment) => {
                let wait = moment.since(Micros::now()).min(LOOK_EVERY);
                // Either way it is looked at anew.
                let _ = timeout(wait, core.timers.earlier.notified()).await;
                true
            }
            Next::Durable(position) => core.gate.durable(position).await.is_ok(),
            Next::Fire(due) => fire(&core, due).await,
        };
        if !goes_on {
            return;
        }
    }
}

/// Fires these timers, or the first of them. False when the store takes nothing any more.
async fn fire(core: &Arc<Core>, due: Vec<(TimerId, Entry)>) -> bool {
    let reading = Arc::clone(core);
    let read = tokio::task::spawn_blocking(move || firings(&reading, due)).await;
    let Ok(Some(firings)) = read else {
        return false;
    };
    if firings.is_empty() {
        // None could be read.
        sleep(LOOK_EVERY).await;
        return true;
    }
    let bytes = firings.iter().map(Firing::bytes).sum();
    match core.store.reserve(Class::Turn { grows: true }, bytes).await {
        Ok(permit) => core.submit_ticks(permit, &firings),
        Err(error @ AdmissionError::TooLarge { .. }) => {
            for firing in firings {
                core.timers.set_apart(core, firing.timer, firing.entry, &error.to_string());
            }
        }
        Err(_) => return false,
    }
    true
}

/// Reads timers from the store, as many as fit one submission. Blocks. None when the store is closed.
fn firings(core: &Core, due: Vec<(TimerId, Entry)>) -> Option<Vec<Firing>> {
    let now = Micros::now();
    let (mut firings, mut room) = (Vec::with_capacity(due.len()), BYTES_AT_A_TIME);
    for (timer, entry) in due {
        let record = match core.store.get(&timer.key()) {
            Ok(Some(record)) => record,
            Ok(None) => {
                core.timers.set_apart(core, timer, entry, "it is not in the store though it waits");
                continue;
            }
            Err(ReadError::Closed) => return None,
            Err(error @ ReadError::Damaged { .. }) => {
                core.timers.set_apart(core, timer, entry, &error.to_string());
                continue;
            }
            Err(error) => {
                tracing::error!(node = %core.name, %timer, %error, "a timer cannot be read now; it is tried again");
                break;
            }
        };
        if !firings.is_empty() && record.len() > room {
            break;
        }
        match firing(core, timer, entry, &record, now, room) {
            Some(firing) => {
                room = room.saturating_sub(firing.bytes());
                firings.push(firing);
            }
            None => core.timers.set_apart(core, timer, entry, "it cannot be read by this build"),
        }
    }
    Some(firings)
}

/// What a timer does that is due; none when its record cannot be read.
fn firing(core: &Core, timer: TimerId, entry: Entry, record: &[u8], now: Micros, room: usize) -> Option<Firing> {
    let (record, envelope) = TimerRecord::decode(record)?;
    let (header, _) = Header::decode(envelope).ok()?;
    let address = Address::parse(header.destination)?;
    let ticks_max = (room / envelope.len()).clamp(1, TICKS_AT_A_TIME);
    let Round { ticks, next } = record.rhythm.round(entry.due, now, ticks_max);
    let send = |tick: &Micros| {
        let envelope = as_tick(envelope, MessageId::of_tick(timer.message(), *tick), *tick).ok()?;
        Some(StagedSend {
            address: address.clone(),
            to: core.recipient(&address)?,
            priority: header.priority(),
            envelope,
        })
    };
    let sends = ticks.iter().map(send).collect::<Option<_>>()?;
    let again = next.map(|due| (due, record.due_at(due).encode(envelope)));
    Some(Firing { timer, entry, sends, again })
}

impl Firing {
    /// Puts what becomes of the timer into the submission.
    pub(crate) fn stage(&self, stage: &mut Stage<'_>) {
        match &self.again {
            Some((_, record)) => stage.put(self.timer.key(), record.clone()),
            None => stage.delete(self.timer.key()),
        }
    }

    fn bytes(&self) -> usize {
        let sends: usize = self.sends.iter().map(|send| send.envelope.len()).sum();
        sends + self.again.as_ref().map_or(0, |(_, record)| record.len())
    }
}

/// The timers while some of them fire in one submission; nobody else sees or changes any meanwhile.
pub(crate) struct FiringTimers<'a>(MutexGuard<'a, State>);

impl Timers {
    pub(crate) fn begin_firing(&self) -> FiringTimers<'_> {
        FiringTimers(self.lock())
    }

    /// A timer that cannot fire is kept, and can be cancelled; it is tried again after the next start.
    fn set_apart(&self, core: &Core, timer: TimerId, entry: Entry, reason: &str) {
        tracing::error!(node = %core.name, %timer, reason, "a timer cannot fire; it stays in the store, and is tried again after the next start");
        let mut state = self.lock();
        if state.index.get(timer) == Some(entry) {
            state.index.set(timer, Entry { due: NEVER, ..entry });
        }
    }
}

impl FiringTimers<'_> {
    /// Whether the timer is as it was when this was made: neither cancelled nor set anew.
    pub(crate) fn are_unchanged(&self, firing: &Firing) -> bool {
        self.0.index.get(firing.timer) == Some(firing.entry)
    }

    /// What these timers do was submitted.
    pub(crate) fn submitted<'f>(mut self, firings: impl Iterator<Item = &'f Firing>, ticket: Position) {
        self.0.last_submitted = ticket;
        for Firing { timer, entry, again, .. } in firings {
            match again {
                // Its record is in the store already, in this form or the one before.
                Some((due, _)) => self.0.index.set(*timer, Entry { due: *due, ..*entry }),
                None => self.0.index.remove(*timer),
            };
        }
    }
}
