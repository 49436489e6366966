//! Time. There are two kinds, of two types: [`Micros`] is wall time, which people name and are shown; [`Steady`] is the
//! node's own timeline, on which every wait runs. Pure modules are handed moments; only what is in here asks the
//! machine.

mod deadline;
mod machine;
mod micros;
pub(crate) mod rules;
mod steady;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use self::deadline::Deadline;
pub use self::micros::Micros;
pub use self::rules::distance::ClockSkew;
pub(crate) use self::rules::distance::{SKEW_MAX, Timelines};
pub(crate) use self::rules::resume::Note;
use self::rules::resume::{Reading, Resuming};
use self::rules::settled::Settled;
pub(crate) use self::rules::settled::{News, SETTLE};
pub(crate) use self::steady::Steady;

/// The clock of one node. Reading it takes no lock.
#[derive(Debug)]
pub(crate) struct Clock {
    boot_id: Option<u128>,
    /// Steady time when the machine was started.
    at_boot: u64,
    /// Wall time less steady time, as it is believed.
    believed: AtomicI64,
    /// Wall time was this before the clock was put back by less than a step: until it is that again it stands still.
    floor: AtomicU64,
    settled: Mutex<Settled>,
}

/// One moment in both kinds of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) steady: Steady,
    pub(crate) wall: Micros,
}

impl Clock {
    fn new(reading: &Reading, steady: Steady, believed: Micros) -> Self {
        let settled = Settled::new(steady, believed);
        Self {
            boot_id: reading.boot_id,
            at_boot: steady.0.wrapping_sub(reading.boot),
            believed: AtomicI64::new(settled.believed()),
            floor: AtomicU64::new(0),
            settled: Mutex::new(settled),
        }
    }

    /// The moment on the node's own timeline: for whatever waits.
    pub(crate) fn steady(&self) -> Steady {
        Steady(self.at_boot.wrapping_add(machine::since_boot()))
    }

    /// Wall time as it is believed: for what is shown, and for moments that somebody named. It goes back only when a
    /// clock that was put back by more than a second has stood for a minute.
    pub(crate) fn wall(&self) -> Micros {
        self.now().wall
    }

    /// Both, at one moment.
    pub(crate) fn now(&self) -> Now {
        let steady = self.steady();
        // In this order: what was believed before is never below the floor that was set since.
        let believed = self.believed.load(Ordering::Acquire);
        let floor = self.floor.load(Ordering::Relaxed);
        Now { steady, wall: Micros(at(steady, believed).max(floor)) }
    }

    /// What the next run is to go on from.
    pub(crate) fn note(&self) -> Note {
        let reading = Reading::now(self.boot_id);
        let steady = Steady(self.at_boot.wrapping_add(reading.boot));
        Note::new(&reading, steady, Micros(at(steady, self.believed.load(Ordering::Acquire))))
    }

    /// Compares the clocks; to be called about once a second.
    pub(crate) fn look(&self) -> Option<News> {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let (steady, before) = (self.steady(), settled.believed());
        let news = settled.look(steady, machine::wall());
        let believed = settled.believed();
        if believed != before {
            let floor = match news {
                Some(News::Believed(_)) => 0,
                _ => self.floor.load(Ordering::Relaxed).max(at(steady, before)),
            };
            self.floor.store(floor, Ordering::Relaxed);
            self.believed.store(believed, Ordering::Release);
        }
        news
    }
}

/// A clock that is to go on from what the last run of the store has left; it begins with the machine's wall clock if
/// that has left nothing.
#[derive(Debug)]
pub(crate) struct ResumingClock {
    boot_id: Option<u128>,
    resuming: Resuming,
}

impl ResumingClock {
    pub(crate) fn new(note: Option<Note>) -> Self {
        Self { boot_id: machine::boot_id(), resuming: Resuming::new(note) }
    }

    /// Looks at the machine's clocks; to be called about once a second. As long as it is not believed how much time has
    /// passed: what the wall clock says of that.
    pub(crate) fn look(&mut self) -> Result<Clock, Duration> {
        let reading = Reading::now(self.boot_id);
        match self.resuming.look(&reading) {
            Some((steady, believed)) => Ok(Clock::new(&reading, steady, believed)),
            None => Err(self.resuming.said(&reading)),
        }
    }
}

impl Reading {
    fn now(boot_id: Option<u128>) -> Self {
        Self { boot_id, boot: machine::since_boot(), wall: machine::wall() }
    }
}

/// The wall time at a steady moment.
fn at(steady: Steady, believed: i64) -> u64 {
    steady.0.wrapping_add_signed(believed)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
