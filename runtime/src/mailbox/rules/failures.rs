//! What is known of a message that could not be handled at once.

use crate::base::clock::Steady;

/// What happened to a message so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures {
    pub(crate) attempts: u32,
    pub(crate) not_before: Steady,
    /// One line for each failure, newest last; bounded by the caller.
    pub(crate) errors: Vec<String>,
    /// It is run alone, because the process may have died of it.
    pub(crate) alone: bool,
    /// It waits beside its queue, and others pass it meanwhile.
    pub(crate) aside: bool,
    /// So often the process has died while it was in hand and not run alone: of it, of another, or of a kill from outside.
    pub(crate) deaths: u32,
}

/// How often the process may die of who knows what with a message in hand before nothing else runs until that one has ended.
pub(crate) const DEATHS_MAX: u32 = 100;

impl Failures {
    /// One more attempt has failed.
    pub(super) fn count(&mut self, error: String, errors_max: usize) {
        // What a record says may be any number.
        self.attempts = self.attempts.saturating_add(1);
        self.alone = false;
        self.note(error, errors_max);
    }

    /// The process has died with it in hand. Nothing tells a process how it died, so one that ran alone is to blame, and one that did
    /// not is only suspected.
    pub(crate) fn died(&mut self, errors_max: usize) {
        if self.alone {
            self.count("the process died while this message ran alone".to_owned(), errors_max);
        } else {
            self.deaths = self.deaths.saturating_add(1);
        }
    }

    /// Whether it runs alone until it has ended. As a rule it does so for a while only: who lives that long is no more suspect than
    /// others, and may go on for hours.
    pub(crate) fn is_tried_to_the_end(&self) -> bool {
        self.deaths >= DEATHS_MAX
    }

    /// Keeps an error that is no attempt's.
    pub(crate) fn note(&mut self, error: String, errors_max: usize) {
        self.errors.push(error);
        if self.errors.len() > errors_max {
            self.errors.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message and how it ends the process, tried as often as it takes; returns how many deaths it was given up on after, in all
    /// and alone.
    fn tried(attempts_max: u32, dies_alone_soon: bool, dies_in_the_end: bool) -> Option<(u32, u32)> {
        let mut failures = Failures::default();
        for deaths in 1..1000 {
            failures.died(8);
            if failures.attempts >= attempts_max {
                return Some((deaths, failures.attempts));
            }
            failures.alone = dies_alone_soon || (dies_in_the_end && failures.is_tried_to_the_end());
        }
        None
    }

    #[test]
    fn only_deaths_alone_are_attempts_and_whoever_is_killed_from_outside_for_long_is_tried_to_the_end() {
        assert_eq!(tried(8, true, true), Some((9, 8)), "the first death makes it a suspect");
        assert_eq!(tried(8, false, true), Some((DEATHS_MAX + 8, 8)), "it takes longer than it runs alone");
        assert_eq!(tried(8, false, false), None);
    }
}
