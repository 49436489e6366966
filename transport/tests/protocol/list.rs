//! The sending side against a plain list: whatever is asked of it, in whatever order, it sends what a list would.

use std::collections::{BTreeMap, BTreeSet};

use everpost_transport::link::{Ack, Backlog, DeliveryStatus, Lane, Next, Sending, Sequence, Terms};
use proptest::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};

use super::process::body;

const LANES: u64 = 3;
const CREDIT: u64 = 60;
const IN_FLIGHT_BYTES_MAX: usize = 100;

#[derive(Clone, Debug)]
enum Operation {
    Push {
        lane: u64,
        bytes: usize,
    },
    /// So many of the messages that are not durable yet become so.
    Commit(usize),
    /// So many messages leave, if they may.
    Poll(usize),
    /// The so-manieth of what is in flight on a lane is acknowledged.
    Acknowledge {
        lane: u64,
        at: usize,
    },
    /// So many messages of a lane are not to be sent any more.
    Expire {
        lane: u64,
        from: usize,
        step: usize,
        count: usize,
    },
    /// The peer goes on after so many of what is owed on each lane.
    Resume(usize),
    Interrupt,
}

/// What a lane owes, in the simplest way.
#[derive(Default)]
struct Plain {
    acknowledged: u64,
    owed: Vec<(u64, usize)>,
    sent: usize,
    /// What the peer may have.
    reached: u64,
    /// Nothing leaves before this is durable.
    held_until: u64,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0..LANES, 8_usize..80).prop_map(|(lane, bytes)| Operation::Push { lane, bytes }),
        2 => (0_usize..8).prop_map(Operation::Commit),
        4 => (1_usize..8).prop_map(Operation::Poll),
        3 => (0..LANES, 0_usize..4).prop_map(|(lane, at)| Operation::Acknowledge { lane, at }),
        2 => (0..LANES, 0_usize..4, 1_usize..3, 1_usize..4)
            .prop_map(|(lane, from, step, count)| Operation::Expire { lane, from, step, count }),
        1 => (0_usize..3).prop_map(Operation::Resume),
        1 => Just(Operation::Interrupt),
    ]
}

fn lane(receiver_type: u64) -> Lane {
    Lane { receiver_type, partition: 0 }
}

/// Both, side by side.
struct Pair {
    sending: Sending,
    plain: BTreeMap<u64, Plain>,
    next: u64,
    durable: u64,
    is_connected: bool,
    /// What may have arrived and does not count.
    uncounted: BTreeSet<u64>,
}

impl Pair {
    fn new(kept_bytes_max: usize) -> Self {
        let plain = (0..LANES).map(|lane| (lane, Plain::default())).collect();
        let sending = Sending::new(kept_bytes_max, IN_FLIGHT_BYTES_MAX);
        Self { sending, plain, next: 1, durable: 0, is_connected: false, uncounted: BTreeSet::new() }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Push { lane: receiver_type, bytes } => {
                self.plain.get_mut(&receiver_type).expect("it exists").owed.push((self.next, bytes));
                self.sending.push(lane(receiver_type), Sequence(self.next), 0, body(self.next, bytes));
                self.next += 1;
            }
            Operation::Commit(count) => {
                self.durable = (self.durable + count as u64).min(self.next - 1);
                self.sending.committed(Sequence(self.durable));
            }
            Operation::Poll(count) => (0..count).for_each(|_| self.poll()),
            Operation::Acknowledge { lane, at } => self.acknowledge(lane, at),
            Operation::Expire { lane, from, step, count } => self.expire(lane, from, step, count),
            Operation::Resume(count) => self.resume(count),
            Operation::Interrupt => {
                self.sending.interrupted();
                self.forget_sent();
            }
        }
        let owed = self.plain.values().flat_map(|plain| &plain.owed);
        let owed = owed.filter(|(sequence, _)| !self.uncounted.contains(sequence));
        assert_eq!(self.sending.backlog().messages, owed.clone().count());
        assert_eq!(self.sending.backlog().bytes, owed.map(|(_, bytes)| bytes).sum::<usize>());
    }

    fn poll(&mut self) {
        match self.sending.poll() {
            Next::Send(data) => {
                let plain = self.plain.get_mut(&data.lane.receiver_type).expect("it exists");
                let (sequence, bytes) = plain.owed[plain.sent];
                let previous = plain.sent.checked_sub(1).map_or(plain.acknowledged, |before| plain.owed[before].0);
                assert_eq!((data.previous.0, data.sequence.0), (previous, sequence), "the next of its lane");
                assert_eq!(data.body, body(sequence, bytes), "and no other body");
                let is_durable = sequence.max(plain.held_until) <= self.durable;
                assert!(self.is_connected && is_durable && Self::has_credit(plain, bytes));
                plain.sent += 1;
                plain.reached = sequence;
                let in_flight = self.in_flight();
                assert!(in_flight <= IN_FLIGHT_BYTES_MAX || in_flight == bytes, "{in_flight} bytes are in flight");
            }
            Next::Load(lane, sequences) => {
                let plain = &self.plain[&lane.receiver_type];
                assert_eq!(sequences.first().map(|first| first.0), Some(plain.owed[plain.sent].0));
                let bytes = |sequence: &Sequence| plain.owed.iter().find(|(at, _)| *at == sequence.0).expect("owed").1;
                let bodies: Vec<_> = sequences.iter().map(|at| (*at, body(at.0, bytes(at)))).collect();
                self.sending.loaded(lane, bodies);
            }
            Next::TooLarge { lane, sequence: at, .. } => panic!("{} of {lane} is not too large", at.0),
            Next::Nothing => self.check_nothing(),
        }
    }

    /// Nothing may leave: each lane waits for something, or the window is full.
    fn check_nothing(&self) {
        if !self.is_connected {
            return;
        }
        for plain in self.plain.values() {
            if let Some(&(sequence, bytes)) = plain.owed.get(plain.sent) {
                let in_flight = self.in_flight();
                let is_window_full = in_flight > 0
                    && self.plain.values().any(|other| {
                        let next = other.owed.get(other.sent);
                        next.is_some_and(|(_, bytes)| in_flight + bytes > IN_FLIGHT_BYTES_MAX)
                    });
                let is_durable = sequence.max(plain.held_until) <= self.durable;
                let must_wait = !is_durable || !Self::has_credit(plain, bytes) || is_window_full;
                assert!(must_wait, "message {sequence} could leave, but does not");
            }
        }
    }

    fn acknowledge(&mut self, receiver_type: u64, at: usize) {
        let plain = self.plain.get_mut(&receiver_type).expect("it exists");
        if plain.owed.is_empty() {
            return;
        }
        let at = at.min(plain.owed.len() - 1);
        let ack = Ack { lane: lane(receiver_type), through: Sequence(plain.owed[at].0), credit: CREDIT };
        let mut settled = Vec::new();
        let acknowledged = self.sending.acknowledged(ack, |_, sequence| settled.push(sequence.0));
        assert_eq!(acknowledged.is_ok(), at < plain.sent, "what was not sent cannot be acknowledged");
        if at < plain.sent {
            plain.acknowledged = ack.through.0;
            plain.sent -= at + 1;
            let done: Vec<u64> = plain.owed.drain(..=at).map(|(sequence, _)| sequence).collect();
            assert_eq!(settled, done);
        }
    }

    /// What the peer cannot have goes; the rest counts no more.
    fn expire(&mut self, receiver_type: u64, from: usize, step: usize, count: usize) {
        let plain = self.plain.get_mut(&receiver_type).expect("it exists");
        let expired: Vec<u64> =
            plain.owed.iter().skip(from).step_by(step).take(count).map(|(sequence, _)| *sequence).collect();
        let (unsent, reached): (Vec<u64>, Vec<u64>) = expired.into_iter().partition(|at| *at > plain.reached);
        for at in reached {
            assert_eq!(self.sending.delivery_status(lane(receiver_type), Sequence(at)), DeliveryStatus::MayHaveArrived);
            self.sending.expire(lane(receiver_type), Sequence(at));
            self.uncounted.insert(at);
        }
        if !unsent.is_empty() {
            let sequences: Vec<Sequence> = unsent.iter().map(|at| Sequence(*at)).collect();
            assert!(
                sequences
                    .iter()
                    .all(|at| self.sending.delivery_status(lane(receiver_type), *at) == DeliveryStatus::NotSent)
            );
            self.sending.withdraw(lane(receiver_type), &sequences, Sequence(self.next));
            plain.held_until = self.next;
            self.next += 1;
            plain.owed.retain(|(sequence, _)| !unsent.contains(sequence));
            assert!(
                sequences
                    .iter()
                    .all(|at| self.sending.delivery_status(lane(receiver_type), *at) == DeliveryStatus::Settled)
            );
        }
    }

    /// The peer has up to `count` messages more of each lane than it has acknowledged.
    fn resume(&mut self, count: usize) {
        let mut cursors = FxHashMap::default();
        let mut expected = Vec::new();
        for (receiver_type, plain) in &mut self.plain {
            let has = count.min(plain.owed.len());
            expected.extend(plain.owed.drain(..has).map(|(sequence, _)| (*receiver_type, sequence)));
            plain.acknowledged =
                expected.last().filter(|(of, _)| of == receiver_type).map_or(plain.acknowledged, |last| last.1);
            plain.reached = plain.acknowledged;
            if plain.acknowledged > 0 {
                cursors.insert(lane(*receiver_type), Sequence(plain.acknowledged));
            }
        }
        let terms = Terms { receiver_types: FxHashSet::from_iter(0..LANES), credit: CREDIT, message_bytes_max: 1000 };
        let mut settled = Vec::new();
        let resumed =
            self.sending.resume(&cursors, terms, |lane, sequence| settled.push((lane.receiver_type, sequence.0)));
        assert_eq!(resumed, Ok(()));
        settled.sort_unstable();
        assert_eq!(settled, expected);
        self.forget_sent();
        self.is_connected = true;
    }

    fn forget_sent(&mut self) {
        self.plain.values_mut().for_each(|plain| plain.sent = 0);
        self.is_connected = false;
    }

    fn has_credit(plain: &Plain, bytes: usize) -> bool {
        let sent: usize = plain.owed[..plain.sent].iter().map(|(_, bytes)| bytes).sum();
        plain.sent == 0 || (sent + bytes) as u64 <= CREDIT
    }

    fn in_flight(&self) -> usize {
        let sent = self.plain.values().flat_map(|plain| &plain.owed[..plain.sent]);
        sent.map(|(_, bytes)| bytes).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sending_is_a_list(
        kept_bytes_max in prop_oneof![Just(0_usize), Just(50), Just(1000)],
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let mut pair = Pair::new(kept_bytes_max);
        operations.into_iter().for_each(|operation| pair.apply(operation));
        // Whatever has happened, a good connection brings everything away in the end.
        pair.apply(Operation::Commit(usize::MAX >> 1));
        pair.apply(Operation::Resume(0));
        let left = |pair: &Pair| pair.plain.values().map(|plain| plain.owed.len()).sum::<usize>();
        while left(&pair) > 0 {
            let before = left(&pair);
            pair.apply(Operation::Poll(2 * before + 2));
            (0..LANES).for_each(|lane| {
                let sent = pair.plain[&lane].sent;
                if let Some(at) = sent.checked_sub(1) {
                    pair.apply(Operation::Acknowledge { lane, at });
                }
            });
            prop_assert!(left(&pair) < before, "nothing moves");
        }
        prop_assert_eq!(pair.sending.backlog(), Backlog::default());
    }
}
