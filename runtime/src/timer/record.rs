//! The record of a timer, as the store keeps it; specified in `docs/FORMAT.md`.

use std::num::NonZeroU64;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::beat::Round;
use super::plan::{Begin, CatchUp, NEVER, Plan, Rhythm};
use super::schedule::Missed;
use crate::base::clock::Micros;
use crate::message::encode::encode_exactly;
use crate::message::envelope::Header;

const TIMER_VERSION: u8 = 2;
/// Of builds that had neither names nor zones, and counted nothing. It is read, and written anew when the timer fires.
const TIMER_VERSION_PLAIN: u8 = 1;

/// What a timer does, and what it has done. The envelope of its message follows; a tick is made of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TimerRecord {
    version: u8,
    /// On the clock of its plan, as all moments are that do not say otherwise.
    pub(crate) due: u64,
    pub(crate) plan: Plan,
    pub(crate) identity: Identity,
    /// When it was set, by the wall clock.
    pub(crate) set_at: u64,
    /// Its newest tick that has come, sent or not; at first when it was set.
    pub(crate) newest: u64,
    /// When it sent something last, by the wall clock; zero for never.
    pub(crate) fired_at: u64,
    /// How many ticks it has sent.
    pub(crate) fired: u64,
    /// How many ticks were left out.
    pub(crate) missed: u64,
}

/// Which timer it is; part of the stored record, so that variants are appended only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Identity {
    /// One of its own, whatever else there is.
    Unique,
    /// The one that sends this message there by this plan: its id derives from these.
    Content,
    /// The one of this name: its id derives from that. With the digest of its message and where that goes.
    Named { name: String, message: [u8; 16] },
}

impl TimerRecord {
    /// Of a timer that is set at `present` on the clock of its plan, which is `set_at` by the wall clock.
    pub(crate) fn new(due: u64, plan: Plan, identity: Identity, present: u64, set_at: Micros) -> Self {
        Self {
            version: TIMER_VERSION,
            due,
            plan,
            identity,
            set_at: set_at.0,
            newest: present,
            fired_at: 0,
            fired: 0,
            missed: 0,
        }
    }

    /// What it is after this round, if it goes on. One that repeats does, also when it has no next moment because the
    /// wall clock is beyond all that its rhythm knows: it waits for that to be set right.
    pub(crate) fn after(mut self, round: &Round, wall: Micros) -> Option<Self> {
        self.due = match round.next {
            None if self.plan.repeats() => NEVER,
            next => next?,
        };
        self.newest = round.newest;
        self.missed = self.missed.saturating_add(round.missed);
        if !round.ticks.is_empty() {
            self.fired = self.fired.saturating_add(round.ticks.len() as u64);
            self.fired_at = wall.0;
        }
        Some(self)
    }

    pub(crate) fn encode(&self, envelope: &[u8]) -> Bytes {
        let encoded = encode_exactly(|record| {
            let mut record = postcard::to_extend(self, record)?;
            record.extend_from_slice(envelope);
            Ok(record)
        });
        encoded.expect("plain values can be encoded")
    }

    /// The record, and the envelope behind it; none for bytes that this build cannot read.
    pub(crate) fn decode(record: &[u8]) -> Option<(Self, &[u8])> {
        match record.first() {
            Some(&TIMER_VERSION) => postcard::take_from_bytes(record).ok(),
            Some(&TIMER_VERSION_PLAIN) => {
                let (plain, envelope) = postcard::take_from_bytes::<PlainRecord>(record).ok()?;
                let (header, _) = Header::decode(envelope).ok()?;
                Some((plain.into_record(Micros(header.sent_at)), envelope))
            }
            _ => None,
        }
    }
}

/// The layout of version 1.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PlainRecord {
    version: u8,
    due: u64,
    rhythm: PlainRhythm,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum PlainRhythm {
    Once,
    Every { period_micros: NonZeroU64, missed: Missed },
    Cron { expression: String, missed: Missed },
}

impl PlainRecord {
    fn into_record(self, set_at: Micros) -> TimerRecord {
        let (rhythm, missed) = match self.rhythm {
            PlainRhythm::Once => (Rhythm::Once, Missed::default()),
            PlainRhythm::Every { period_micros, missed } => (Rhythm::Every(period_micros), missed),
            PlainRhythm::Cron { expression, missed } => (Rhythm::Cron { expression, zone: None }, missed),
        };
        let catch_up = CatchUp { missed, ..CatchUp::default() };
        let plan = Plan { begin: Begin::Unknown, rhythm, catch_up };
        TimerRecord::new(self.due, plan, Identity::Unique, set_at.0, set_at)
    }
}

/// The message of a record in its envelope, if the record can be read.
pub(crate) fn envelope_of(record: &[u8]) -> Option<&[u8]> {
    TimerRecord::decode(record).map(|(_, envelope)| envelope)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::{Now, Steady};
    use crate::message::MessageId;
    use crate::message::envelope::{Origin, seal};
    use crate::timer::Schedule;
    use crate::timer::plan::Due;

    #[derive(Debug, Serialize, Deserialize, everpost::Message)]
    struct Tick;

    fn record(due: u64, schedule: Schedule, identity: Identity) -> TimerRecord {
        TimerRecord::new(due, schedule.into_plan(), identity, 3, Micros(4))
    }

    #[test]
    fn the_bytes_of_a_record_are_fixed() {
        let once = record(300, Schedule::after(Duration::from_micros(7)), Identity::Unique);
        let defaults = [1, 0x80, 0xc0, 0xdd, 0xee, 0xc1, 2, 0xe8, 7].as_slice();
        let expected = [&[2, 0xac, 2, 0, 7, 0], defaults, &[0, 4, 3, 0, 0, 0], b"envelope".as_slice()].concat();
        assert_eq!(once.encode(b"envelope"), expected);
        let period = Schedule::every(Duration::from_millis(1)).unwrap().starting_at(Micros(9)).missed(Missed::All);
        let period = period.missed_max(5).missed_within(Duration::from_micros(6));
        let expected = [2, 5, 1, 9, 1, 0xe8, 7, 2, 6, 5, 1, 4, 3, 0, 0, 0, b'e'];
        assert_eq!(record(5, period, Identity::Content).encode(b"e"), expected.as_slice());
        let nightly = Schedule::cron("0 3 * * *").unwrap().in_zone("europe/berlin").unwrap().missed(Missed::Skip);
        let nightly = TimerRecord {
            fired_at: 5,
            fired: 6,
            missed: 7,
            ..record(5, nightly, Identity::Named { name: "n".into(), message: [9; 16] })
        };
        let zone = [&[1, 13], b"Europe/Berlin".as_slice()].concat();
        let expected = [&[2, 5, 2, 2, 9], b"0 3 * * *".as_slice(), &zone, &[0], &defaults[1..]].concat();
        let expected = [&*expected, &[2, 1, b'n'], &[9; 16], &[4, 3, 5, 6, 7, b'e']].concat();
        assert_eq!(nightly.encode(b"e"), expected);
        assert_eq!(TimerRecord::decode(&[3, 0, 0]), None, "another version");
    }

    #[test]
    fn a_timer_that_repeats_is_kept_when_the_clock_is_beyond_all_that_it_knows_and_goes_on_when_that_is_right_again() {
        const DAY: u64 = 24 * 3600 * 1_000_000;
        let (right, beyond) = (19_700 * DAY, 10_000 * 365 * DAY);
        let now = |wall| Now { steady: Steady(5), wall: Micros(wall) };
        let nightly = Schedule::cron("0 3 * * *").unwrap();
        for missed in [Missed::Skip, Missed::Once, Missed::All] {
            let record = record(right, nightly.clone().missed(missed), Identity::Unique);
            let (plan, beat) = (record.plan.clone(), record.plan.beat().unwrap());
            let round = beat.round(plan.catch_up, right, beyond, 64);
            assert_eq!(round.next, None);
            let after = record.after(&round, Micros(beyond)).expect("it repeats");
            assert_eq!((plan.due(after.due), after.newest), (Due::Wall(Micros(NEVER)), round.newest));
            let due = |wall| plan.due_after_all(&beat, after.due, after.newest, now(wall));
            assert_eq!(plan.due(due(beyond)), Due::Wall(Micros(NEVER)), "it is still wrong");
            assert_eq!(plan.due(due(right + DAY)), Due::Wall(Micros(right + DAY + DAY / 8)));
        }
        let once = record(right, Schedule::at(Micros(right)), Identity::Unique);
        let round = once.plan.beat().unwrap().round(once.plan.catch_up, right, beyond, 64);
        assert_eq!(once.after(&round, Micros(beyond)), None);
    }

    #[test]
    fn records_of_builds_without_names_and_zones_are_read() {
        let envelope = seal("box/a", Origin::plain(MessageId(9), Micros(8)), &Tick).unwrap();
        let read = |bytes: &[u8]| {
            let bytes = [bytes, &envelope].concat();
            let (record, rest) = TimerRecord::decode(&bytes).unwrap();
            assert_eq!((rest, record.version, record.newest, record.set_at), (&*envelope, 2, 8, 8));
            (record.due, record.plan)
        };
        assert_eq!(
            read(&[1, 0xac, 2, 0]),
            (300, Plan { begin: Begin::Unknown, ..Schedule::after(Duration::ZERO).into_plan() })
        );
        let every = Schedule::every(Duration::from_millis(1)).unwrap().missed(Missed::All).into_plan();
        assert_eq!(read(&[1, 5, 1, 0xe8, 7, 2]), (5, Plan { begin: Begin::Unknown, ..every }));
        let cron = Schedule::cron("0 3 * * *").unwrap().missed(Missed::Skip).into_plan();
        let bytes = [&[1, 5, 2, 9], b"0 3 * * *".as_slice(), &[0]].concat();
        assert_eq!(read(&bytes), (5, Plan { begin: Begin::Unknown, ..cron }));
    }

    proptest! {
        #[test]
        fn a_record_reads_back(
            due: u64,
            period in 1000..u64::MAX,
            name in proptest::option::of(".*"),
            envelope: Vec<u8>,
        ) {
            let schedule = Schedule::every(Duration::from_micros(period)).unwrap();
            let identity = name.map_or(Identity::Unique, |name| Identity::Named { name, message: [7; 16] });
            let record = record(due, schedule, identity);
            let encoded = record.encode(&envelope);
            prop_assert_eq!(TimerRecord::decode(&encoded), Some((record, envelope.as_slice())));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = TimerRecord::decode(&bytes);
        }
    }
}
