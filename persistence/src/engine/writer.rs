//! The thread that makes submissions durable: one group, one journal record, one commit.
//!
//! While one group syncs, the next one gathers in the queue. The order of steps is what everything else relies on:
//! flush, then the overlay, then the watermark of what is committed. So whoever sees that can read what it covers.

use std::sync::Arc;

use super::shared::Shared;
use crate::batch::{Change, Encoder};
use crate::error::CommitError;
use crate::fold::GroupFold;
use crate::ids::{Group, Position};
use crate::log::Log;
use crate::overlay::Held;
use crate::queue::{Ending, Gathering, Mark, Work};
use crate::slots::Promise;
use crate::statistics::add;

/// How often the slower numbers are refreshed, in groups.
const REFRESH_GROUPS: u64 = 64;
/// Memory that a rare large group leaves behind is given back beyond this size.
const BUFFER_BYTES_KEPT: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Writer<L> {
    shared: Arc<Shared>,
    log: L,
    fold: GroupFold,
    /// Room for what the log puts before a group, then its batch.
    buffer: Vec<u8>,
    /// The last position of the last group.
    last: Position,
    promise: Promise,
}

/// A prefix of what was taken.
struct Prefix {
    turns: usize,
    changes: usize,
    units: usize,
    bytes: usize,
    last: Position,
}

impl<L: Log> Writer<L> {
    pub(crate) fn new(shared: Arc<Shared>, log: L, last: Position, promise: Promise) -> Self {
        Self { shared, log, fold: GroupFold::default(), buffer: Vec::new(), last, promise }
    }

    /// Runs until the store ends; how. After a clean end everything submitted is in the journal, and this thread has
    /// nothing left to commit.
    pub(crate) fn run(&mut self) -> Result<Ending, CommitError> {
        let mut gathering = Gathering::default();
        loop {
            match self.shared.queue.wait(&mut gathering) {
                Work::Submissions => {
                    if !self.write_all()? {
                        return Ok(Ending::Abandon);
                    }
                }
                Work::Cut => self.cut_idle()?,
                Work::End(Ending::Abandon) => return Ok(Ending::Abandon),
                Work::End(Ending::Clean) => {
                    if self.shared.queue.shut(false) {
                        return Ok(Ending::Clean);
                    }
                }
            }
        }
    }

    /// Marks a clean end, after the last checkpoint.
    pub(crate) fn finish(&mut self) -> Result<(), CommitError> {
        self.log.finish()
    }

    /// Writes everything that is in flight, group by group. False if the store is abandoned on the way.
    fn write_all(&mut self) -> Result<bool, CommitError> {
        let shared = Arc::clone(&self.shared);
        let (mut turns, mut changes) = (0, 0);
        loop {
            if shared.queue.is_abandoned() {
                return Ok(false);
            }
            let in_flight = shared.queue.in_flight();
            if turns == in_flight.marks.len() {
                break;
            }
            let prefix = self.prefix(&in_flight.marks[turns..], changes);
            let records = self.encode(&in_flight.changes[changes..changes + prefix.changes], &prefix);
            // Whoever waits to move on what is in flight would keep out all others.
            drop(in_flight);
            self.write_group(&prefix, records)?;
            turns += prefix.turns;
            changes += prefix.changes;
        }
        shared.queue.in_flight_to_change().clear();
        Ok(true)
    }

    /// As many submissions as fit one group, at least one.
    fn prefix(&self, marks: &[Mark], start: usize) -> Prefix {
        let limits = &self.shared.limits;
        let mut prefix = Prefix { turns: 0, changes: 0, units: 0, bytes: 0, last: self.last };
        for mark in marks.iter().take(limits.group_turns) {
            let (changes, bytes) = (mark.changes - start, prefix.bytes + mark.bytes);
            if prefix.turns > 0 && (bytes > limits.group_bytes || changes > limits.group_changes) {
                break;
            }
            prefix = Prefix {
                turns: prefix.turns + 1,
                changes,
                units: prefix.units + mark.units as usize,
                bytes,
                last: mark.ticket,
            };
        }
        prefix
    }

    /// Puts what is in the buffer on the medium, and commits it.
    fn write_group(&mut self, prefix: &Prefix, records: usize) -> Result<(), CommitError> {
        let group = self.log.next();
        self.make_room(self.buffer.len())?;
        self.flush(group)?;
        // Nobody else has a say in what is committed.
        self.commit(group, prefix, records);
        Ok(())
    }

    /// Puts what is in the buffer on the medium.
    fn flush(&mut self, group: Group) -> Result<(), CommitError> {
        let (_, applied) = self.shared.checkpoints.progress();
        self.log.cut_front(applied);
        self.log.append(group, &mut self.buffer)?;
        self.log.flush()?;
        assert_eq!(self.log.flushed(), group, "a log that was flushed has everything");
        // A file that nobody can open again takes every write all the same.
        self.shared.witness.look_at_journal()?;
        self.shared.watermarks.flush_to(group);
        Ok(())
    }

    /// Lets everybody see a group that nobody can take back any more.
    fn commit(&mut self, group: Group, prefix: &Prefix, records: usize) {
        // Before anybody is told, so that whoever was told of it can be contradicted by nobody.
        self.promise.keep(group);
        let held = self.land(group, prefix);
        self.last = prefix.last;
        self.shared.admission.set_overlay(held);
        self.shared.watermarks.commit_to(group, prefix.last);
        self.shared.admission.release(prefix.turns, prefix.units);
        self.count(prefix, records);
        self.shared.announce();

        let limits = &self.shared.limits;
        let used = self.log.used_bytes();
        self.shared.admission.set_journal_used(used);
        let urgent = held.bytes >= limits.checkpoint_bytes
            || held.changes >= limits.checkpoint_changes(self.shared.admission.tables_used())
            || used > limits.journal_checkpoint()
            || self.shared.admission.is_crowded();
        self.shared.checkpoints.want(urgent);
        if group.0.is_multiple_of(REFRESH_GROUPS) {
            self.shared.admission.refresh_disk();
        }
    }

    /// Moves what was committed to where everybody reads it; how much is there then.
    fn land(&self, group: Group, prefix: &Prefix) -> Held {
        let mut in_flight = self.shared.queue.in_flight_to_change();
        let changes = in_flight.land(prefix.changes).iter_mut().enumerate();
        let left = changes.filter(|(index, _)| self.fold.is_left(*index));
        // Moves the values over; the places that they leave are cleared with the vector.
        let moved = left.map(|(_, change)| Change { key: change.key, value: change.value.take() });
        let (first, chain) = (self.last.next(), self.log.origin().before);
        self.shared.overlay.update(|active| active.absorb(group, first, prefix.last, chain, moved))
    }

    /// Folds a group, and fills the buffer with it; how many changes are in it.
    fn encode(&mut self, changes: &[Change], prefix: &Prefix) -> usize {
        let (group, first, last) = (self.log.next(), self.last.next(), prefix.last);
        self.fold.fold(first, last, changes);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.buffer.resize(L::HEADROOM, 0);
        let (shard, origin) = (self.log.shard(), self.log.origin());
        let mut encoder = Encoder::begin(&mut self.buffer, shard, group, first, last, origin);
        let mut records = 0;
        for (index, change) in changes.iter().enumerate() {
            if self.fold.is_left(index) {
                encoder.push(change);
                records += 1;
            }
        }
        encoder.finish();
        records
    }

    /// Waits for the checkpointer while too much is held in memory or in the journal, as long as waiting can help.
    fn make_room(&mut self, bytes: usize) -> Result<(), CommitError> {
        loop {
            if let Some(error) = self.shared.admission.failure() {
                return Err(error.clone());
            }
            if self.shared.queue.is_abandoned() {
                return Ok(());
            }
            let limits = &self.shared.limits;
            let (seen, applied) = self.shared.checkpoints.progress();
            let held = self.shared.overlay.read().held();
            let changes_max = 2 * limits.checkpoint_changes(self.shared.admission.tables_used());
            let overlay_full = held.bytes > limits.overlay_bytes || held.changes > changes_max;
            let journal_full = self.log.used_bytes() + bytes as u64 > limits.journal_wait();
            self.log.cut_front(applied);
            if journal_full && self.log.trim()? {
                continue;
            }
            if held.nothing || !(overlay_full || journal_full) {
                return Ok(());
            }
            add(&self.shared.counters.waits_for_checkpoint, 1);
            self.shared.checkpoints.want(true);
            self.shared.checkpoints.wait_beyond(seen);
        }
    }

    /// Cuts the journal while nothing is submitted, a step at a time, so that a full store finds its room again.
    fn cut_idle(&mut self) -> Result<(), CommitError> {
        let (_, applied) = self.shared.checkpoints.progress();
        self.log.cut_front(applied);
        if self.log.trim()? {
            self.shared.admission.set_journal_used(self.log.used_bytes());
            // There may be more; this ends with a step that finds nothing.
            self.shared.queue.request_cut();
        }
        Ok(())
    }

    fn count(&self, prefix: &Prefix, records: usize) {
        let counters = &self.shared.counters;
        add(&counters.groups, 1);
        add(&counters.turns, prefix.turns);
        add(&counters.changes, prefix.changes);
        add(&counters.records, records);
        add(&counters.journal_bytes, self.buffer.len());
    }
}
