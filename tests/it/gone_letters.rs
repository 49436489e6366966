//! Messages that were given up on, and whose dead letters have gone since: they counted as handled.

use std::time::Duration;

use everpost::{NodeConfig, ProcessedError, StoreConfig, WhenFull};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, workers};

const MEND: u32 = 0;
const GATE: u32 = 1;

/// What becomes of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Dropped,
    Edited,
    /// It makes room for another one.
    Oldest,
    /// It is sent again, and waits when somebody asks.
    Replayed,
}

/// Whether a future is not done, after it was polled once.
async fn is_pending(future: impl Future) -> bool {
    tokio::time::timeout(Duration::ZERO, future).await.is_err()
}

/// Sends from a node to an actor of this one or of another, which gives up on the message.
async fn check(goes: Goes, nodes: &[&str]) {
    let config = NodeConfig {
        attempts_max: 1,
        dead_letters_max: 1,
        dead_letters_when_full: WhenFull::DropOldest,
        ..everpost_tests::config()
    };
    let probe = Probe::new();
    let net = Net::new(nodes).with("worker", &nodes[nodes.len() - 1..]).config(&config);
    let nodes = net.start_all(&probe).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    let (sender, receiver) = (&nodes[0], &nodes[nodes.len() - 1]);
    let script = Script::new([Step::FailUntil(MEND), Step::Reach(GATE), Step::Wait(GATE)]);
    let receipt = sender.actor::<Worker>("one").send(script).submit().await.unwrap();
    soon("it is delivered", receipt.delivered()).await.unwrap();
    let letters = receiver.dead_letters();
    eventually("it is given up on", || letters.count() == 1).await;
    let sequence = letters.list().await.unwrap()[0].sequence;
    match goes {
        Goes::Dropped => letters.delete(sequence).await.unwrap(),
        Goes::Edited => drop(letters.edit(sequence, &Script::new([Step::Append(1)])).await.unwrap()),
        Goes::Oldest => {
            receiver.actor::<Worker>("two").send(Script::new([Step::Reject])).await.unwrap();
            eventually("it makes room", || receiver.statistics().dead_letters_dropped == 1).await;
        }
        Goes::Replayed => {
            probe.open(MEND);
            letters.replay(sequence).await.unwrap();
            probe.reached(GATE, 1).await;
        }
    }
    let mut processed = Box::pin(receipt.processed());
    if goes == Goes::Replayed {
        assert!(is_pending(processed.as_mut()).await, "it waits again");
        probe.open(GATE);
    }
    let told = soon("it is told", processed).await;
    match goes {
        Goes::Replayed => told.unwrap(),
        _ => assert!(matches!(told, Err(ProcessedError::GivenUp(_))), "{goes:?}, {} nodes: {told:?}", nodes.len()),
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_given_up_on_does_not_count_as_handled_once_its_letter_has_gone() {
    for goes in [Goes::Dropped, Goes::Edited, Goes::Oldest] {
        check(goes, &["east"]).await;
        check(goes, &["east", "west"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_was_replayed_is_waited_for_where_it_waits_now() {
    check(Goes::Replayed, &["east"]).await;
    check(Goes::Replayed, &["east", "west"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_fail_at_once_find_no_more_room_among_the_dead_letters_than_there_is() {
    const ACTORS: usize = 40;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    // Little room for what is to be written down, so that there may be a wait for it between the decision and its step.
    let store = StoreConfig { queue_bytes_max: 64 << 10, ..StoreConfig::default() };
    let config = NodeConfig { dead_letters_max: 3, message_bytes_max: 24_000, store, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    for key in 0..ACTORS {
        let steps = [Step::Reach(GATE), Step::Wait(GATE), Step::Reject];
        node.actor::<Worker>(&key.to_string()).send(Script::padded(steps, 22_000)).await.unwrap();
    }
    probe.reached(GATE, ACTORS).await;
    probe.open(GATE);
    probe.reached(GATE, 3 * ACTORS).await;
    assert_eq!((node.dead_letters().count(), node.statistics().waiting), (3, ACTORS - 3));
    stop([node]).await;
}
