//! How many threads read, and how what waits is divided among them. Pure.
//!
//! A read that finds its pages in memory takes a microsecond, and rousing a thread for it more than that: so those that
//! are awake take several at a time. One that waits for the disk keeps those that were taken with it: so others are
//! roused before many wait.

/// How many requests a thread takes at a time: what may wait behind a page that comes from the disk.
const BATCH_MAX: usize = 32;
/// How many records all of them ask for, unless one alone asks for more: a transaction that reads pins the pages of its
/// moment, which a checkpoint cannot use meanwhile.
const RECORDS_MAX: usize = 256;
/// While so many wait for each thread that is awake, nobody else is roused.
const WAITING_PER_THREAD: usize = 8;
/// So many reads can wait for the disk at once, on the smallest and the largest machine.
const THREADS_MIN: usize = 4;
const THREADS_MAX: usize = 16;

/// How many threads read on a machine with so many processors: two for each, since some wait for the disk.
pub(super) const fn threads(processors: usize) -> usize {
    let threads = processors.saturating_mul(2);
    if threads < THREADS_MIN {
        THREADS_MIN
    } else if threads > THREADS_MAX {
        THREADS_MAX
    } else {
        threads
    }
}

/// Whether one more is to be roused, with so many requests waiting. When nobody is awake, for any.
pub(super) const fn is_another_needed(waiting: usize, awake: usize, asleep: usize) -> bool {
    asleep > 0 && waiting > awake * WAITING_PER_THREAD
}

/// How many of those that wait a thread takes that is one of so many that are awake: by how many records each asks for,
/// in order. One in any case, if any waits.
pub(super) fn share(mut waiting: impl ExactSizeIterator<Item = usize>, awake: usize) -> usize {
    let most = waiting.len().div_ceil(awake.max(1)).min(BATCH_MAX);
    let mut records = 0;
    let within = waiting.by_ref().take(most).take_while(|asked_for| {
        records += asked_for;
        records <= RECORDS_MAX
    });
    within.count().max(most.min(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_threads_for_the_disk_on_any_machine() {
        assert_eq!([1, 2, 4, 64, usize::MAX].map(threads), [4, 4, 8, 16, 16]);
    }

    #[test]
    fn whoever_waits_is_read_by_somebody_and_few_by_those_who_are_awake() {
        assert!(is_another_needed(1, 0, 4), "nobody would read it");
        assert!(!is_another_needed(1, 1, 3) && !is_another_needed(8, 1, 3), "it is taken with the others");
        assert!(is_another_needed(9, 1, 3) && !is_another_needed(9, 2, 2));
        assert!(!is_another_needed(1000, 4, 0), "there is nobody else");
    }

    #[test]
    fn a_batch_asks_for_few_records_but_one_request_may_ask_for_many() {
        let share = |asked_for: &[usize]| share(asked_for.iter().copied(), 1);
        assert_eq!([share(&[1000, 1]), share(&[1, 1000]), share(&[100, 100, 100])], [1, 1, 2]);
        assert_eq!([share(&[256, 1]), share(&[255, 1, 1])], [1, 2]);
    }

    #[test]
    fn what_waits_is_divided_among_those_who_are_awake() {
        let of_one = |waiting, awake| share(std::iter::repeat_n(1, waiting), awake);
        assert_eq!([(1, 1), (20, 1), (20, 2), (21, 2), (1000, 2)].map(|(w, a)| of_one(w, a)), [1, 20, 10, 11, 32]);
        assert_eq!(of_one(0, 3), 0);
    }
}
