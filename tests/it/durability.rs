//! What a turn builds on, what it leaves behind, and what is the same on every attempt.

use std::time::Duration;

use everpost::NodeConfig;
use everpost_tests::child::Child;
use everpost_tests::probe::{Note, Probe};
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, quick, read, worker, workers};

const GATE: u32 = 0;

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_rolls_back_to_the_last_submitted_state() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    for early in [false, true] {
        // All turns are pipelined behind the gate, so that a failing one follows others that are not durable yet.
        let failure = |number: u32| match number % 10 {
            3 => Some(Step::FailUpTo(1)),
            6 => Some(Step::PanicUpTo(1)),
            9 => Some(Step::Reject),
            _ => None,
        };
        for number in 0..200 {
            let steps: Vec<_> = [Some(Step::Append(number)), failure(number)].into_iter().flatten().collect();
            if early {
                let _receipt = node.actor::<Quick>("one").send(Script::new(steps)).submit().await.unwrap();
            } else {
                let _receipt = node.actor::<Worker>("one").send(Script::new(steps)).submit().await.unwrap();
            }
        }
        soon("it drains", node.drained()).await.unwrap();
        let log =
            if early { read(&node.actor::<Quick>("one")).await } else { read(&node.actor::<Worker>("one")).await };
        let expected: Vec<u32> = (0..200).filter(|number| number % 10 != 9).collect();
        assert_eq!(log.entries, expected, "early: {early}");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_was_not_changed_is_not_written() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.ask(Script::new([Step::Grow(1 << 20)])).await.unwrap();
    let before = node.store_statistics().journal_bytes;
    for _ in 0..20 {
        actor.ask(Script::new([Step::Note])).await.unwrap();
    }
    let read_only = node.store_statistics().journal_bytes - before;
    assert!(read_only < 1 << 20, "{read_only} bytes were written for 20 turns that changed nothing");
    actor.ask(Script::new([Step::Append(1)])).await.unwrap();
    let changed = node.store_statistics().journal_bytes - before - read_only;
    assert!(changed >= 1 << 20, "{changed} bytes were written for a state of a megabyte");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_activation_sees_what_its_predecessor_submitted() {
    // Every activation leaves as soon as its mailbox is empty, so that nearly every turn has a new one.
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let idle_after = Duration::from_millis(1);
    let config = NodeConfig { activations_max: 1, idle_after, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    node.actor::<Worker>("holder").send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    for number in 0..300 {
        // Not awaited: the turn before may be submitted and not durable when the next activation starts.
        let steps = if number % 7 == 0 { vec![Step::PanicUpTo(1)] } else { Vec::new() };
        let steps = [steps, vec![Step::Append(number)]].concat();
        let _receipt = node.actor::<Quick>("one").send(Script::new(steps)).submit().await.unwrap();
        if number % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Quick>("one")).await.entries, (0..300).collect::<Vec<_>>());
    eventually("activations leave", || node.statistics().activations <= 1).await;
    node.stop().await.unwrap();
}

/// A handler of a pipelined actor sees messages before they are durable; `committed` waits until it and all before are.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_pipelined_turn_does_after_committed_survives_a_kill() {
    for round in 0..10 {
        let folder = everpost_tests::folder();
        let setup =
            Setup { folder: folder.path().into(), attempts_max: 8, open: true, logs: false, seat: None, waits: false };
        let mut child = Child::up(&setup);
        // A turn that is shown to the outside after `committed` builds on the turn that has sent it.
        let shown = vec![Step::Committed, Step::Reach(GATE), Step::Append(2)];
        let steps = vec![Step::Append(1), Step::Send(quick("second"), shown)];
        child.tell(&Command::Send(vec![(quick("first"), steps)]));
        child.wait_for("the outside sees it", |event| *event == Event::Reached(GATE));
        child.kill();
        let node = workers(folder.path(), &Probe::new());
        let node = everpost_tests::load::actors(node).start().await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        assert_eq!(read(&node.actor::<Quick>("first")).await.entries, [1], "round {round}");
        assert_eq!(read(&node.actor::<Quick>("second")).await.entries, [2], "round {round}");
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_derived_ids_are_the_same_on_every_attempt() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let sent = vec![Step::Note];
    let send = |to: &str| Step::Send(worker(to), sent.clone());
    let ask = vec![Step::Note];
    let steps = vec![
        Step::Note,
        send("left"),
        Step::Ask(worker("asked"), ask),
        send("right"),
        Step::FailUpTo(2),
        Step::PanicUpTo(4),
    ];
    let id = node.actor::<Quick>("one").send(Script::new(steps)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let seen = probe.seen();
    let attempts = seen.of("quick/one");
    assert_eq!(attempts.iter().map(|note| note.attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(attempts.iter().all(|note| note.message == id.to_string()));
    assert!(attempts.windows(2).all(|pair| same_work(&pair[0], &pair[1])), "{attempts:?}");
    assert_ne!(attempts[0].idempotency_key, attempts[0].other_key);
    let mut ids = vec![id.to_string()];
    for to in ["left", "asked", "right"] {
        let notes = seen.of(&format!("worker/{to}"));
        assert_eq!(notes.len(), 1, "{to} gets one message: {notes:?}");
        ids.push(notes[0].message.clone());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4, "every message has an id of its own");
    node.stop().await.unwrap();
}

fn same_work(one: &Note, other: &Note) -> bool {
    (&one.message, one.sequence, &one.idempotency_key, &one.other_key)
        == (&other.message, other.sequence, &other.idempotency_key, &other.other_key)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_derived_ids_are_the_same_after_a_kill() {
    let folder = everpost_tests::folder();
    let mut setup =
        Setup { folder: folder.path().into(), attempts_max: 8, open: false, logs: false, seat: None, waits: false };
    let ask = vec![Step::Note];
    let steps = vec![
        Step::Note,
        Step::Ask(worker("asked"), ask),
        Step::Reach(GATE),
        Step::Wait(GATE),
        Step::Send(worker("next"), vec![Step::Note]),
    ];
    let mut child = Child::up(&setup);
    child.tell(&Command::Send(vec![(worker("one"), steps)]));
    let mut notes: Vec<Note> = Vec::new();
    for life in 0..3 {
        if life == 2 {
            setup.open = true;
        }
        if life > 0 {
            child = Child::up(&setup);
        }
        child.wait_for("the handler runs", |event| {
            if let Event::Noted(note) = event {
                notes.push(note.clone());
            }
            *event == Event::Reached(GATE)
        });
        if life < 2 {
            child.kill();
        }
    }
    child.tell(&Command::Drain);
    child.wait_for("it drains", |event| {
        if let Event::Noted(note) = event {
            notes.push(note.clone());
        }
        *event == Event::Drained
    });
    let of = |address: &str| notes.iter().filter(|note| note.address == address).collect::<Vec<_>>();
    let lives = of("worker/one");
    assert_eq!(lives.len(), 3);
    assert!(lives.windows(2).all(|pair| same_work(pair[0], pair[1])), "{lives:?}");
    // The second kill may come while it runs alone as a suspect of the first, and then counts.
    assert!(lives[..2].iter().all(|note| note.attempt == 1), "a kill from outside is no attempt: {lives:?}");
    assert_eq!((of("worker/asked").len(), of("worker/next").len()), (1, 1));
}
