use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use super::*;

const LANE: Lane = Lane { receiver_type: 7, partition: 3 };
const OTHER: Lane = Lane { receiver_type: 9, partition: 3 };

fn terms() -> Terms {
    Terms { receiver_types: FxHashSet::from_iter([7, 9]), credit: 100, message_bytes_max: 500 }
}

fn body(bytes: usize) -> Bytes {
    vec![1; bytes].into()
}

/// A sender in a conversation with a peer that has nothing yet.
fn sending() -> Sending {
    let mut sending = Sending::new(1000, 1000);
    sending.resume(&FxHashMap::default(), terms(), |_, _| {}).unwrap();
    sending
}

fn sent(sending: &mut Sending) -> Vec<(u64, u64)> {
    let mut sent = Vec::new();
    while let Next::Send(data) = sending.poll() {
        sent.push((data.previous.0, data.sequence.0));
    }
    sent
}

fn ack(through: u64) -> Ack {
    Ack { lane: LANE, through: Sequence(through), credit: 100 }
}

#[test]
fn only_what_is_durable_leaves_and_each_names_the_one_before() {
    let mut sending = sending();
    for sequence in [3, 5, 8] {
        sending.push(LANE, Sequence(sequence), 0, body(10));
    }
    assert_eq!(sent(&mut sending), []);
    sending.committed(Sequence(5));
    assert_eq!(sent(&mut sending), [(0, 3), (3, 5)]);
    sending.committed(Sequence(8));
    assert_eq!(sent(&mut sending), [(5, 8)]);
}

#[test]
fn credit_holds_back_one_lane_and_no_other() {
    let mut sending = sending();
    for sequence in 1..=3 {
        sending.push(LANE, Sequence(sequence), 0, body(60));
    }
    sending.push(OTHER, Sequence(4), 0, body(200));
    sending.committed(Sequence(4));
    assert_eq!(sent(&mut sending), [(0, 1), (0, 4)], "one message may always be in flight, however large");
    sending.acknowledged(ack(1), |_, _| {}).unwrap();
    assert_eq!(sent(&mut sending), [(1, 2)]);
}

#[test]
fn an_interrupted_conversation_goes_on_after_what_arrived() {
    let mut sending = sending();
    for sequence in [2, 4, 6] {
        sending.push(LANE, Sequence(sequence), 0, body(10));
    }
    sending.committed(Sequence(6));
    assert_eq!(sent(&mut sending).len(), 3);
    sending.interrupted();
    assert_eq!(sent(&mut sending), []);
    let mut settled = Vec::new();
    let cursors = FxHashMap::from_iter([(LANE, Sequence(4))]);
    sending.resume(&cursors, terms(), |_, sequence| settled.push(sequence.0)).unwrap();
    assert_eq!(settled, [2, 4]);
    assert_eq!(sent(&mut sending), [(4, 6)]);
    assert_eq!(sending.backlog(), Backlog { messages: 1, bytes: 10 });
}

#[test]
fn stores_that_do_not_fit_together_are_found_out() {
    let mut sending = sending();
    sending.push(LANE, Sequence(2), 0, body(10));
    sending.committed(Sequence(2));
    sent(&mut sending);
    sending.acknowledged(ack(2), |_, _| {}).unwrap();
    let resume = |sending: &mut Sending, cursor| {
        let cursors = FxHashMap::from_iter([(LANE, Sequence(cursor))]);
        sending.resume(&cursors, terms(), |_, _| {})
    };
    assert!(matches!(resume(&mut sending, 1), Err(ResumeError::Rewound { .. })), "the peer has lost what it had");
    assert!(matches!(resume(&mut sending, 3), Err(ResumeError::Unknown { .. })), "we have lost what we sent");
    assert_eq!(resume(&mut sending, 2), Ok(()));
    sending.reset_acknowledged([]);
    assert_eq!(resume(&mut sending, 0), Ok(()), "a new store has nothing");
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_refused() {
    let mut sending = sending();
    sending.push(LANE, Sequence(2), 0, body(10));
    assert_eq!(sending.acknowledged(ack(2), |_, _| {}), Err(AckError(ack(2))));
    assert_eq!(
        sending.acknowledged(Ack { lane: OTHER, ..ack(2) }, |_, _| {}),
        Err(AckError(Ack { lane: OTHER, ..ack(2) }))
    );
    assert_eq!(sending.backlog().messages, 1);
}

#[test]
fn a_line_that_the_peer_does_not_take_waits() {
    let mut sending = sending();
    let closed = Lane { receiver_type: 1, partition: 0 };
    sending.push(closed, Sequence(1), 0, body(10));
    sending.push(LANE, Sequence(2), 0, body(10));
    sending.committed(Sequence(2));
    assert_eq!(sent(&mut sending), [(0, 2)]);
    sending
        .resume(&FxHashMap::default(), Terms { receiver_types: FxHashSet::from_iter([1, 7]), ..terms() }, |_, _| {})
        .unwrap();
    assert_eq!(sent(&mut sending).len(), 2);
}

#[test]
fn bodies_beyond_memory_are_loaded_when_their_turn_comes() {
    let mut sending = Sending::new(10, 1000);
    sending.recovered(LANE, Sequence(1), 10, true);
    sending.push(LANE, Sequence(2), 0, body(10));
    sending.push(LANE, Sequence(3), 0, body(10));
    sending.resume(&FxHashMap::default(), terms(), |_, _| {}).unwrap();
    sending.committed(Sequence(3));
    assert_eq!(sending.poll(), Next::Load(LANE, vec![Sequence(1), Sequence(3)]));
    sending.loaded(LANE, [(Sequence(1), body(10)), (Sequence(3), body(10))]);
    assert_eq!(sent(&mut sending), [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn a_flag_is_set_until_the_message_has_left() {
    let mut sending = sending();
    sending.push(LANE, Sequence(1), 0, body(10));
    assert_eq!(sending.flag(LANE, Sequence(1), 2), FlagOutcome::Set);
    sending.committed(Sequence(1));
    let Next::Send(data) = sending.poll() else { panic!("it is durable") };
    assert_eq!(data.flags, 2);
    assert_eq!(sending.flag(LANE, Sequence(1), 4), FlagOutcome::InFlight);
    sending.acknowledged(ack(1), |_, _| {}).unwrap();
    assert_eq!(sending.flag(LANE, Sequence(1), 4), FlagOutcome::Acknowledged);
}

#[test]
fn what_is_received_is_acknowledged_only_when_it_is_durable() {
    let mut receiving = Receiving::new();
    assert_eq!(receiving.receive(LANE, Sequence(0), Sequence(3)), Ok(Arrival::New));
    assert_eq!(receiving.receive(LANE, Sequence(3), Sequence(4)), Ok(Arrival::New));
    receiving.submitted(LANE, Ticket(10));
    let mut acks = Vec::new();
    receiving.acks(Ticket(9), 100, &mut acks);
    assert_eq!(acks, []);
    assert_eq!(receiving.cursors().next(), Some((LANE, Sequence(0))));
    receiving.acks(Ticket(10), 100, &mut acks);
    assert_eq!(acks, [ack(4)]);
    assert!(receiving.is_settled(Ticket(10)));
}

#[test]
fn a_duplicate_is_dropped_and_a_gap_is_refused() {
    let mut receiving = Receiving::new();
    receiving.recovered(LANE, Sequence(5));
    assert_eq!(receiving.receive(LANE, Sequence(2), Sequence(5)), Ok(Arrival::Duplicate));
    for (previous, sequence) in [(6, 7), (4, 6)] {
        let broken = receiving.receive(LANE, Sequence(previous), Sequence(sequence));
        assert!(broken.is_err(), "{sequence} after {previous}");
    }
    assert_eq!(receiving.receive(LANE, Sequence(5), Sequence(9)), Ok(Arrival::New));
    assert!(receiving.receive(OTHER, Sequence(1), Sequence(2)).is_err(), "a lane begins at its beginning");
}

#[test]
fn a_message_that_is_too_large_for_the_peer_holds_up_its_lane_and_no_other() {
    let mut sending = sending();
    sending.push(LANE, Sequence(1), 0, body(501));
    sending.push(LANE, Sequence(2), 0, body(10));
    sending.push(OTHER, Sequence(3), 0, body(10));
    sending.committed(Sequence(3));
    assert_eq!(sending.poll(), Next::TooLarge { lane: LANE, sequence: Sequence(1), bytes: 501 });
    assert_eq!(sent(&mut sending), [(0, 3)], "it is said once");
    let larger = Terms { message_bytes_max: 501, ..terms() };
    sending.resume(&FxHashMap::default(), larger, |_, _| {}).unwrap();
    assert_eq!(sent(&mut sending).len(), 2, "its credit holds back the third");
}

#[test]
fn a_message_too_large_for_the_peer_holds_up_its_lane_no_longer_when_it_is_withdrawn() {
    let mut sending = sending();
    sending.push(LANE, Sequence(1), 0, body(501));
    sending.push(LANE, Sequence(2), 0, body(10));
    sending.committed(Sequence(2));
    assert_eq!(sending.poll(), Next::TooLarge { lane: LANE, sequence: Sequence(1), bytes: 501 });
    sending.withdraw(LANE, &[Sequence(1)], Sequence(3));
    assert_eq!(sent(&mut sending), [], "after a crash the large one would be back");
    assert_eq!(sending.next_commit(), Some(Sequence(3)));
    sending.committed(Sequence(3));
    assert_eq!(sent(&mut sending), [(0, 2)]);
    // What the peer has refused by itself keeps the lane closed: it takes nothing there in this conversation.
    assert!(sending.stopped(LANE, Sequence(2)));
    sending.withdraw(LANE, &[Sequence(2)], Sequence(4));
    sending.push(LANE, Sequence(5), 0, body(10));
    sending.committed(Sequence(9));
    assert_eq!(sent(&mut sending), []);
}

#[test]
fn a_message_that_the_peer_does_not_take_stops_its_lane_and_makes_room_for_others() {
    let mut sending = sending();
    for sequence in 1..=3 {
        sending.push(LANE, Sequence(sequence), 0, body(30));
    }
    sending.committed(Sequence(9));
    assert_eq!(sent(&mut sending), [(0, 1), (1, 2), (2, 3)]);
    assert!(sending.stopped(LANE, Sequence(2)));
    assert!(!sending.stopped(OTHER, Sequence(2)) && !sending.stopped(LANE, Sequence(8)), "it is not owed");
    sending.push(LANE, Sequence(4), 0, body(10));
    sending.push(OTHER, Sequence(5), 0, body(10));
    assert_eq!(sent(&mut sending), [(0, 5)]);
    // What came before it was stored.
    sending.acknowledged(ack(1), |_, _| {}).unwrap();
    assert!(sending.acknowledged(ack(2), |_, _| {}).is_err(), "it was not taken, by the word of the peer itself");
    assert_eq!(sending.poll(), Next::Nothing);
    sending.resume(&FxHashMap::from_iter([(LANE, Sequence(1))]), terms(), |_, _| {}).unwrap();
    let mut again = sent(&mut sending);
    // Which lane is first does not matter.
    again.sort_unstable_by_key(|(_, sequence)| *sequence);
    assert_eq!(again, [(1, 2), (2, 3), (3, 4), (0, 5)]);
}

#[test]
fn a_message_that_was_not_sent_leaves_as_if_it_had_never_been_there() {
    let mut sending = sending();
    for sequence in 1..=4 {
        sending.push(LANE, Sequence(sequence), 0, body(10));
    }
    sending.committed(Sequence(1));
    assert_eq!(sent(&mut sending), [(0, 1)]);
    assert_eq!(sending.delivery_status(LANE, Sequence(1)), DeliveryStatus::MayHaveArrived);
    assert_eq!(
        [2, 3, 5].map(|at| sending.delivery_status(LANE, Sequence(at))),
        [DeliveryStatus::NotSent, DeliveryStatus::NotSent, DeliveryStatus::Settled]
    );
    assert_eq!(sending.next_commit(), Some(Sequence(2)));
    sending.withdraw(LANE, &[Sequence(2), Sequence(3)], Sequence(6));
    assert_eq!(sending.backlog(), Backlog { messages: 2, bytes: 20 });
    assert_eq!(sending.next_commit(), Some(Sequence(6)), "what takes them out of the store");
    sending.committed(Sequence(5));
    assert_eq!(sent(&mut sending), [], "they would be back after a crash, and count as arrived");
    sending.committed(Sequence(6));
    assert_eq!(sent(&mut sending), [(1, 4)]);
}

#[test]
fn a_message_that_may_have_arrived_stays_until_the_peer_says_how_far_it_has_come() {
    for has in [0, 1, 2] {
        let mut sending = sending();
        for sequence in 1..=3 {
            sending.push(LANE, Sequence(sequence), 0, body(10));
        }
        sending.committed(Sequence(2));
        assert_eq!(sent(&mut sending).len(), 2);
        sending.interrupted();
        assert_eq!(sending.reached(), Sequence(2));
        for at in 1..=2 {
            assert_eq!(sending.delivery_status(LANE, Sequence(at)), DeliveryStatus::MayHaveArrived);
            sending.expire(LANE, Sequence(at));
            sending.expire(LANE, Sequence(at));
        }
        assert_eq!(sending.backlog(), Backlog { messages: 1, bytes: 10 }, "they count against no bound");
        let cursors = FxHashMap::from_iter((has > 0).then_some((LANE, Sequence(has))));
        sending.resume(&cursors, terms(), |_, _| {}).unwrap();
        let withdrawn: Vec<Sequence> = (has + 1..=2).map(Sequence).collect();
        assert!(withdrawn.iter().all(|at| sending.delivery_status(LANE, *at) == DeliveryStatus::NotSent));
        sending.withdraw(LANE, &withdrawn, Sequence(4));
        sending.committed(Sequence(4));
        assert_eq!(sent(&mut sending), [(has, 3)]);
        assert_eq!(sending.backlog(), Backlog { messages: 1, bytes: 10 });
    }
}

#[test]
fn what_the_peer_does_not_take_has_not_arrived() {
    let mut sending = sending();
    for sequence in 1..=3 {
        sending.push(LANE, Sequence(sequence), 0, body(10));
    }
    sending.committed(Sequence(3));
    assert_eq!(sent(&mut sending).len(), 3);
    assert!(sending.stopped(LANE, Sequence(2)));
    let standing = [1, 2, 3].map(|at| sending.delivery_status(LANE, Sequence(at)));
    assert_eq!(standing, [DeliveryStatus::MayHaveArrived, DeliveryStatus::NotSent, DeliveryStatus::NotSent]);
    sending.withdraw(LANE, &[Sequence(2)], Sequence(4));
    sending.committed(Sequence(4));
    let cursors = FxHashMap::from_iter([(LANE, Sequence(1))]);
    sending.resume(&cursors, terms(), |_, _| {}).unwrap();
    assert_eq!(sent(&mut sending), [(1, 3)]);
}
