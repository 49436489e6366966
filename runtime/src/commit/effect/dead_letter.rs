//! Dead letters: messages that were given up on. They are locked from the check to the end of the step.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use everpost_persistence::{Position, Stage};

use super::Phases;
use super::ask::{Outlived, of_letters};
use crate::base::clock::Steady;
use crate::commit::size::Size;
use crate::commit::transaction::{Refused, Step};
use crate::message::MessageId;
use crate::message::address::Address;
use crate::shard::dead_letters::{Slot, known_of};
use crate::shard::{Route, Shard};
use crate::tables;

/// A message becomes a dead letter; where there is no room otherwise, the oldest goes for it.
pub(crate) struct Added<'a> {
    slot: Slot<'a>,
    position: Position,
    record: Bytes,
    /// Whose message it was, for the alarm that the oldest was dropped for it.
    actor: Option<&'a Address>,
    oldest: Option<Position>,
    outlived: Outlived,
}

impl<'a> Added<'a> {
    pub(crate) fn new(slot: Slot<'a>, position: Position, record: Bytes, actor: Option<&'a Address>) -> Self {
        Self { slot, position, record, actor, oldest: None, outlived: Outlived::default() }
    }
}

impl<'a> Phases<'a> for Added<'a> {
    fn size(&self, size: &mut Size) {
        size.put(self.record.len());
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        self.oldest = step.dead_letters.get().to_make_room();
        Ok(())
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        self.outlived = of_letters(step, self.oldest.as_slice());
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        stage.put(tables::dead_letter(self.position), self.record.clone());
        if let Some(position) = self.oldest {
            stage.delete(tables::dead_letter(position));
        }
        self.outlived.stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let Self { slot, position, record, actor, oldest, outlived } = self;
        let ticket = step.ticket;
        let dead_letters = step.dead_letters.get();
        dead_letters.added(slot, position, known_of(&record), ticket);
        if let Some(oldest) = oldest {
            dead_letters.dropped(oldest, ticket);
        }
        outlived.apply(step);
        step.shard.counters.dead_lettered.fetch_add(1, Ordering::Relaxed);
        step.dead_letter = Some(AddedDeadLetter { actor, has_dropped: oldest.is_some() });
    }
}

/// A dead letter that was added, for those who are told when nothing is locked any more.
pub(in crate::commit) struct AddedDeadLetter<'a> {
    actor: Option<&'a Address>,
    has_dropped: bool,
}

impl AddedDeadLetter<'_> {
    pub(in crate::commit) fn tell(self, shard: &Shard) {
        shard.dead_letters.warn(&shard.name);
        if let (true, Some(actor)) = (self.has_dropped, self.actor) {
            shard.dead_letters.alarm_dropped(&shard.name, actor);
        }
    }
}

/// Dead letters are deleted. Nothing happens if none of them is there any more.
pub(crate) struct Removed {
    which: Which,
    dead_letters: Vec<Position>,
    outlived: Outlived,
}

/// Which dead letters.
#[derive(Clone, Copy, Debug)]
enum Which {
    /// One that somebody has decided on.
    One(Position),
    /// Those that were given up on at that moment or before, so many at most, the oldest first.
    OlderThan(Steady, usize),
    /// Those that are more than may be, so many at most, the oldest first.
    Excess(usize),
}

impl Removed {
    pub(crate) fn one(dead_letter: Position) -> Self {
        Self::new(Which::One(dead_letter))
    }

    pub(crate) fn older_than(moment: Steady, max: usize) -> Self {
        Self::new(Which::OlderThan(moment, max))
    }

    pub(crate) fn excess(max: usize) -> Self {
        Self::new(Which::Excess(max))
    }

    fn new(which: Which) -> Self {
        Self { which, dead_letters: Vec::new(), outlived: Outlived::default() }
    }
}

impl<'a> Phases<'a> for Removed {
    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        let there = step.dead_letters.get();
        self.dead_letters = match self.which {
            Which::One(dead_letter) => there.has(dead_letter).then_some(dead_letter).into_iter().collect(),
            Which::OlderThan(moment, max) => there.older_than(moment, max),
            Which::Excess(max) => there.excess(max),
        };
        if self.dead_letters.is_empty() { Err(Refused::Gone) } else { Ok(()) }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        self.outlived = of_letters(step, &self.dead_letters);
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        self.dead_letters.iter().for_each(|position| stage.delete(tables::dead_letter(*position)));
        self.outlived.stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let ticket = step.ticket;
        step.removed += self.dead_letters.len();
        let there = step.dead_letters.get();
        for dead_letter in self.dead_letters {
            match self.which {
                Which::One(_) => there.removed(dead_letter, ticket),
                Which::OlderThan(..) | Which::Excess(_) => there.dropped(dead_letter, ticket),
            }
        }
        self.outlived.apply(step);
    }
}

/// A dead letter is sent again, in its own envelope or in another one: the message goes with it in the same commit, as
/// the last one that is sent there. Nothing happens if the dead letter is not there any more.
pub(crate) struct Replayed<'a> {
    dead_letter: Position,
    letter_bytes: usize,
    /// The id of the message that is sent in its place.
    id: MessageId,
    route: &'a Route,
    outlived: Outlived,
}

impl<'a> Replayed<'a> {
    pub(crate) fn new(dead_letter: Position, letter_bytes: usize, id: MessageId, route: &'a Route) -> Self {
        Self { dead_letter, letter_bytes, id, route, outlived: Outlived::default() }
    }
}

impl<'a> Phases<'a> for Replayed<'a> {
    fn size(&self, size: &mut Size) {
        size.remove(self.letter_bytes);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        if step.dead_letters.get().has(self.dead_letter) { Ok(()) } else { Err(Refused::Gone) }
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        let known = step.dead_letters.get().get(self.dead_letter).flatten();
        // What its turn has asked before is known to its next attempt here; another message begins anew, and another
        // node does not know it.
        let is_the_same = known.is_none_or(|known| known.id == self.id);
        if !(is_the_same && matches!(self.route, Route::Local(_))) {
            self.outlived = of_letters(step, &[self.dead_letter]);
        }
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        stage.delete(tables::dead_letter(self.dead_letter));
        self.outlived.stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        let (position, ticket) = (step.position, step.ticket);
        step.dead_letters.get().revived(self.dead_letter, self.id, position, ticket);
        if let Route::Local(mailbox) = self.route {
            step.shard.asked.waits(mailbox, self.id);
        }
        self.outlived.apply(step);
    }
}
