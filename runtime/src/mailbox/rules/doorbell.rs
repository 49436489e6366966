//! The doorbell of one mailbox: whether an activation is there, and who will see to it that one looks. Pure: `L` wakes
//! an activation that waits, and is handed out to whoever is to call it; no task, no lock, no clock.
//!
//! What holds after every step, as long as whoever adds work rings after it, under the same lock:
//!
//! - *At most one activation.* A start is asked for only while there is none, and none is under way.
//! - *No ring is lost.* Once rung, an activation looks again before it waits; one that is about to end passes the ring
//!   on to whoever sees its end ([`Doorbell::vacate`]); one that is being started looks first.
//! - *Who waits is woken once.* An activation that listens was not rung: a ring takes its listener.

use crate::base::clock::Steady;
use crate::base::rules::wheel::Entry;

#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(in crate::mailbox) struct Doorbell<L> {
    presence: Presence<L>,
    /// The gate will ring when the head is durable.
    gated: bool,
    /// When the wheel will ring, because something backs off, was set aside or is held.
    alarm: Option<Entry>,
}

/// Whether somebody is there to handle messages.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
enum Presence<L> {
    Absent,
    /// There is no place for an activation yet: the mailbox waits in the line for one.
    WaitingForPlace,
    /// The supervisor was told to start an activation.
    Starting,
    /// The last activation has failed, and the next one is started when a wait is over.
    BackingOff,
    Running {
        attention: Attention<L>,
        /// It is to leave if it still has nothing to do.
        leave: bool,
    },
    /// It will take no further message; its supervisor has not seen its end yet.
    Stopping {
        rung: bool,
    },
}

/// What an activation is doing.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
enum Attention<L> {
    /// It works. If it was rung, it has not looked since.
    Awake { rung: bool },
    /// It waits to be woken, and was not rung since it looked.
    Listening(L),
}

/// Whether an activation is wanted where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mailbox) enum Demand {
    No,
    /// When there is a place for it.
    Yes,
    /// Whether or not there is a place: somebody who is active waits for it, or it stays as long as its group.
    InAnyCase,
}

/// What comes of a ring.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mailbox) enum Rung<L> {
    /// Nobody need do anything.
    Seen,
    /// Wake the activation.
    Wake(L),
    /// Have an activation started, in any case or at a place, and say what came of it ([`Doorbell::started`]).
    Start { in_any_case: bool },
}

/// What came of asking for a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The supervisor will start it.
    Ordered,
    /// There is no place: the mailbox waits for one.
    Waits,
    /// Nobody starts any: before the node wakes what waits, or while it stops.
    Refused,
}

/// Whether an activation has a reason to stay, apart from what the doorbell knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mailbox) enum Stay {
    /// It has something to do at once, or stays although it has nothing to do.
    Yes,
    /// As long as nobody has told it to leave, and when it is rung or will be at once.
    UntilTold,
    /// It has to end, whatever rings.
    No,
}

/// What an activation that came to the doorbell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mailbox) enum Listened {
    /// It was rung, and looks.
    Rung,
    /// It waits to be woken.
    Waits,
    /// It leaves: no message reaches it from here on.
    Leaves,
}

impl<L> Doorbell<L> {
    pub(in crate::mailbox) fn new() -> Self {
        Self { presence: Presence::Absent, gated: false, alarm: None }
    }

    /// Something may have to be done. What is wanted is asked only where nobody is there.
    pub(in crate::mailbox) fn ring(&mut self, demand: impl FnOnce() -> Demand) -> Rung<L> {
        match &mut self.presence {
            Presence::Running { attention, .. } => {
                match std::mem::replace(attention, Attention::Awake { rung: true }) {
                    Attention::Listening(listener) => Rung::Wake(listener),
                    Attention::Awake { .. } => Rung::Seen,
                }
            }
            // Whoever sees its end sees that it was rung.
            Presence::Stopping { rung } => {
                *rung = true;
                Rung::Seen
            }
            // It looks before it waits.
            Presence::Starting | Presence::BackingOff => Rung::Seen,
            Presence::Absent => match demand() {
                Demand::No => Rung::Seen,
                Demand::Yes => Rung::Start { in_any_case: false },
                Demand::InAnyCase => Rung::Start { in_any_case: true },
            },
            // Its place in the line is found to be one of a mailbox that does not wait any more.
            Presence::WaitingForPlace => match demand() {
                Demand::No | Demand::Yes => Rung::Seen,
                Demand::InAnyCase => Rung::Start { in_any_case: true },
            },
        }
    }

    /// What came of the start that [`Doorbell::ring`] or [`Doorbell::place_given`] asked for.
    pub(in crate::mailbox) fn started(&mut self, start: Start) {
        assert!(!self.has_activation(), "a start is asked for only where there is no activation");
        self.presence = match start {
            Start::Ordered => Presence::Starting,
            Start::Waits => Presence::WaitingForPlace,
            Start::Refused => Presence::Absent,
        };
    }

    /// There is a place, which was taken for the activation of this mailbox. Whether it is to be started there: it may
    /// be wanted no more, or be there by now.
    pub(in crate::mailbox) fn place_given(&mut self, demand: impl FnOnce() -> Demand) -> bool {
        if !matches!(self.presence, Presence::WaitingForPlace) {
            return false;
        }
        self.presence = Presence::Absent;
        demand() != Demand::No
    }

    /// It waits for no place any more.
    pub(in crate::mailbox) fn leave_queue(&mut self) {
        if matches!(self.presence, Presence::WaitingForPlace) {
            self.presence = Presence::Absent;
        }
    }

    /// The activation that was ordered is there. It has not looked yet.
    pub(in crate::mailbox) fn begun(&mut self) {
        assert!(matches!(self.presence, Presence::Starting), "an activation begins where one was ordered");
        self.presence = Presence::Running { attention: Attention::Awake { rung: true }, leave: false };
    }

    /// The activation looks now at whatever was rung for. What decides about that is read after this.
    pub(in crate::mailbox) fn look(&mut self) {
        if let Presence::Running { attention, .. } = &mut self.presence {
            *attention = Attention::Awake { rung: false };
        }
    }

    /// The activation found nothing to do. It waits, unless it was rung since it looked, or leaves.
    pub(in crate::mailbox) fn listen(&mut self, stay: Stay, listener: impl FnOnce() -> L) -> Listened {
        let Presence::Running { attention, leave } = &mut self.presence else {
            unreachable!("only an activation that runs listens")
        };
        let rung = matches!(attention, Attention::Awake { rung: true });
        let told = std::mem::take(leave);
        let leaves = match stay {
            Stay::Yes => false,
            Stay::UntilTold => told && !rung && !self.gated,
            Stay::No => true,
        };
        if leaves {
            self.presence = Presence::Stopping { rung };
            return Listened::Leaves;
        }
        if rung {
            return Listened::Rung;
        }
        *attention = Attention::Listening(listener());
        Listened::Waits
    }

    /// The activation leaves when it comes to the doorbell and has nothing to do.
    pub(in crate::mailbox) fn leave_when_idle(&mut self) {
        if let Presence::Running { leave, .. } = &mut self.presence {
            *leave = true;
        }
    }

    /// Tells an activation that has nothing to do to leave. Returns what wakes it, if it listens and may leave.
    pub(in crate::mailbox) fn tell_to_leave(&mut self, stay: Stay) -> Option<L> {
        let stays = match stay {
            Stay::Yes => true,
            Stay::UntilTold => self.gated,
            Stay::No => false,
        };
        if stays {
            return None;
        }
        let listener = self.wake()?;
        self.leave_when_idle();
        Some(listener)
    }

    /// An activation that listens is to look whether it stays. Returns what wakes it.
    pub(in crate::mailbox) fn wake(&mut self) -> Option<L> {
        let Presence::Running { attention, .. } = &mut self.presence else { return None };
        if matches!(attention, Attention::Awake { .. }) {
            return None;
        }
        match std::mem::replace(attention, Attention::Awake { rung: false }) {
            Attention::Listening(listener) => Some(listener),
            Attention::Awake { .. } => None,
        }
    }

    /// The activation has failed; the next one is started after a wait, which ends by [`Doorbell::vacate`] and a ring.
    pub(in crate::mailbox) fn back_off(&mut self) {
        self.presence = Presence::BackingOff;
    }

    /// Nobody is there any more. True when the activation had left because there was nothing to do, and nobody has rung
    /// since; otherwise a ring has to follow.
    pub(in crate::mailbox) fn vacate(&mut self) -> bool {
        let has_left = matches!(self.presence, Presence::Stopping { rung: false });
        self.presence = Presence::Absent;
        has_left
    }

    /// Whether nobody is there, or on the way.
    pub(in crate::mailbox) fn is_vacant(&self) -> bool {
        matches!(self.presence, Presence::Absent)
    }

    fn has_activation(&self) -> bool {
        !matches!(self.presence, Presence::Absent | Presence::WaitingForPlace)
    }

    /// The gate is to ring when something is durable. False when it will ring already: then it must not be told again.
    pub(in crate::mailbox) fn gate(&mut self) -> bool {
        !std::mem::replace(&mut self.gated, true)
    }

    /// The gate rings, or does not any more: a ring has to follow.
    pub(in crate::mailbox) fn gate_opened(&mut self) {
        self.gated = false;
    }

    /// The wheel is to ring at `moment`, unless it does before. `set` sets that, in place of what it is given.
    pub(in crate::mailbox) fn set_alarm(&mut self, moment: Steady, set: impl FnOnce(Option<Entry>) -> Entry) {
        if self.alarm.is_none_or(|alarm| alarm.moment > moment) {
            self.alarm = Some(set(self.alarm));
        }
    }

    /// The moment of this entry has come: a ring has to follow.
    pub(in crate::mailbox) fn alarm_went(&mut self, entry: Entry) {
        self.alarm.take_if(|alarm| *alarm == entry);
    }

    /// The wheel need not ring any more, if it was to.
    pub(in crate::mailbox) fn take_alarm(&mut self) -> Option<Entry> {
        self.alarm.take()
    }
}

#[cfg(test)]
mod tests;
