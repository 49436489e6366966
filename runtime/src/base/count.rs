//! Counts of what is somewhere: added to when it comes, taken from when it leaves. One that is taken from once too
//! often must not become the largest number there is, which every bound would take for full.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A count that all threads change.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    /// The same cost as an addition to the number itself.
    pub(crate) fn add(&self, amount: usize) {
        self.0.fetch_add(amount, Ordering::AcqRel);
    }

    /// Takes off what was added before. To take off more is an alarm, once, and leaves nothing. In one order with the
    /// steps of those who wait for room, or they could miss it.
    pub(crate) fn take(&self, amount: usize) {
        let before = self.0.fetch_sub(amount, Ordering::SeqCst);
        if before < amount {
            // Put right in a step of its own, so that nobody else pays; until then it reads as nothing.
            self.0.fetch_add(amount - before, Ordering::SeqCst);
            below_nothing(before, amount);
        }
    }

    pub(crate) fn get(&self) -> usize {
        as_count(self.0.load(Ordering::SeqCst))
    }
}

/// Takes `amount` off a count that is under a lock.
pub(crate) fn take(count: &mut usize, amount: usize) {
    match count.checked_sub(amount) {
        Some(left) => *count = left,
        None => {
            let before = std::mem::take(count);
            below_nothing(before, amount);
        }
    }
}

/// A number in the upper half is one below nothing that is about to be put right.
fn as_count(number: usize) -> usize {
    if number > usize::MAX / 2 { 0 } else { number }
}

fn below_nothing(before: usize, amount: usize) {
    static ALARMED: AtomicBool = AtomicBool::new(false);
    if !ALARMED.swap(true, Ordering::Relaxed) {
        tracing::error!(
            before,
            amount,
            event = "count below nothing",
            "a count of this node was wrong and is put right as far as it can be; no message is concerned, but bounds \
             may be off until the next start: report this"
        );
    }
    debug_assert!(false, "{amount} taken off a count of {before}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_off_was_added() {
        let count = Count::default();
        count.add(5);
        count.take(3);
        assert_eq!(count.get(), 2);
        let mut plain = 5;
        take(&mut plain, 5);
        assert_eq!(plain, 0);
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic(expected = "7 taken off a count of 2"))]
    fn a_count_that_is_taken_from_once_too_often_is_nothing_and_not_the_largest_number() {
        assert_eq!(as_count(usize::MAX - 4), 0);
        let count = Count::default();
        count.add(2);
        count.take(7);
        assert_eq!(count.get(), 0);
    }
}
