use super::*;

fn hello(shard: u128, counter: u64, nonce: u64, first: u64) -> Hello {
    Hello {
        protocol: PROTOCOL_VERSION,
        cluster: "orders".into(),
        node: "west".into(),
        partitions: 64,
        run: Run { shard, counter, nonce, first: Sequence(first) },
        message_bytes_max: 1 << 20,
        receiver_types: Vec::new(),
        earlier: Vec::new(),
        clocks: Clocks::default(),
    }
}

/// As `hello`, after these runs.
fn after(earlier: &[(u64, u64, u64)], hello: Hello) -> Hello {
    let run = |&(counter, nonce, first)| EarlierRun { counter, nonce, first: Sequence(first) };
    Hello { earlier: earlier.iter().map(run).collect(), ..hello }
}

fn known(counter: u64, nonce: u64) -> KnownStore {
    KnownStore { node: "west".into(), counter, nonce }
}

fn check(theirs: &Hello, known: Option<&KnownStore>, received: u64) -> Result<(), Refusal> {
    hello(1, 5, 5, 100).check(theirs, "west", known, Sequence(received))
}

#[test]
fn a_stranger_and_a_friend_are_welcome() {
    assert_eq!(check(&hello(2, 1, 7, 1), None, 0), Ok(()));
    assert_eq!(check(&hello(2, 1, 7, 1), Some(&known(1, 7)), 40), Ok(()), "the same run again");
    let next = after(&[(1, 7, 1)], hello(2, 2, 8, 41));
    assert_eq!(check(&next, Some(&known(1, 7)), 40), Ok(()), "the next run");
    let later = after(&[(1, 7, 1), (2, 8, 41), (4, 9, 50)], hello(2, 5, 3, 90));
    assert_eq!(check(&later, Some(&known(1, 7)), 40), Ok(()), "runs that were never met in between");
    let much_later = after(&[(70, 8, 41), (71, 9, 50)], hello(2, 72, 3, 90));
    assert_eq!(check(&much_later, Some(&known(1, 7)), 40), Ok(()), "the known run is forgotten there");
}

#[test]
fn old_copies_and_clones_are_not() {
    let refused =
        |theirs, counter, nonce, received| check(&theirs, Some(&known(counter, nonce)), received).unwrap_err();
    assert_eq!(refused(hello(2, 3, 7, 50), 4, 9, 0), Refusal::OldRun { counter: 3, known: 4 });
    assert_eq!(refused(hello(2, 4, 7, 50), 4, 9, 0), Refusal::Clone { counter: 4 });
    let overlap = Refusal::Overlap { first: Sequence(40), received: Sequence(40) };
    let copy = after(&[(4, 9, 10)], hello(2, 5, 7, 40));
    assert_eq!(refused(copy, 4, 9, 40), overlap, "a higher counter does not help an old copy");
    let went_on = after(&[(4, 9, 10), (5, 7, 40)], hello(2, 6, 8, 70));
    assert_eq!(refused(went_on, 4, 9, 40), overlap, "nor does having gone on by itself");
    let other_way = after(&[(3, 1, 10), (4, 2, 20)], hello(2, 6, 8, 70));
    assert_eq!(refused(other_way, 4, 9, 40), Refusal::Clone { counter: 4 }, "another fourth run");
    let never = after(&[(3, 1, 10)], hello(2, 6, 8, 70));
    assert_eq!(refused(never, 4, 9, 40), Refusal::Clone { counter: 4 }, "no fourth run");
    let forgotten = after(&[(70, 8, 40)], hello(2, 72, 3, 90));
    assert_eq!(refused(forgotten, 4, 9, 40), overlap, "the oldest run that is told counts");
    assert_eq!(check(&hello(1, 9, 7, 40), None, 0), Err(Refusal::OurStore));
    let elsewhere = KnownStore { node: "north".into(), ..known(1, 7) };
    assert_eq!(check(&hello(2, 1, 7, 1), Some(&elsewhere), 0), Err(Refusal::OtherNode { known: "north".into() }));
}

#[test]
fn who_does_not_fit_is_told_why() {
    let mut theirs = hello(2, 1, 7, 1);
    theirs.partitions = 8;
    assert_eq!(check(&theirs, None, 0), Err(Refusal::Partitions { ours: 64, theirs: 8 }));
    theirs.node = "north".into();
    assert!(matches!(check(&theirs, None, 0), Err(Refusal::Name { .. })));
    theirs.cluster = "payments".into();
    assert!(matches!(check(&theirs, None, 0), Err(Refusal::Cluster { .. })));
    theirs.protocol = 1;
    assert_eq!(check(&theirs, None, 0), Err(Refusal::Protocol { ours: 2, theirs: 1 }));
}
