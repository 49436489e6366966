//! What is known of a message that could not be handled at once.

use crate::clock::Steady;

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
}

impl Failures {
    /// One more attempt has failed.
    pub(super) fn count(&mut self, error: String, errors_max: usize) {
        self.attempts += 1;
        self.alone = false;
        self.note(error, errors_max);
    }

    /// Keeps an error that is no attempt's.
    pub(crate) fn note(&mut self, error: String, errors_max: usize) {
        self.errors.push(error);
        if self.errors.len() > errors_max {
            self.errors.remove(0);
        }
    }
}
