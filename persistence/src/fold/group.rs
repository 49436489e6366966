//! Folds the changes of one group, without moving them: it says which of them are left.

use rustc_hash::FxHashMap;

use crate::batch::Change;
use crate::ids::Position;
use crate::key::Key;

/// Folds one group after another; its memory is reused.
#[derive(Debug, Default)]
pub(crate) struct GroupFold {
    /// For each position of the group, one more than the index of the change that enqueued or dispatched it; 0 if none
    /// did, or not any more.
    born: Vec<u32>,
    /// The index of the last change of every other key.
    latest: FxHashMap<Key, u32>,
    /// Whether the change at an index was overtaken.
    gone: Vec<bool>,
    /// Whether anything that goes with a record of a queue was changed.
    companions: bool,
}

impl GroupFold {
    /// Folds the changes of a group that took the positions from `first` to `last`. Afterwards
    /// [`is_left`](Self::is_left) says which changes remain; in their old order they amount to the same as all of
    /// them.
    ///
    /// A deletion of an older record of a queue that is repeated stays repeated: finding that out would cost more than
    /// it saves.
    pub(crate) fn fold(&mut self, first: Position, last: Position, changes: &[Change]) {
        let positions =
            usize::try_from(last.0 - first.0 + 1).expect("a group has far fewer positions than memory has bytes");
        self.born.clear();
        self.born.resize(positions, 0);
        self.gone.clear();
        self.gone.resize(changes.len(), false);
        self.latest.clear();
        self.companions = false;
        for (index, change) in (0_u32..).zip(changes) {
            match change.key.position().filter(|_| change.key.table().is_queue()) {
                Some(position) if position >= first => self.change_born(first, position, index, changes),
                Some(_) => self.drop_companion(&change.key),
                None => self.change_rest(index, change.key),
            }
        }
    }

    /// Whether the change at `index` is still needed.
    pub(crate) fn is_left(&self, index: usize) -> bool {
        !self.gone[index]
    }

    fn change_born(&mut self, first: Position, position: Position, index: u32, changes: &[Change]) {
        let change = &changes[index as usize];
        // A position beyond the group cannot come from `Stage`; a deletion of one deletes nothing.
        let Some(born) = usize::try_from(position.0 - first.0).ok().and_then(|at| self.born.get_mut(at)) else {
            self.gone[index as usize] = true;
            return;
        };
        if change.value.is_some() {
            *born = index + 1;
            return;
        }
        self.gone[index as usize] = true;
        if *born > 0 && changes[*born as usize - 1].key == change.key {
            self.gone[*born as usize - 1] = true;
            *born = 0;
        }
        self.drop_companion(&change.key);
    }

    fn change_rest(&mut self, index: u32, key: Key) {
        self.companions |= key.table().is_companion();
        if let Some(old) = self.latest.insert(key, index) {
            self.gone[old as usize] = true;
        }
    }

    /// The deletion of a record of a queue takes its companion along.
    fn drop_companion(&mut self, deleted: &Key) {
        if self.companions
            && let Some(companion) = deleted.companion()
            && let Some(old) = self.latest.remove(&companion)
        {
            self.gone[old as usize] = true;
        }
    }
}
