//! Who may submit: room in the queue, and room in the store.
//!
//! Room is reserved first, so that a submission that holds a permit is never refused. Everything here reads numbers
//! that the writer and the checkpointer refresh; nothing asks LMDB or the disk on the way, except to confirm a
//! refusal.

mod growers;

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use tokio::sync::{Semaphore, TryAcquireError};

use self::growers::{Grower, Growers, Room};
use crate::error::{AdmissionError, CommitError, Environment};
use crate::ids::Position;
use crate::limits::{GROWING, LAST, Limits, OUTSIDE, Share, UNIT_BYTES};
use crate::overlay::Held;
use crate::record::{CHANGE_BYTES, overhead};

/// What a submission is, which decides when it has to stand back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// New work: refused above 80 % of either map (less in maps below 2 MiB), and without disk headroom.
    Outside,
    /// Work in progress.
    Turn {
        /// How many bytes more it leaves behind than it removes. With any it waits above 95 % of either map, and goes
        /// after others from 93 % on; with none it always passes, since it is what makes room.
        growth: usize,
    },
    /// The same of a turn that handles a message. Of those that wait the one with the newest message goes first.
    Message {
        /// As of [`Class::Turn`].
        growth: usize,
        /// The message.
        position: Position,
    },
}

/// Room for one submission. Given back when it is dropped unused, or when its submission is durable.
#[derive(Debug)]
#[must_use = "a permit holds room in the queue until it is used or dropped"]
pub struct Permit<'a> {
    // Borrowed: a counted reference would be one more cache line that all threads write to, twice a submission.
    admission: &'a Admission,
    units: u32,
}

/// What a submission holds of the queue.
#[derive(Clone, Copy)]
struct Own {
    turns: usize,
    units: u32,
}

impl Own {
    const NOTHING: Self = Self { turns: 0, units: 0 };
}

/// How full one of the maps is, in bytes.
struct Usage {
    which: Environment,
    used: u64,
    map: u64,
}

#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    turns: Semaphore,
    units: Semaphore,
    /// Turns that wait above 93 %.
    growers: Growers,
    journal_used: AtomicU64,
    tables_used: AtomicU64,
    overlay_bytes: AtomicU64,
    overlay_changes: AtomicU64,
    disk_free: AtomicU64,
    disk_headroom: u64,
    /// How large the two files can become on the disk as it is.
    journal_disk: AtomicU64,
    tables_disk: AtomicU64,
    folder: PathBuf,
    failure: OnceLock<CommitError>,
}

impl Admission {
    pub(crate) fn new(limits: Limits, folder: PathBuf, disk_headroom: u64) -> Self {
        Self {
            turns: Semaphore::new(limits.queue_turns),
            units: Semaphore::new(limits.queue_units as usize),
            growers: Growers::default(),
            journal_used: AtomicU64::new(0),
            tables_used: AtomicU64::new(0),
            overlay_bytes: AtomicU64::new(0),
            overlay_changes: AtomicU64::new(0),
            disk_free: AtomicU64::new(u64::MAX),
            disk_headroom,
            journal_disk: AtomicU64::new(u64::MAX),
            tables_disk: AtomicU64::new(u64::MAX),
            folder,
            failure: OnceLock::new(),
            limits,
        }
    }

    /// Waits for room. Cancel safe.
    pub(crate) async fn reserve(&self, class: Class, bytes: usize) -> Result<Permit<'_>, AdmissionError> {
        // Nearly always there is room, and nobody need wait. Whoever waits is first all the same: room that is given
        // back goes to them before it counts as free.
        match self.try_reserve(class, bytes) {
            Err(AdmissionError::QueueFull | AdmissionError::StoreFull { .. }) => {}
            outcome => return outcome,
        }
        let units = self.units_of(bytes)?;
        let mut waiting = None;
        loop {
            let is_first = self.wait_for_store(class, &mut waiting).await?;
            // Turns first: whoever waits for bytes holds one turn, and others with little to say are not held up behind
            // it for long.
            let turn = self.turns.acquire().await.map_err(|_| self.gone())?;
            let taken = self.units.acquire_many(units).await.map_err(|_| self.gone())?;
            // The wait may have been long, and many may have waited for the same room; not of whoever goes first.
            let own = Own { turns: 1, units };
            match if is_first { Ok(()) } else { self.check_store(class, own) } {
                Ok(()) => {
                    turn.forget();
                    taken.forget();
                    return Ok(Permit { admission: self, units });
                }
                Err(AdmissionError::StoreFull { .. }) if class != Class::Outside => {
                    drop((turn, taken));
                    // Others counted what it held.
                    self.wake();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes room if there is some.
    pub(crate) fn try_reserve(&self, class: Class, bytes: usize) -> Result<Permit<'_>, AdmissionError> {
        self.check_store(class, Own::NOTHING)?;
        let units = self.units_of(bytes)?;
        let refuse = |error| match error {
            TryAcquireError::NoPermits => AdmissionError::QueueFull,
            TryAcquireError::Closed => self.gone(),
        };
        let turn = self.turns.try_acquire().map_err(refuse)?;
        self.units.try_acquire_many(units).map_err(refuse)?.forget();
        turn.forget();
        Ok(Permit { admission: self, units })
    }

    /// Gives room back.
    pub(crate) fn release(&self, turns: usize, units: usize) {
        self.turns.add_permits(turns);
        self.units.add_permits(units);
        // What is queued counts as used, so its end can be what a turn waits for.
        self.wake();
    }

    /// Ends admission: waiting callers are told, later ones are refused.
    pub(crate) fn close(&self) {
        self.turns.close();
        self.units.close();
        self.growers.wake_all();
    }

    /// Records why the store stopped; the first reason stays.
    pub(crate) fn fail(&self, error: CommitError) {
        if self.failure.set(error.clone()).is_ok() {
            tracing::debug!(%error, "the store has failed and takes nothing any more");
        }
        self.close();
    }

    pub(crate) fn failure(&self) -> Option<&CommitError> {
        self.failure.get()
    }

    pub(crate) fn set_journal_used(&self, bytes: u64) {
        self.journal_used.store(bytes, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn set_tables_used(&self, bytes: u64) {
        self.tables_used.store(bytes, Ordering::Relaxed);
        self.wake();
    }

    /// What the disk has for the two files, set aside or free.
    pub(crate) fn set_disk(&self, journal: u64, tables: u64) {
        self.journal_disk.store(journal, Ordering::Relaxed);
        self.tables_disk.store(tables, Ordering::Relaxed);
        self.wake();
    }

    pub(crate) fn set_overlay(&self, held: Held) {
        self.overlay_bytes.store(held.bytes as u64, Ordering::Relaxed);
        self.overlay_changes.store(held.changes as u64, Ordering::Relaxed);
    }

    pub(crate) fn journal_used(&self) -> u64 {
        self.journal_used.load(Ordering::Relaxed)
    }

    pub(crate) fn tables_used(&self) -> u64 {
        self.tables_used.load(Ordering::Relaxed)
    }

    pub(crate) fn overlay_bytes(&self) -> u64 {
        self.overlay_bytes.load(Ordering::Relaxed)
    }

    /// Whether submissions from outside are refused for want of room in a map. Then everything durable goes to the
    /// tables at once, since only that frees pages.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_disk_low() || self.check_maps(OUTSIDE, Own::NOTHING).is_err()
    }

    /// Looks how much of the disk is free. A system call; not for the way of a submission.
    pub(crate) fn refresh_disk(&self) -> u64 {
        // A file system that does not answer says nothing about its room; the commit will find out.
        let free =
            rustix::fs::statvfs(&self.folder).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        self.disk_free.store(free, Ordering::Relaxed);
        free
    }

    /// Whether it goes first of those in line: then nobody of them grows the store before it has taken its room.
    async fn wait_for_store<'a>(
        &'a self,
        class: Class,
        waiting: &mut Option<Grower<'a, Self>>,
    ) -> Result<bool, AdmissionError> {
        let (growth, position) = match class {
            Class::Turn { growth: growth @ 1.. } => (growth, Position(0)),
            Class::Message { growth: growth @ 1.., position } => (growth, position),
            Class::Outside | Class::Turn { .. } | Class::Message { .. } => {
                return self.check_store(class, Own::NOTHING).map(|()| false);
            }
        };
        if waiting.is_none() {
            match self.check_store(class, Own::NOTHING) {
                Err(full @ AdmissionError::StoreFull { .. }) => {
                    tracing::debug!(%full, growth, "a turn that would grow the store waits until there is room");
                    *waiting = Some(Grower::join(self, position, growth));
                }
                outcome => return outcome.map(|()| false),
            }
        }
        poll_fn(|context| {
            let store = || self.check_store(class, Own::NOTHING);
            let Some(grower) = &waiting else { return Poll::Ready(store().map(|()| false)) };
            grower.listen(context);
            match store() {
                Err(AdmissionError::StoreFull { .. }) if grower.goes() => Poll::Ready(Ok(true)),
                Err(AdmissionError::StoreFull { .. }) => Poll::Pending,
                outcome => Poll::Ready(outcome.map(|()| false)),
            }
        })
        .await
    }

    /// `own` is what the submission itself holds of the queue: it must not keep itself out.
    fn check_store(&self, class: Class, own: Own) -> Result<(), AdmissionError> {
        if self.turns.is_closed() {
            return Err(self.gone());
        }
        match class {
            Class::Outside => {
                // Refused only after a fresh look: with nothing admitted nobody else would look again.
                if self.is_disk_low() {
                    let (free, headroom) = (self.refresh_disk(), self.disk_headroom);
                    if free < headroom {
                        return Err(AdmissionError::DiskFull { free, headroom });
                    }
                }
                self.check_maps(OUTSIDE, own)
            }
            Class::Turn { growth: 0 } | Class::Message { growth: 0, .. } => Ok(()),
            Class::Turn { .. } | Class::Message { .. } => self.check_maps(GROWING, own),
        }
    }

    /// Whether less of the disk is free than others are to find.
    fn is_disk_low(&self) -> bool {
        self.disk_free.load(Ordering::Relaxed) < self.disk_headroom
    }

    fn check_maps(&self, share: Share, own: Own) -> Result<(), AdmissionError> {
        for Usage { which, used, map } in self.usage(share, own) {
            if used > self.limits.usable(map, share) {
                let used_percent = u8::try_from(u128::from(used) * 100 / u128::from(map.max(1))).unwrap_or(u8::MAX);
                return Err(AdmissionError::StoreFull { used_percent, which });
            }
        }
        Ok(())
    }

    /// How full the maps are. What is on its way counts in both: first it goes into the journal, then into the tables,
    /// where each change may cost a page of its own. For turns a map is no larger than the disk allows.
    fn usage(&self, share: Share, own: Own) -> [Usage; 2] {
        let Limits { queue_turns, queue_units, page_bytes, journal_map, tables_map, .. } = self.limits;
        let turns = queue_turns.saturating_sub(self.turns.available_permits() + own.turns) as u64;
        let units = (queue_units as usize).saturating_sub(self.units.available_permits() + own.units as usize);
        let queued = (units * UNIT_BYTES) as u64;
        let changes = self.overlay_changes.load(Ordering::Relaxed);
        let journal = self.journal_used() + queued;
        let tables = self.tables_used() + self.overlay_bytes() + queued + (changes + turns) * page_bytes;
        // Those outside keep away from a full disk by its headroom.
        let bound = |map: u64, disk: &AtomicU64| {
            if share == OUTSIDE { map } else { map.min(disk.load(Ordering::Relaxed)) }
        };
        [
            Usage { which: Environment::Journal, used: journal, map: bound(journal_map, &self.journal_disk) },
            Usage { which: Environment::Tables, used: tables, map: bound(tables_map, &self.tables_disk) },
        ]
    }

    /// Lets go whoever may, of those that wait to grow the store.
    fn wake(&self) {
        self.growers.wake_next(self);
    }

    fn units_of(&self, bytes: usize) -> Result<u32, AdmissionError> {
        let limit = self.limits.submission_bytes;
        if bytes > limit {
            let setting = self.limits.submission_setting;
            return Err(AdmissionError::TooLarge { bytes, limit, setting });
        }
        // As if it were one value: how many there are is not known yet.
        let units = (bytes + overhead(bytes) + CHANGE_BYTES).div_ceil(UNIT_BYTES);
        Ok(u32::try_from(units).unwrap_or(u32::MAX).min(self.limits.queue_units))
    }

    fn gone(&self) -> AdmissionError {
        self.failure().map_or(AdmissionError::Closed, |error| AdmissionError::Failed(error.clone()))
    }
}

impl Room for Admission {
    fn growers(&self) -> &Growers {
        &self.growers
    }

    /// By how much one turn may grow the store. Without a limit below 93 %; above, a part of what is left, so that
    /// those who need least can go longest. Should all that is stored be a step of a chain that makes each message a
    /// little larger, nothing would ever shrink otherwise.
    fn room_to_grow(&self) -> usize {
        if self.check_maps(GROWING, Own::NOTHING).is_ok() {
            return usize::MAX;
        }
        // A submission counts with a page of its own.
        let used = |used: u64| used.saturating_add(self.limits.page_bytes);
        let left = |usage: Usage| self.limits.usable(usage.map, LAST).saturating_sub(used(usage.used));
        let left = self.usage(LAST, Own::NOTHING).map(left).into_iter().min().unwrap_or(0);
        usize::try_from(left).unwrap_or(usize::MAX) / LAST_PARTS
    }
}

impl Permit<'_> {
    /// Turns the permit into room that the writer gives back later.
    pub(crate) fn spend(mut self) -> u32 {
        std::mem::take(&mut self.units)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // A permit always holds at least one unit, so none left means that it was spent.
        if self.units > 0 {
            self.admission.release(1, self.units as usize);
        }
    }
}

/// A turn takes one of so many equal parts of what is left from 93 % on, at most.
const LAST_PARTS: usize = 4;

#[cfg(test)]
mod tests;
