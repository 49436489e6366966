//! What a receipt says is so, across nodes and through restarts.

use std::time::Duration;

use everpost::{NodeConfig, ProcessedError, Receipt, StopError};
use everpost_tests::net::{Net, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, read};

const GATE: u32 = 0;

/// Workers live in the west, quick ones in the east.
fn net() -> Net {
    Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"])
}

/// Whether a future is not done, after it was polled once.
async fn is_pending(future: impl Future) -> bool {
    tokio::time::timeout(Duration::ZERO, future).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn accepted_is_known_at_once_and_delivered_when_the_other_node_has_it() {
    let net = net();
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let receipt =
        east.actor::<Worker>("one").send(Script::new([Step::Wait(GATE), Step::Append(1)])).submit().await.unwrap();
    soon("it is accepted", receipt.accepted()).await.unwrap();
    assert!(is_pending(receipt.delivered()).await, "nobody is there");
    assert_eq!(east.statistics().outbox, 1);
    let west = net.start("west", &probe).await;
    soon("it is delivered", receipt.delivered()).await.unwrap();
    eventually("it is no longer owed", || east.statistics().outbox == 0).await;
    assert_eq!(west.statistics().waiting, 1);
    soon("it is delivered for ever", receipt.delivered()).await.unwrap();
    let mut processed = Box::pin(receipt.processed());
    assert!(is_pending(processed.as_mut()).await, "its handler waits");
    probe.open(GATE);
    soon("it is processed", processed).await.unwrap();
    assert_eq!(read(&east.actor::<Worker>("one")).await.entries, [1]);
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_is_handled_although_its_sender_is_gone_for_good() {
    let net = net();
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    west.actor::<Worker>("one").send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let mut receipts: Vec<Receipt> = Vec::new();
    for number in 1..=50 {
        receipts.push(east.actor::<Worker>("one").send(Script::new([Step::Append(number)])).submit().await.unwrap());
    }
    for receipt in &receipts {
        soon("it is delivered", receipt.delivered()).await.unwrap();
    }
    stop([east]).await;
    std::fs::remove_dir_all(&net.seat("east").folder).unwrap();
    probe.open(GATE);
    soon("it drains", west.drained()).await.unwrap();
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, (1..=50).collect::<Vec<_>>());
    stop([west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_given_up_on_elsewhere_says_so_whenever_it_is_asked() {
    let net = net();
    let config = NodeConfig { attempts_max: 2, ..everpost_tests::config() };
    let net = net.config(&config);
    let nodes = net.start_all(&Probe::new()).await;
    for step in [Step::Reject, Step::FailUpTo(9), Step::PanicUpTo(9)] {
        let actor = nodes[0].actor::<Worker>("one");
        let (early, late) = (
            actor.send(Script::new([step.clone()])).submit().await.unwrap(),
            actor.send(Script::new([step.clone()])).submit().await.unwrap(),
        );
        let fine = actor.send(Script::new([Step::Append(1)])).submit().await.unwrap();
        let outcome = soon("it is told", early.processed()).await;
        let Err(ProcessedError::GivenUp(reason)) = outcome else { panic!("{step:?}: {outcome:?}") };
        assert!(reason.contains("told to"), "{step:?}: {reason}");
        soon("the next one is processed", fine.processed()).await.unwrap();
        // Long after the fact.
        let outcome = soon("it is told", late.processed()).await;
        assert!(matches!(outcome, Err(ProcessedError::GivenUp(_))), "{step:?}: {outcome:?}");
    }
    assert_eq!(nodes[1].dead_letters().list().await.unwrap().len(), 6);
    assert_eq!(nodes[0].dead_letters().list().await.unwrap().len(), 0);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processed_is_told_although_the_other_node_was_restarted_in_between() {
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    let net = net().config(&config);
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let west = net.start("west", &probe).await;
    let actor = east.actor::<Worker>("one");
    let gate = |gate, number| Script::new([Step::Reach(gate), Step::Wait(gate), Step::Append(number)]);
    let (waiting, asked) =
        (actor.send(gate(1, 1)).submit().await.unwrap(), actor.send(gate(2, 2)).submit().await.unwrap());
    let waiting = tokio::spawn(waiting.processed());
    probe.reached(1, 1).await;
    soon("it is delivered", asked.delivered()).await.unwrap();
    probe.open(1);
    probe.reached(2, 1).await;
    // The second one is cut off, and handled again after the restart.
    let stopped = soon("it stops", west.stop()).await;
    assert!(matches!(stopped, Err(StopError::CutOff(1))), "{stopped:?}");
    drop(west);
    probe.open(2);
    let west = net.start("west", &probe).await;
    soon("the first is told", waiting).await.unwrap().unwrap();
    soon("the second is told", asked.processed()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2]);
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_a_node_that_stops_end() {
    let net = net();
    let east = net.start("east", &Probe::new()).await;
    let receipt = || async { east.actor::<Worker>("one").send(Script::new([])).submit().await.unwrap() };
    let (delivered, processed) = (receipt().await, receipt().await);
    let delivered = tokio::spawn(async move { delivered.delivered().await });
    let processed = tokio::spawn(processed.processed());
    let asked = tokio::spawn({
        let actor = east.actor::<Worker>("one");
        async move { actor.ask(Script::new([])).await }
    });
    eventually("all is owed", || east.statistics().outbox == 3).await;
    stop([east]).await;
    assert!(soon("delivered ends", delivered).await.unwrap().is_err());
    assert!(matches!(soon("processed ends", processed).await.unwrap(), Err(ProcessedError::Ended(_))));
    assert!(matches!(soon("the ask ends", asked).await.unwrap(), Err(everpost::AskError::Stopped)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volatile_message_comes_once_or_not_at_all() {
    let net = net();
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    let actor = east.actor::<Worker>("one");
    everpost_tests::net::linked(&[&east, &west]).await;
    let mut taken = 0;
    for number in 1..=500 {
        taken += usize::from(actor.send_volatile(Script::new([Step::Append(number)])).is_ok());
    }
    // Sent after them over the same lane's stream, so that it comes after them.
    actor.ask(Script::new([])).await.unwrap();
    settled(&[&east, &west]).await;
    let entries = read(&actor).await.entries;
    assert_eq!((taken, entries), (500, (1..=500).collect()), "nothing was lost while the link was there");
    assert_eq!(east.statistics().outbox, 0);
    stop([west]).await;
    eventually("the link is down", || !east.is_linked_to("west")).await;
    let refused = actor.send_volatile(Script::new([Step::Append(501)])).unwrap_err();
    assert_eq!(refused.into_message().expect("it is handed back").steps, [Step::Append(501)]);
    let west = net.start("west", &probe).await;
    actor.ask(Script::new([])).await.unwrap();
    assert_eq!(read(&actor).await.entries.len(), 500);
    // On the node of the actor itself it is a message like any other.
    east.actor::<Quick>("here").send_volatile(Script::new([Step::Append(1)])).unwrap();
    settled(&[&east, &west]).await;
    assert_eq!(read(&east.actor::<Quick>("here")).await.entries, [1]);
    stop([east, west]).await;
}
