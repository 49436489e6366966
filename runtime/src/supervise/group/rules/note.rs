//! Which restarts are stored, and which are about to be. One note is written at a time; what comes up meanwhile goes
//! into the next one.

use std::collections::BTreeSet;

use super::{Action, Place};
use crate::base::clock::Steady;

#[derive(Clone, Debug, Default)]
pub(super) struct Note {
    wanted: u64,
    written: u64,
    under_way: Option<u64>,
    /// It was said that the one under way is not waited for.
    dropped: bool,
    /// Whose budgets begin anew, since the last note.
    anew: BTreeSet<Place>,
}

impl Note {
    /// Something changed that must be stored before these are started; returns the number of the note that does it.
    pub(super) fn want(&mut self, anew: impl IntoIterator<Item = Place>) -> u64 {
        self.anew.extend(anew);
        self.wanted += 1;
        self.wanted
    }

    /// The next note, if there is something to be stored and nothing under way.
    pub(super) fn begin(&mut self, moments: &[Steady]) -> Option<Action> {
        if self.under_way.is_some() || self.wanted == self.written {
            return None;
        }
        self.under_way = Some(self.wanted);
        let anew = std::mem::take(&mut self.anew).into_iter().collect();
        Some(Action::Note { moments: moments.to_vec(), anew })
    }

    /// Gives up on the note that is under way.
    pub(super) fn drop(&mut self) -> Option<Action> {
        (self.under_way.is_some() && !std::mem::replace(&mut self.dropped, true)).then_some(Action::DropNote)
    }

    pub(super) fn written(&mut self) {
        if let Some(number) = self.under_way.take() {
            self.written = number;
        }
    }

    pub(super) fn failed(&mut self) {
        self.under_way = None;
    }

    pub(super) fn is_written(&self, number: u64) -> bool {
        number <= self.written
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }
}
