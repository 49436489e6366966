//! The plan of a timer: when it begins, how its ticks follow each other, and what becomes of those that could not be
//! sent in time. This is what is stored of a [`Schedule`](super::Schedule). Pure: moments are handed in.
//!
//! A plan runs on one of two clocks. Waits (`after`, `every`) run on the node's own timeline, which does not jump;
//! moments that somebody named (`at`, cron, `every` with a start) on wall time. A moment is a number of microseconds on
//! that clock.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::beat::Beat;
use super::cron::{Cron, CronError};
use super::schedule::Missed;
use crate::base::clock::{Micros, Now, Steady};

/// A wall clock that is put back by no more than this sends nothing again: its ticks wait until it has come as far as
/// before. One that is put back further is set right, and its timers go on from the present.
pub(crate) const PUT_BACK_MAX: Duration = Duration::from_secs(3 * 60 * 60);
/// Unless a plan says otherwise: how old a missed tick may be, and how many of them are sent.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
const CATCH_UP_MAX: u64 = 1_000;

/// The plan of a timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) begin: Begin,
    pub(crate) rhythm: Rhythm,
    pub(crate) catch_up: CatchUp,
}

/// When the first tick is due; part of stored records, so that variants are appended only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Begin {
    /// So many microseconds after it is set.
    After(u64),
    At(Micros),
    /// At the first moment of the rhythm.
    Rhythm,
    /// It was set by a build that did not note it.
    Unknown,
}

/// How the ticks follow each other; part of stored records, so that variants are appended only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rhythm {
    Once,
    /// In microseconds.
    Every(NonZeroU64),
    /// In UTC, if no zone is named.
    Cron {
        expression: String,
        zone: Option<String>,
    },
}

/// What becomes of ticks that were missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CatchUp {
    pub(crate) missed: Missed,
    /// With [`Missed::All`]: how old a tick may be, in microseconds.
    pub(crate) within: u64,
    /// With [`Missed::All`]: how many of them are sent.
    pub(crate) max: u64,
}

/// The end of time, on either clock, which never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// When a timer is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Steady(Steady),
    /// At [`NEVER`] one that repeats and has no next moment now, since the wall clock is beyond all that its rhythm
    /// knows: when that is set right it has one again.
    Wall(Micros),
    /// There is no such moment, or this build cannot say.
    Never,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { missed: Missed::default(), within: micros(CATCH_UP_WITHIN), max: CATCH_UP_MAX }
    }
}

impl Plan {
    /// Whether moments of it are wall time.
    pub(crate) fn is_wall(&self) -> bool {
        match self.rhythm {
            Rhythm::Cron { .. } => true,
            Rhythm::Once | Rhythm::Every(_) => matches!(self.begin, Begin::At(_)),
        }
    }

    pub(crate) fn repeats(&self) -> bool {
        self.rhythm != Rhythm::Once
    }

    /// A moment of this plan as what it is.
    pub(crate) fn due(&self, moment: u64) -> Due {
        match self.is_wall() {
            true if moment != NEVER || self.repeats() => Due::Wall(Micros(moment)),
            false if moment != NEVER => Due::Steady(Steady(moment)),
            _ => Due::Never,
        }
    }

    /// The present on the clock of this plan.
    pub(crate) fn present(&self, now: Now) -> u64 {
        if self.is_wall() { now.wall.0 } else { now.steady.0 }
    }

    /// A moment of this plan by the wall clock, for people.
    pub(crate) fn wall_of(&self, moment: u64, now: Now) -> Micros {
        if self.is_wall() {
            return Micros(moment);
        }
        let later = moment.saturating_sub(now.steady.0);
        let earlier = now.steady.0.saturating_sub(moment);
        Micros(now.wall.0.saturating_add(later).saturating_sub(earlier))
    }

    /// How the ticks follow each other, made ready.
    pub(crate) fn beat(&self) -> Result<Beat, CronError> {
        Ok(match &self.rhythm {
            Rhythm::Once => Beat::Once,
            Rhythm::Every(period) => Beat::Every(period.get()),
            Rhythm::Cron { expression, zone } => Beat::Cron(Cron::parse(expression, zone.as_deref())?),
        })
    }

    /// When the first tick is due, for a timer that is set now.
    pub(crate) fn first(&self, beat: &Beat, now: Now) -> Option<u64> {
        match (&self.rhythm, self.begin) {
            (Rhythm::Cron { .. }, Begin::At(moment)) => beat.next(moment.0.saturating_sub(1)),
            (_, Begin::At(moment)) => Some(moment.0),
            (_, Begin::After(wait)) => Some(self.present(now).saturating_add(wait)),
            (_, Begin::Rhythm | Begin::Unknown) => beat.next(self.present(now)),
        }
    }

    /// When a timer is due that would be due at `due`, after the clocks may have been set while nobody looked. `newest`
    /// is the newest moment that is known to have come on its clock: that of its last tick, or when it was set.
    ///
    /// So none is silent for longer than its period, and three hours after the wall clock was put back.
    pub(crate) fn due_after_all(&self, beat: &Beat, due: u64, newest: u64, now: Now) -> u64 {
        let present = self.present(now);
        if !self.is_wall() {
            // The timeline does not go back; if it did, nothing would wait for longer than it was to.
            let wait = match (self.begin, &self.rhythm) {
                (Begin::After(wait), Rhythm::Once) => wait,
                (Begin::After(_), Rhythm::Every(period)) => period.get(),
                _ => return due,
            };
            return due.min(present.saturating_add(wait));
        }
        if !self.repeats() || newest.saturating_sub(present) <= micros(PUT_BACK_MAX) {
            return due;
        }
        let again = match self.begin {
            Begin::At(start) if start.0 > present => beat.from(due, start.0),
            _ => beat.from(due, present.saturating_add(1)),
        };
        again.map_or(due, |again| again.min(due))
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
