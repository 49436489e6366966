//! The work: a puzzle that takes a while, and has the same solution whoever solves it.

use everpost::Message;
use serde::{Deserialize, Serialize};

/// From the queue to itself, and from there to a worker: find the smallest number whose hash, together with that of the
/// job, begins with so many zero bits.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, Message)]
#[message(name = "job")]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) zero_bits: u32,
}

/// A job that is being worked on.
#[derive(Debug)]
pub(crate) struct Puzzle {
    job: Job,
    next: u64,
}

impl Job {
    pub(crate) fn begin(self) -> Puzzle {
        Puzzle { job: self, next: 0 }
    }
}

impl Puzzle {
    /// Tries so many more numbers. The solution, if it is among them.
    pub(crate) fn work(&mut self, numbers: u64) -> Option<u64> {
        let from = self.next;
        self.next += numbers;
        (from..self.next).find(|number| self.is_solved_by(*number))
    }

    fn is_solved_by(&self, number: u64) -> bool {
        let bytes = [self.job.number.to_be_bytes(), number.to_be_bytes()].concat();
        let hash = blake3::hash(&bytes);
        let [first, second, third, fourth, ..] = *hash.as_bytes();
        u32::from_be_bytes([first, second, third, fourth]).leading_zeros() >= self.job.zero_bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_solution_is_the_smallest_however_it_is_worked_on() {
        for number in 0..20 {
            let job = Job { number, zero_bits: 6 };
            let solution = job.begin().work(10_000).expect("one in 64 numbers is one");
            let mut puzzle = job.begin();
            let in_steps = std::iter::repeat_with(|| puzzle.work(7)).find_map(|solution| solution);
            assert_eq!(in_steps, Some(solution));
            assert_eq!(job.begin().work(solution), None, "it is the smallest");
        }
    }
}
