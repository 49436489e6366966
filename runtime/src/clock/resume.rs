//! How the node's own timeline goes on in another process. Pure: what the clocks say is handed in.

use serde::{Deserialize, Serialize};

use super::{Micros, Steady};

const NOTE_VERSION: u8 = 1;

/// What a run of the node has left about time; specified in `docs/FORMAT.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    version: u8,
    /// Which boot of which machine it was; none where that cannot be told.
    boot_id: Option<u128>,
    /// Microseconds since that boot.
    boot: u64,
    steady: u64,
    /// As it was believed.
    wall: u64,
}

/// What the machine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) boot_id: Option<u128>,
    pub(super) boot: u64,
    pub(super) wall: Micros,
}

impl Note {
    pub(super) fn new(reading: &Reading, steady: Steady, believed: Micros) -> Self {
        let Reading { boot_id, boot, .. } = *reading;
        Self { version: NOTE_VERSION, boot_id, boot, steady: steady.0, wall: believed.0 }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("plain values can be encoded")
    }

    /// Reads a record; none for bytes that this build cannot read.
    pub(crate) fn decode(record: &[u8]) -> Option<Self> {
        postcard::from_bytes(record).ok().filter(|note: &Self| note.version == NOTE_VERSION)
    }
}

/// The moment, and the wall time that is believed, after what the last run has left.
///
/// In the same boot of the machine as much time has passed as its clock says that nobody can set; so a wall clock that says otherwise
/// was set. In another boot only the wall clock knows. One that says less than the last run knew is certainly wrong: nothing
/// has passed by it, and it is not believed before it has stood for a while.
pub(super) fn resume(note: Option<&Note>, now: &Reading) -> (Steady, Micros) {
    let Some(note) = note else { return (Steady(now.wall.0), now.wall) };
    let passed = if note.boot_id.is_some() && note.boot_id == now.boot_id {
        now.boot.saturating_sub(note.boot)
    } else {
        now.wall.0.saturating_sub(note.wall)
    };
    (Steady(note.steady.saturating_add(passed)), Micros(note.wall.saturating_add(passed)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(boot_id: u128, boot: u64, wall: u64) -> Reading {
        Reading { boot_id: Some(boot_id), boot, wall: Micros(wall) }
    }

    fn note(boot_id: u128, boot: u64, steady: u64, wall: u64) -> Note {
        Note::new(&reading(boot_id, boot, 0), Steady(steady), Micros(wall))
    }

    #[test]
    fn the_bytes_of_a_note_are_as_specified() {
        let note = note(7, 300, 5, 6);
        assert_eq!(note.encode(), [1, 1, 7, 0xac, 2, 5, 6]);
        assert_eq!(Note::decode(&note.encode()), Some(note));
        assert_eq!(Note::decode(&[2, 0, 0, 0, 0]), None);
        assert_eq!(Note::decode(&[]), None);
    }

    #[test]
    fn a_new_timeline_begins_with_the_wall_clock() {
        assert_eq!(resume(None, &reading(1, 5, 1000)), (Steady(1000), Micros(1000)));
    }

    #[test]
    fn in_one_boot_the_wall_clock_has_no_say() {
        let note = note(1, 50, 1000, 1200);
        for wall in [0, 1260, u64::MAX] {
            assert_eq!(resume(Some(&note), &reading(1, 110, wall)), (Steady(1060), Micros(1260)), "{wall}");
        }
    }

    #[test]
    fn over_a_boot_the_wall_clock_counts_but_never_backwards() {
        let note = note(1, 50, 1000, 1200);
        assert_eq!(resume(Some(&note), &reading(2, 3, 1700)), (Steady(1500), Micros(1700)));
        assert_eq!(resume(Some(&note), &reading(2, 3, 10)), (Steady(1000), Micros(1200)), "an older clock");
        let unknown = Note { boot_id: None, ..note };
        let now = Reading { boot_id: None, ..reading(0, 90, 1300) };
        assert_eq!(resume(Some(&unknown), &now), (Steady(1100), Micros(1300)), "boots cannot be told apart");
    }

    #[test]
    fn a_boot_time_that_went_back_counts_as_nothing_passed() {
        assert_eq!(resume(Some(&note(1, 50, 1000, 1200)), &reading(1, 20, 9000)), (Steady(1000), Micros(1200)));
    }

    proptest! {
        #[test]
        fn no_start_goes_back(steady: u64, wall: u64, boot: u64, says: [u64; 2], same: bool) {
            let now = reading(u128::from(same), says[0], says[1]);
            let (resumed, believed) = resume(Some(&note(1, boot, steady, wall)), &now);
            prop_assert!(resumed >= Steady(steady) && believed >= Micros(wall));
        }
    }
}
