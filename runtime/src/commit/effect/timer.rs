//! Timers that are set, cancelled, or have fired.

use everpost_persistence::{Position, Stage};

use super::Phases;
use super::send::{deliver, lock};
use crate::commit::locks::Wanted;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::shard::{Route, Routed};
use crate::timer::TimerChanges;
use crate::timer::tick::Tick;

/// Timers are set and cancelled.
pub(crate) struct Timers {
    changes: TimerChanges,
    /// From outside: nothing is committed where nothing would change, nor where there would be more timers than these.
    from_outside: Option<usize>,
}

impl Timers {
    /// What a turn changes. None when it is nothing, which is usual.
    pub(crate) fn of_turn(changes: TimerChanges) -> Option<Self> {
        (!changes.is_empty()).then_some(Self { changes, from_outside: None })
    }

    pub(crate) fn from_outside(changes: TimerChanges, timers_max: usize) -> Self {
        Self { changes, from_outside: Some(timers_max) }
    }
}

impl<'a> Phases<'a> for Timers {
    fn size(&self, size: &mut Size) {
        size.hold(self.changes.bytes());
        self.changes.sizes().for_each(|bytes| size.leave(bytes));
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        step.timers.narrow(&mut self.changes);
        if let Some(timers_max) = self.from_outside {
            step.timers.keep_within(&self.changes, timers_max).map_err(Refused::TimersFull)?;
            if self.changes.is_empty() {
                return Err(Refused::Gone);
            }
        }
        Ok(())
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.changes.stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        step.timers.changed(self.changes, step.ticket);
    }
}

/// A timer that is due, and what it does.
#[derive(Debug)]
pub(crate) struct Firing {
    pub(crate) tick: Tick,
    pub(crate) sends: Vec<Routed>,
    /// How many ticks are left out that were to be sent, however late.
    pub(crate) left_out: u64,
}

impl Firing {
    pub(crate) fn bytes(&self) -> usize {
        self.tick.bytes() + self.sends.iter().map(|send| send.envelope.len()).sum::<usize>()
    }
}

/// Timers have fired: their messages leave, and they are put back or deleted. Those that were cancelled or set anew
/// meanwhile do nothing. What room there is was looked at before; these may go beyond it by what one step sends.
pub(crate) struct Fired<'a> {
    firings: &'a [Firing],
    /// Those that still hold, and the positions of what they send.
    fired: Vec<&'a Firing>,
    positions: Vec<Position>,
}

impl<'a> Fired<'a> {
    pub(crate) fn new(firings: &'a [Firing]) -> Self {
        Self { firings, fired: Vec::with_capacity(firings.len()), positions: Vec::new() }
    }
}

impl<'a> Phases<'a> for Fired<'a> {
    fn size(&self, size: &mut Size) {
        for firing in self.firings {
            size.hold(firing.bytes());
            firing.sends.iter().for_each(|send| size.leave(send.envelope.len()));
            // A timer that goes on takes the place of itself; one that is gone made room for its last message.
            if let Some(send) = firing.sends.last().filter(|_| firing.tick.is_last()) {
                size.remove(send.envelope.len());
            }
        }
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        self.firings.iter().flat_map(|firing| &firing.sends).for_each(|send| lock(&send.route, wanted));
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        self.fired.extend(self.firings.iter().filter(|firing| step.timers.is_unchanged(&firing.tick)));
        if self.fired.is_empty() { Err(Refused::Gone) } else { Ok(()) }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        let sends = self.fired.iter().flat_map(|firing| &firing.sends);
        step.shard.add_waiting(sends.filter(|send| matches!(send.route, Route::Local(_))).count());
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.fired.iter().for_each(|firing| firing.tick.stage(stage));
        let sends = self.fired.iter().flat_map(|firing| &firing.sends);
        self.positions = sends.map(|send| send.route.stage(stage, send.envelope.clone())).collect();
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        step.timers.fired(self.fired.iter().map(|firing| &firing.tick), step.ticket);
        let sends = self.fired.into_iter().flat_map(|firing| &firing.sends);
        for (send, position) in sends.zip(self.positions) {
            deliver(step, &send.route, position, send.handling, send.envelope.clone());
        }
    }
}
