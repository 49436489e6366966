//! How the node's own timeline goes on in another process. Pure: what the clocks say is handed in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settled::{News, Settled};
use crate::base::clock::{Micros, Steady, micros};

const NOTE_VERSION: u8 = 1;
/// How much time the wall clock may say at once that has passed over a boot: more than an outage takes, since a start
/// that waits is an outage itself. More of it must stand before it is believed, as any step of the clock.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
pub(crate) struct Reading {
    pub(crate) boot_id: Option<u128>,
    pub(crate) boot: u64,
    pub(crate) wall: Micros,
}

impl Note {
    pub(crate) fn new(reading: &Reading, steady: Steady, believed: Micros) -> Self {
        let Reading { boot_id, boot, .. } = *reading;
        Self { version: NOTE_VERSION, boot_id, boot, steady: steady.0, wall: believed.0 }
    }

    /// The moment, and the wall time, so much later.
    fn after(&self, passed: u64) -> (Steady, Micros) {
        (Steady(self.steady.saturating_add(passed)), Micros(self.wall.saturating_add(passed)))
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
/// In the same boot of the machine as much time has passed as its clock says that nobody can set; so a wall clock that
/// says otherwise was set. In another boot only the wall clock knows. One that says less than the last run knew is
/// certainly wrong: nothing has passed by it, and it is not believed before it has stood for a while. Nor is one that
/// says that more than [`AT_ONCE`] has passed, and the timeline does not go on before it is: it could not go back, and
/// nothing on it may jump. Where boots cannot be told apart every restart would have to wait, so there it is believed.
#[derive(Debug)]
pub(crate) struct Resuming {
    note: Option<Note>,
    /// What the wall clock says since it was first looked at.
    settled: Option<Settled>,
}

impl Resuming {
    pub(crate) fn new(note: Option<Note>) -> Self {
        Self { note, settled: None }
    }

    /// Looks at the clocks, about once a second. None as long as nobody can say how much time has passed.
    pub(crate) fn look(&mut self, now: &Reading) -> Option<(Steady, Micros)> {
        let Some(note) = self.note else { return Some((Steady(now.wall.0), now.wall)) };
        if note.boot_id.is_some() && note.boot_id == now.boot_id {
            return Some(note.after(now.boot.saturating_sub(note.boot)));
        }
        let passed = now.wall.0.saturating_sub(note.wall);
        if passed <= micros(AT_ONCE) || note.boot_id.is_none() || now.boot_id.is_none() {
            return Some(note.after(passed));
        }
        let boot = Steady(now.boot);
        let settled = self.settled.get_or_insert_with(|| Settled::new(boot, Micros(note.wall)));
        matches!(settled.look(boot, now.wall), Some(News::Believed(_))).then(|| note.after(passed))
    }

    /// How much time has passed, by the wall clock.
    pub(crate) fn said(&self, now: &Reading) -> Duration {
        Duration::from_micros(self.note.map_or(0, |note| now.wall.0.saturating_sub(note.wall)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(boot_id: u128, boot: u64, wall: u64) -> Reading {
        Reading { boot_id: Some(boot_id), boot, wall: Micros(wall) }
    }

    fn resume(note: Option<&Note>, now: &Reading) -> (Steady, Micros) {
        Resuming::new(note.copied()).look(now).expect("it is believed at once")
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

    const SECOND: u64 = 1_000_000;
    const HOUR: u64 = 3600 * SECOND;
    const DAY: u64 = 24 * HOUR;
    const YEAR: u64 = 365 * DAY;

    /// Looks once a second over a boot, at a clock that says in each second that so much has passed since the note.
    /// When something was believed, and how much of the timeline has passed then.
    fn looks(said: impl Fn(u64) -> u64) -> Option<(u64, u64)> {
        let mut resuming = Resuming::new(Some(note(1, 50, 5 * YEAR, 50 * YEAR)));
        let mut look = |second: u64| {
            let now = reading(2, (second + 9) * SECOND, 50 * YEAR + said(second) + second * SECOND);
            resuming.look(&now)
        };
        (0..300).find_map(|second| {
            let (steady, wall) = look(second)?;
            assert_eq!(steady.0 - 5 * YEAR, wall.0 - 50 * YEAR);
            Some((second, steady.0 - 5 * YEAR))
        })
    }

    #[test]
    fn over_a_boot_thirty_days_are_believed_at_once_and_more_when_they_have_stood() {
        for passed in [HOUR, 30 * DAY] {
            assert_eq!(looks(|_| passed), Some((0, passed)));
        }
        for passed in [30 * DAY + 1, 12 * YEAR] {
            assert_eq!(looks(|_| passed), Some((60, passed + 60 * SECOND)));
        }
    }

    #[test]
    fn nothing_comes_of_a_clock_that_is_far_ahead_after_a_boot_and_set_right_soon() {
        for wrong in [60 * DAY, 12 * YEAR] {
            assert_eq!(looks(|second| if second < 3 { wrong } else { HOUR / 2 }), Some((3, HOUR / 2 + 3 * SECOND)));
            let later = looks(|second| if second < 3 { wrong } else { 45 * DAY });
            assert_eq!(later, Some((63, 45 * DAY + 63 * SECOND)), "what it says then has to stand too");
        }
        assert_eq!(looks(|second| (second + 1) * 31 * DAY), None, "it never stands");
    }

    #[test]
    fn where_boots_cannot_be_told_apart_the_wall_clock_is_believed() {
        let unknown = Note { boot_id: None, ..note(1, 50, 1000, 1200) };
        let now = Reading { boot_id: None, ..reading(0, 90, 9 * HOUR) };
        assert_eq!(resume(Some(&unknown), &now).1, Micros(9 * HOUR));
    }

    proptest! {
        #[test]
        fn no_start_goes_back(steady: u64, wall: u64, boot: u64, says: [u64; 2], same: bool) {
            let now = reading(u128::from(same), says[0], says[1]);
            if let Some((resumed, believed)) = Resuming::new(Some(note(1, boot, steady, wall))).look(&now) {
                prop_assert!(resumed >= Steady(steady) && believed >= Micros(wall));
            }
        }
    }
}
