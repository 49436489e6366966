//! The verdict: each invariant on its own, over every stream.

use std::collections::BTreeSet;

use super::{Entry, Found, Oracle, Stream, Violation};
use crate::load::{History, is_rejected};

impl Oracle {
    /// Compares what is there with what clients saw.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn judge(&self, found: &Found) -> Result<(), Violation> {
        let strangers = found.sources.keys().chain(found.dead.keys()).find(|stream| !self.streams.contains_key(stream));
        check("I2", strangers.is_none(), || format!("nobody sent on stream {strangers:?}"))?;
        for (number, stream) in &self.streams {
            let entries = found.sources.get(number).map_or(&[][..], Vec::as_slice);
            let dead = found.dead.get(number).map_or(&[][..], Vec::as_slice);
            stream
                .judge(entries, dead)
                .map_err(|violation| Violation { what: format!("stream {number}: {}", violation.what), ..violation })?;
        }
        sums_agree(found)
    }
}

impl Stream {
    fn judge(&self, entries: &[Entry], dead: &[u32]) -> Result<(), Violation> {
        let present = self.once(entries, dead)?;
        self.nothing_is_lost(&present)?;
        self.order_is_kept(entries, &present)?;
        self.what_was_told_is_true(entries, dead)
    }

    /// I2 and I3: what is there was sent, and is there once.
    fn once(&self, entries: &[Entry], dead: &[u32]) -> Result<BTreeSet<u32>, Violation> {
        let mut present = BTreeSet::new();
        for number in entries.iter().map(|entry| &entry.number).chain(dead) {
            check("I2", self.sent.contains_key(number), || format!("nobody sent {number}"))?;
            check("I3", present.insert(*number), || format!("{number} is there twice"))?;
        }
        for entry in entries {
            check("I2", !is_rejected(entry.number), || format!("{} was rejected, and has effects", entry.number))?;
        }
        for number in dead {
            check("I1", is_rejected(*number), || format!("{number} is a dead letter without a reason"))?;
        }
        Ok(present)
    }

    fn nothing_is_lost(&self, present: &BTreeSet<u32>) -> Result<(), Violation> {
        let told = self.acknowledged.iter().chain(self.replied.keys()).chain(&self.given_up).chain(&self.processed);
        let lost: Vec<_> = told.filter(|number| !present.contains(number)).collect();
        check("I1", lost.is_empty(), || format!("acknowledged and gone: {lost:?}"))
    }

    /// I4: in the order of sending, and what a crash took is the end of what was sent in that life, without holes.
    fn order_is_kept(&self, entries: &[Entry], present: &BTreeSet<u32>) -> Result<(), Violation> {
        for pair in entries.windows(2) {
            let (first, second) = (pair[0].number, pair[1].number);
            check("I4", first < second, || format!("{second} was handled after {first}"))?;
        }
        let mut gone: Option<(u32, u32)> = None;
        for (&number, &life) in &self.sent {
            match gone {
                Some((before, in_life)) if in_life == life && present.contains(&number) => {
                    return check("I4", false, || format!("{before} is gone, and {number} sent after it is there"));
                }
                _ if !present.contains(&number) => gone = Some((number, life)),
                _ => {}
            }
        }
        Ok(())
    }

    /// I6: a reply or an answer was never seen of something that a crash took back.
    fn what_was_told_is_true(&self, entries: &[Entry], dead: &[u32]) -> Result<(), Violation> {
        for (number, token) in &self.replied {
            let kept = entries.iter().find(|entry| entry.number == *number).map(|entry| entry.token);
            check("I6", kept == Some(*token), || {
                format!("{number} was replied to with {token}, and {kept:?} is there")
            })?;
        }
        for (count, token) in &self.answered {
            let kept = count.checked_sub(1).and_then(|index| entries.get(index)).map(|entry| entry.token);
            check("I6", kept == Some(*token), || format!("entry {count} was shown as {token}, and {kept:?} is there"))?;
        }
        let unprocessed = self.processed.iter().find(|number| dead.contains(number));
        check("I6", unprocessed.is_none(), || format!("{unprocessed:?} was processed, and is a dead letter"))?;
        let behind = self.shown_after.iter().find(|(number, newest)| newest.is_none_or(|newest| newest < *number));
        check("I6", behind.is_none(), || format!("{behind:?}: it was processed, and a query did not show it"))?;
        let alive = self.given_up.iter().find(|number| !dead.contains(number));
        check("I6", alive.is_none(), || format!("{alive:?} was given up on, and is no dead letter"))
    }
}

/// I5: what a source did and what it sent commit together, and so do the sink's; by tokens, from the same attempt.
fn sums_agree(found: &Found) -> Result<(), Violation> {
    for (stream, entries) in &found.sources {
        let forwarded = found.sinks.get(stream).map_or(&[][..], Vec::as_slice);
        check("I5", entries == forwarded, || {
            let at = entries.iter().zip(forwarded).position(|(one, other)| one != other);
            let (kept, forwarded) = (entries.len(), forwarded.len());
            format!("stream {stream}: {kept} entries kept, {forwarded} forwarded, first difference at {at:?}")
        })?;
    }
    let beyond = found.sinks.keys().find(|stream| !found.sources.contains_key(stream));
    check("I5", beyond.is_none(), || format!("stream {beyond:?} was forwarded and not kept"))?;
    let sum = sum(&found.sinks);
    check("I5", sum == found.total, || format!("the sinks have {sum}, the total is {}", found.total))
}

fn sum(history: &History) -> u64 {
    history.values().flatten().map(|entry| u64::from(entry.number)).sum()
}

fn check(invariant: &'static str, holds: bool, what: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { invariant, what: what() }) }
}
