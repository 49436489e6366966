//! Activations come and go, and whoever has work gets one: after a start, and while there are more than may be idle.

use std::time::Duration;

use everpost::{NodeConfig, StopError};
use everpost_tests::net::{Net, linked, settled};
use everpost_tests::probe::Probe;
use everpost_tests::seeds::seeds;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read, workers};

const GATE: u32 = 0;
const HOUR: u64 = 3_600_000;

/// Mailboxes behind as many as may be active, all of which held nothing but deferred messages, were never woken.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_what_nothing_holds_back_is_handled_though_deferred_messages_fill_the_activations() {
    const DEFERRED: usize = 1500;
    const NORMAL: usize = 1500;
    for activations_max in [1, 100] {
        let (folder, probe) = (everpost_tests::folder(), Probe::new());
        let stop_timeout = Duration::from_millis(100);
        let config = NodeConfig { activations_max, stop_timeout, ..everpost_tests::config() };
        let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
        for number in 0..DEFERRED {
            let reminder = Script::new([Step::Reach(9), Step::DeferUntil(HOUR, 1)]);
            let _ = node.actor::<Worker>(&format!("reminder {number}")).send(reminder).submit().await.unwrap();
        }
        probe.reached(9, DEFERRED).await;
        for number in 0..NORMAL {
            let message = Script::new([Step::Reach(GATE), Step::Wait(GATE), Step::Append(1)]);
            let _ = node.actor::<Quick>(&format!("normal {number}")).send(message).submit().await.unwrap();
        }
        probe.reached(GATE, NORMAL).await;
        let stopped = soon("it stops", node.stop()).await;
        assert!(matches!(stopped, Err(StopError::CutOff(_))), "{stopped:?}");
        drop(node);

        let probe = Probe::new();
        probe.open(GATE);
        let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
        assert_eq!(node.statistics().replayed as usize, DEFERRED + NORMAL);
        eventually("what nothing holds back is handled", || node.statistics().handled as usize == NORMAL).await;
        soon("it stops", node.stop()).await.unwrap();
    }
}

/// A handler that waits is no reason to keep the mailboxes behind it asleep: what it waits for may come from one of
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_handlers_that_wait_for_others_do_not_keep_those_asleep() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let stop_timeout = Duration::from_millis(100);
    let config = NodeConfig { activations_max: 1, stop_timeout, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    let all = 20;
    for number in 0..all {
        let message = Script::new([Step::Reach(GATE), Step::Wait(GATE), Step::Append(1)]);
        node.actor::<Quick>(&number.to_string()).send(message).await.unwrap();
    }
    probe.reached(GATE, all).await;
    let stopped = soon("it stops", node.stop()).await;
    assert!(matches!(stopped, Err(StopError::CutOff(_))), "{stopped:?}");
    drop(node);

    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    // Each waits until all are there.
    probe.reached(GATE, all).await;
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

/// Of an address at which one message waits a start keeps a line only. Whoever comes to it first finds a mailbox with
/// that message: a sender, a query, a receipt, a second start, or whoever resumes its type.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_alone_at_its_address_is_handled_once_and_in_order_whoever_comes_to_it() {
    const ADDRESSES: usize = 600;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { activations_max: 100, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    node.pause_type::<Worker>("its mailboxes are filled").await.unwrap();
    let key = |number: usize| number.to_string();
    for number in 0..ADDRESSES {
        let _ = node.actor::<Worker>(&key(number)).send(Script::new([Step::Append(1)])).submit().await.unwrap();
        // Some have two, which takes a mailbox.
        if number % 7 == 0 {
            let _ = node.actor::<Worker>(&key(number)).send(Script::new([Step::Append(2)])).submit().await.unwrap();
        }
    }
    node.stop().await.unwrap();
    drop(node);

    let waiting = ADDRESSES + ADDRESSES.div_ceil(7);
    for _ in 0..2 {
        let node = workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
        let found = node.statistics();
        assert_eq!((found.waiting, found.mailboxes, found.activations), (waiting, ADDRESSES, 0));
        assert_eq!(read(&node.actor::<Worker>("1")).await.entries, [0_u32; 0], "a query passes what is paused");
        node.stop().await.unwrap();
    }

    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    for number in (0..ADDRESSES).step_by(3) {
        let _ = node.actor::<Worker>(&key(number)).send(Script::new([Step::Append(3)])).submit().await.unwrap();
    }
    let (resumed, ()) = tokio::join!(node.resume_type::<Worker>(), async {
        for number in (1..ADDRESSES).step_by(3) {
            let _ = node.actor::<Worker>(&key(number)).send(Script::new([Step::Append(3)])).submit().await.unwrap();
        }
    });
    resumed.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    for number in 0..ADDRESSES {
        let expected = [Some(1), (number % 7 == 0).then_some(2), (number % 3 < 2).then_some(3)];
        let expected: Vec<u32> = expected.into_iter().flatten().collect();
        assert_eq!(read(&node.actor::<Worker>(&key(number))).await.entries, expected, "{number}");
    }
    assert_eq!(node.statistics().failed, 0);
    node.stop().await.unwrap();
}

/// A mailbox with nothing but messages put off kept its activation, for as long as they were.
#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_whose_messages_are_put_off_for_long_keeps_no_activation() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let config = NodeConfig { idle_after: Duration::from_millis(20), ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let deferred = Script::new([Step::Reach(9), Step::DeferUntil(HOUR, 1), Step::Append(2)]);
    actor.send(deferred).await.unwrap();
    actor.send(Script::new([Step::RetryAfter(1, 500), Step::Append(1)])).await.unwrap();
    probe.reached(9, 1).await;
    let gone = || node.statistics().activations == 0;
    eventually("nothing can be done now, so the activation leaves", gone).await;
    assert_eq!(node.statistics().waiting, 2);
    // It backs off, and nobody rings but time.
    eventually("the one that is due is handled", || node.statistics().handled == 1).await;
    eventually("the activation leaves again", gone).await;
    // A message that comes is handled at once.
    assert_eq!(actor.ask(Script::new([Step::Append(3)])).await.unwrap(), [1, 3]);
    eventually("the activation leaves once more", gone).await;
    assert_eq!(read(&actor).await.entries, [1, 3], "a query finds the state");
    assert_eq!((node.statistics().waiting, node.statistics().mailboxes), (1, 1));
    node.stop().await.unwrap();
}

/// A batch of another node that met a mailbox which had just left memory rang the old one, and the actor was dead until
/// a restart.
#[tokio::test(flavor = "multi_thread")]
async fn no_message_of_another_node_goes_to_a_mailbox_that_has_left_memory() {
    for seed in seeds("waking::no_message_of_another_node_goes_to_a_mailbox_that_has_left_memory", 1) {
        let mut random = seed.random();
        let idle_after = Duration::from_millis(1);
        let config = NodeConfig { activations_max: 1, idle_after, ..everpost_tests::config() };
        let net = Net::new(&["east", "west"]).with("worker", &["west"]).config(&config);
        let probe = Probe::new();
        let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
        linked(&[&east, &west]).await;
        let actors: Vec<_> = (0..100).map(|key| east.actor::<Worker>(&key.to_string())).collect();
        for _ in 0..10 {
            for _ in 0..3000 {
                let actor = &actors[random.below(actors.len() as u64) as usize];
                let _ = actor.send(Script::new([Step::Count(1)])).submit().await.unwrap();
            }
            settled(&[&east, &west]).await;
        }
        assert_eq!(west.statistics().handled, 30_000);
        everpost_tests::net::stop([east, west]).await;
    }
}
