//! A mailbox in memory: what waits for one address, who handles it, and who rings whom. The durable queue is the
//! store's; this is its index. It must never wait: every method is one short step under one lock.

pub(crate) mod asking;
mod attendance;
pub(crate) mod directory;
mod keys;
pub(crate) mod kind;
pub(crate) mod question;
mod rules;
pub(crate) mod waiter;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use everpost_persistence::{Key, MailboxId, Partition, Position};

use self::attendance::Attendance;
pub(crate) use self::attendance::Standing;
use self::keys::Keys;
use self::rules::alternation::Alternation;
pub(crate) use self::rules::{NEVER, Next, Queue, Rules};
use crate::base::clock::Steady;
use crate::base::rules::room::Line;
use crate::base::rules::wheel::Entry;
use crate::mailbox::asking::AskingTurns;
use crate::mailbox::kind::Kind;
use crate::mailbox::question::Open;
use crate::mailbox::waiter::Waiters;
use crate::message::address::Address;
use crate::record::supervised::{PauseReason, Supervised};
use crate::tables;

/// One mailbox. There is at most one in memory for an address; the directory sees to that.
pub(crate) struct Mailbox {
    pub(crate) address: Address,
    pub(crate) partition: Partition,
    pub(crate) kind: Arc<Kind>,
    inner: Mutex<Inner>,
    /// Looked at without the lock at the end of each turn.
    pub(crate) asking: AskingTurns,
}

/// What the lock protects.
pub(crate) struct Inner {
    pub(crate) rules: Rules<Bytes>,
    /// Of all messages that wait or are in hand.
    pub(crate) bytes: usize,
    /// The idempotency keys of messages that wait.
    pub(crate) keys: Option<Box<Keys>>,
    /// Senders that wait for room.
    pub(crate) line: Line,
    /// Who waits for what becomes of a message.
    pub(crate) asks: Waiters,
    /// Questions to the state: volatile, answered in between the messages.
    pub(crate) questions: VecDeque<Box<dyn Open>>,
    /// Whether one of them is next, or a message.
    pub(crate) alternation: Alternation,
    pub(crate) presence: Presence,
    /// The newest submission of this mailbox: a new activation starts only when it is durable.
    pub(crate) last_submitted: Position,
    /// The doorbell has been rung, and the activation has not looked yet: another ring would be one too many.
    pub(crate) rung: bool,
    /// Wakes the activation, when it waits for the doorbell.
    pub(crate) listener: Option<Waker>,
    /// The activation is to leave if it still has nothing to do.
    pub(crate) leave_if_idle: bool,
    /// The gate will ring when the head is durable.
    pub(crate) gated: bool,
    /// When the wheel will ring, because something backs off, was set aside or is held.
    pub(crate) timed: Option<Entry>,
    /// Other nodes were told that it is full.
    pub(crate) told_full: bool,
    /// Its restart budget, when some of it is spent, and whether it is paused.
    pub(crate) supervised: Option<Box<Supervised>>,
    /// Whether it is up, when it is the child of a group.
    pub(crate) attendance: Option<Box<Attendance>>,
    /// How many activations in a row ended without finishing a message.
    pub(crate) restarts: u32,
    /// The message that a handler is handing over to a holder right now: the handler's failure is its.
    pub(crate) holding: Option<Handover>,
    /// Messages that turns or a trial wait for: as long as one is here, the activation and what that needs first must not wait for others
    /// to leave.
    awaited: Vec<Position>,
    /// The sweep at which there was nothing to do any more: nothing waits, or nothing that may be handled yet.
    pub(crate) idle_since: u64,
}

/// A message that is held while its handler still runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    /// The hold was dropped without a decision: what became of the message is what becomes of the handler.
    pub(crate) is_dropped: bool,
}

/// Whether someone is there to handle messages.
pub(crate) enum Presence {
    Absent,
    /// There is no place for an activation yet: it stands in the line for one.
    Waiting,
    /// The supervisor was told to start an activation, or will be when a backoff is over.
    Starting,
    Running,
    /// It will take no further message; its supervisor has not seen its end yet.
    Stopping,
}

impl Mailbox {
    pub(crate) fn new(address: Address, partition: Partition, kind: Arc<Kind>) -> Self {
        let inner = Inner {
            rules: Rules::new(kind.holds_max),
            bytes: 0,
            keys: None,
            line: Line::default(),
            asks: Waiters::default(),
            questions: VecDeque::new(),
            alternation: Alternation::default(),
            presence: Presence::Absent,
            last_submitted: Position(0),
            rung: false,
            listener: None,
            leave_if_idle: false,
            gated: false,
            timed: None,
            told_full: false,
            supervised: None,
            attendance: None,
            restarts: 0,
            holding: None,
            awaited: Vec::new(),
            idle_since: 0,
        };
        Self { address, partition, kind, inner: Mutex::new(inner), asking: AskingTurns::default() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn id(&self) -> MailboxId {
        self.address.mailbox()
    }

    /// Where the store keeps the state.
    pub(crate) fn state_key(&self) -> Key {
        tables::mailbox(self.partition, self.id())
    }

    pub(crate) fn inbox_key(&self, position: Position) -> Key {
        tables::inbox(self.partition, position)
    }

    /// Where the store keeps its restart budget, and whether it is paused.
    pub(crate) fn supervision_key(&self) -> Key {
        tables::supervision(self.partition, self.id())
    }

    /// Whether it, or its whole type, handles nothing for now.
    pub(crate) fn is_paused(&self, inner: &Inner) -> bool {
        inner.is_down()
            || inner.supervised.as_deref().is_some_and(|supervised| supervised.paused.is_some())
            || self.kind.is_paused()
    }

    /// Whether nothing of what waits can be handled for a while, whatever comes besides.
    pub(crate) fn rests(&self, inner: &Inner, now: impl FnOnce() -> Steady) -> bool {
        self.is_paused(inner) || inner.rules.backs_off(now)
    }

    pub(crate) fn attempts_key(&self, position: Position) -> Key {
        tables::attempts(self.partition, position)
    }
}

impl Inner {
    /// Rings the doorbell: wakes the activation, or asks the supervisor for one when there is none.
    pub(crate) fn ring(&mut self, mailbox: &Arc<Mailbox>) {
        match self.presence {
            Presence::Absent if !self.has_work(mailbox) => {}
            Presence::Absent => self.presence = mailbox.kind.start(mailbox, self.starts_in_any_case()),
            // What was put into the line is found not to wait any more.
            Presence::Waiting if self.starts_in_any_case() => self.presence = mailbox.kind.start(mailbox, true),
            // Of one that is about to end the supervisor sees that it was rung.
            Presence::Running | Presence::Stopping if !self.rung => {
                self.rung = true;
                self.wake();
            }
            Presence::Waiting | Presence::Running | Presence::Starting | Presence::Stopping => {}
        }
    }

    /// Somebody who has an activation, or for whom all others wait, cannot go on before this message is handled.
    pub(crate) fn await_message(&mut self, position: Position) {
        self.awaited.retain(|awaited| self.rules.contains(*awaited));
        self.awaited.push(position);
    }

    /// Whether such a message is here.
    pub(crate) fn is_awaited(&self) -> bool {
        self.awaited.iter().any(|position| self.rules.contains(*position))
    }

    /// There is a place for its activation, which was taken for it. False when it needs none any more.
    pub(crate) fn start_at_last(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        if !matches!(self.presence, Presence::Waiting) {
            return false;
        }
        self.presence = Presence::Absent;
        let is_needed = self.has_work(mailbox) && mailbox.kind.start_at_place(mailbox);
        if is_needed {
            self.presence = Presence::Starting;
        }
        is_needed
    }

    /// Whether its activation waits for no other one to leave: somebody who is there waits for it, or it stays as long as its group.
    fn starts_in_any_case(&self) -> bool {
        self.attendance.is_some() || self.is_awaited()
    }

    /// Lets a waiting activation look around.
    pub(crate) fn wake(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.wake();
        }
    }

    /// The activation has ended, and its supervisor has seen it.
    pub(crate) fn vacate(&mut self) {
        self.presence = Presence::Absent;
        self.rung = false;
        self.listener = None;
        self.leave_if_idle = false;
        self.holding = None;
        if let Some(attendance) = &self.attendance {
            attendance.changed.notify_one();
        }
    }

    /// The actor becomes the child of a group, which has not started it yet.
    pub(crate) fn attend(&mut self, group: &str) {
        self.attendance = Some(Box::new(Attendance::of(group.to_owned())));
        if matches!(self.presence, Presence::Waiting) {
            // The group says when.
            self.presence = Presence::Absent;
        }
        self.wake();
    }

    /// How it stands as the child of a group, if it is one.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.attendance.as_deref().map(|attendance| &attendance.standing)
    }

    pub(crate) fn set_standing(&mut self, standing: Standing) {
        if let Some(attendance) = &mut self.attendance {
            attendance.standing = standing;
        }
    }

    /// Whether it is the child of a group that does not have it up.
    pub(crate) fn is_down(&self) -> bool {
        self.attendance.as_deref().is_some_and(|attendance| !attendance.is_up())
    }

    /// The hold of this delivery was dropped without a decision. True when its handler still runs, whose end says more.
    pub(crate) fn is_dropped_in_handler(&mut self, position: Position, attempt: u32) -> bool {
        let handing = self.holding.as_mut().filter(|held| held.position == position && held.attempt == attempt);
        handing.map(|handover| handover.is_dropped = true).is_some()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.rules.is_empty() && self.questions.is_empty()
    }

    /// Why its state must not be loaded, if it must not.
    pub(crate) fn barred(&self) -> Option<&PauseReason> {
        self.supervised.as_deref().and_then(Supervised::barred)
    }

    /// Whether there is something to do now or later; messages of a paused mailbox are not, being up as a child is.
    pub(crate) fn has_work(&self, mailbox: &Mailbox) -> bool {
        if self.barred().is_some() {
            return false;
        }
        let is_asked = !self.questions.is_empty();
        if let Some(attendance) = &self.attendance {
            return attendance.has_work(is_asked);
        }
        is_asked || (!self.rules.is_empty() && !mailbox.is_paused(self))
    }

    /// Whether an activation stays although it has nothing to do now: it is up as a child is, or something comes up at once.
    pub(crate) fn is_needed(&self) -> bool {
        let is_asked = !self.questions.is_empty();
        match &self.attendance {
            Some(attendance) => attendance.has_work(is_asked),
            None => self.rung || self.gated || is_asked,
        }
    }

    /// Whether an activation waits at the doorbell, and may leave.
    pub(crate) fn may_leave(&self) -> bool {
        matches!(self.presence, Presence::Running) && self.listener.is_some() && !self.is_needed()
    }

    /// Whether a suspect has had its trial, durably, or cannot have it because what is before it backs off.
    pub(crate) fn is_settled(&self, suspect: Position, now: Steady, durable: Position) -> bool {
        (!self.rules.is_suspect(suspect) || self.rules.is_held_back(suspect, now)) && self.last_submitted <= durable
    }

    /// Whether nothing in memory is worth keeping, given what the store has on disk.
    pub(crate) fn is_forgettable(&self, durable: Position) -> bool {
        let is_idle = matches!(self.presence, Presence::Absent) && self.is_idle();
        let is_plain = self.supervised.is_none() && self.attendance.is_none();
        is_idle && is_plain && self.last_submitted <= durable
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("address", &self.address).finish_non_exhaustive()
    }
}
