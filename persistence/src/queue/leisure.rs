//! What nobody waits for need not make a group of its own: the writer leaves it until something comes that somebody
//! waits for, until there is much of it, or for a moment. Pure.

use std::time::Duration;

/// For how long what nobody waits for is left at most.
pub(super) const LEISURE: Duration = Duration::from_millis(1);
/// With so many changes it makes a group worth writing.
const CHANGES_MAX: usize = 1024;

/// Whether what waits for the writer may be left for a moment.
#[derive(Debug, Default)]
pub(super) struct Leisure {
    /// Somebody waits for something of it.
    is_hurried: bool,
    /// It was left for a moment already.
    is_over: bool,
}

impl Leisure {
    /// Somebody waits for something that waits.
    pub(super) fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// Whether what waits, with so many changes, has to be taken now.
    pub(super) fn has_none(&self, changes: usize) -> bool {
        self.is_hurried || self.is_over || changes >= CHANGES_MAX
    }

    /// The moment for which it was left has passed.
    pub(super) fn pass(&mut self) {
        self.is_over = true;
    }

    /// All that waited was taken.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends_when_somebody_waits_when_it_has_passed_or_when_there_is_much() {
        let mut leisure = Leisure::default();
        assert!(!leisure.has_none(0) && !leisure.has_none(CHANGES_MAX - 1) && leisure.has_none(CHANGES_MAX));
        leisure.pass();
        assert!(leisure.has_none(1));
        leisure.begin();
        assert!(!leisure.has_none(1));
        leisure.hurry();
        assert!(leisure.has_none(1));
        leisure.begin();
        assert!(!leisure.has_none(1));
    }
}
