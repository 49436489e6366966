//! What kind of a schedule a seed is.

use super::process::Limits;
use super::seeds::Random;

/// How a schedule goes, drawn from its seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How many steps there are until all faults stop.
    pub(crate) steps: usize,
    pub(crate) steps_per_fault: usize,
    /// How often a commit makes no progress: once in as many.
    pub(crate) commits_slow: usize,
    pub(crate) lossy_once_in: usize,
    pub(crate) type_missing_once_in: usize,
    pub(crate) small_messages_once_in: usize,
    pub(crate) credits: &'static [u64],
    pub(crate) limits: Limits,
    pub(crate) kind: Kind,
}

/// What stores go through, besides crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every node keeps its one store.
    Kept,
    /// Nodes lose their store and go on with an empty one.
    Wiped,
    /// Old copies of stores come back, and clones run beside each other.
    Copied,
}

const NEVER: usize = usize::MAX;

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        let kept_bytes_max = random.pick(&[0, 20, 100, 1000]);
        let in_flight_bytes_max = random.pick(&[1, 40, 1000]);
        Self {
            steps: random.pick(&[100, 300, 600]),
            steps_per_fault: random.pick(&[15, 40, 100]),
            commits_slow: random.pick(&[2, 8, 100]),
            lossy_once_in: random.pick(&[2, 100, NEVER]),
            type_missing_once_in: random.pick(&[3, 20, NEVER]),
            small_messages_once_in: random.pick(&[4, NEVER]),
            credits: random.pick(&[&[1, 30][..], &[0, 50, 1000], &[1000]]),
            limits: Limits { kept_bytes_max, in_flight_bytes_max },
            kind: random.pick(&[Kind::Kept, Kind::Kept, Kind::Wiped, Kind::Copied]),
        }
    }

    /// The faults have stopped: every connection is good, and takes everything.
    pub(crate) fn heal(&mut self) {
        self.lossy_once_in = NEVER;
        self.type_missing_once_in = NEVER;
        self.small_messages_once_in = NEVER;
    }
}
