//! Ticks: how they follow each other, and which of those that have come are sent. Pure: each answer is a function of
//! what was asked, and none goes through all the ticks that were missed.

use std::time::Duration;

use smallvec::SmallVec;

use super::cron::Cron;
use super::plan::{CatchUp, micros};
use super::schedule::Missed;
use crate::base::clock::Micros;

/// A tick that is sent this late is in time: a timer never fires at its very moment.
const PUNCTUAL: Duration = Duration::from_secs(10);
const MINUTE: u64 = 60_000_000;

/// How the ticks of a timer follow each other. Moments are microseconds on the clock of its plan.
#[derive(Debug)]
pub(crate) enum Beat {
    Once,
    Every(u64),
    Cron(Cron),
}

/// What a timer that is due does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// The ticks that are sent now, oldest first.
    pub(crate) ticks: SmallVec<[u64; 1]>,
    /// How many are left out for good.
    pub(crate) missed: u64,
    /// The newest of all these.
    pub(crate) newest: u64,
    /// When the next tick is due, which may be at once; none when there is none.
    pub(crate) next: Option<u64>,
}

impl Beat {
    /// What a timer does whose next tick is `due`, which has come: the ticks to be sent, `ticks_max` at most, and what
    /// is due after them.
    pub(crate) fn round(&self, catch_up: CatchUp, due: u64, now: u64, ticks_max: usize) -> Round {
        let next = self.next(due);
        if next.is_none_or(|next| next > now) {
            // It is the only one, as it nearly always is.
            let is_sent = matches!(self, Self::Once) || catch_up.takes(now.saturating_sub(due));
            let ticks: SmallVec<_> = is_sent.then_some(due).into_iter().collect();
            return Round { missed: u64::from(!is_sent), ticks, newest: due, next };
        }
        let come = 1 + self.count(due, now);
        let newest = self.newest(due, now);
        let sent = match catch_up.missed {
            Missed::Skip | Missed::Once => u64::from(catch_up.takes(now - newest)),
            Missed::All => {
                let oldest = self.from(due, now.saturating_sub(catch_up.oldest()).max(due));
                let young = oldest.filter(|oldest| *oldest <= now).map_or(0, |oldest| 1 + self.count(oldest, now));
                young.min(catch_up.max.max(1))
            }
        };
        let missed = come.saturating_sub(sent);
        if sent == 0 {
            return Round { ticks: SmallVec::new(), missed, newest, next: self.next(newest) };
        }
        self.run(self.newest_of(sent, come, due, newest, now), missed, now, ticks_max)
    }

    /// The tick that follows one at `after`; of a cron expression, the next one after any moment.
    pub(crate) fn next(&self, after: u64) -> Option<u64> {
        match self {
            Self::Once => None,
            Self::Every(period) => after.checked_add(*period),
            Self::Cron(cron) => cron.next(Micros(after)).map(|next| next.0),
        }
    }

    /// The first tick at `moment` or later, of a rhythm of which `known` is one.
    pub(crate) fn from(&self, known: u64, moment: u64) -> Option<u64> {
        match self {
            Self::Once => None,
            Self::Every(period) if known >= moment => Some(known - (known - moment) / period * period),
            Self::Every(period) => known.checked_add((moment - known).div_ceil(*period).checked_mul(*period)?),
            Self::Cron(cron) => cron.next(Micros(moment.saturating_sub(1))).map(|next| next.0),
        }
    }

    /// Ticks from this one on that have come, `ticks_max` at most.
    fn run(&self, first: u64, missed: u64, now: u64, ticks_max: usize) -> Round {
        let (mut ticks, mut newest, mut next) = (SmallVec::new(), first, Some(first));
        while let Some(tick) = next.filter(|tick| *tick <= now && ticks.len() < ticks_max) {
            ticks.push(tick);
            newest = tick;
            next = self.next(tick);
        }
        Round { ticks, missed, newest, next }
    }

    /// How many ticks come after `after`, which is one or any moment of a cron expression, and up to `until`.
    fn count(&self, after: u64, until: u64) -> u64 {
        match self {
            Self::Once => 0,
            Self::Every(period) => until.saturating_sub(after) / period,
            Self::Cron(cron) => cron.count(Micros(after), Micros(until)),
        }
    }

    /// The newest tick that has come, given one that has.
    fn newest(&self, due: u64, now: u64) -> u64 {
        match self {
            Self::Once => due,
            Self::Every(period) => due + now.saturating_sub(due) / period * period,
            Self::Cron(cron) => cron.newest(Micros(due), Micros(now)).0,
        }
    }

    /// The first of the `wanted` newest of the ticks that have `come` from `due` on.
    fn newest_of(&self, wanted: u64, come: u64, due: u64, newest: u64, now: u64) -> u64 {
        if wanted >= come {
            return due;
        }
        match self {
            Self::Once => due,
            Self::Every(period) => newest - (wanted - 1) * period,
            Self::Cron(_) if wanted == 1 => newest,
            Self::Cron(_) => {
                // From the newest back in growing steps, to count no more than a few times what is wanted; then by
                // halves: the last moment after which more come than are wanted is just before the tick that is looked
                // for.
                let (mut too_early, mut late, mut step) = (due.saturating_sub(1), newest, MINUTE);
                while let Some(earlier) = newest.checked_sub(step).filter(|earlier| *earlier > too_early) {
                    if self.count(earlier, now) > wanted {
                        too_early = earlier;
                        break;
                    }
                    (late, step) = (earlier, step.saturating_mul(2));
                }
                while late - too_early > 1 {
                    let middle = too_early.midpoint(late);
                    if self.count(middle, now) > wanted { too_early = middle } else { late = middle }
                }
                self.next(late).unwrap_or(newest)
            }
        }
    }
}

impl CatchUp {
    /// Whether a tick that is so late is sent, if it is the only one or the newest.
    fn takes(self, late: u64) -> bool {
        match self.missed {
            Missed::Skip => late <= micros(PUNCTUAL),
            Missed::Once => true,
            Missed::All => late <= self.oldest(),
        }
    }

    /// How old a tick may be. One that is in time is never left out.
    fn oldest(self) -> u64 {
        self.within.max(micros(PUNCTUAL))
    }
}

#[cfg(test)]
mod tests;
