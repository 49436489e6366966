//! Full outboxes and full mailboxes of other nodes: they hold back new messages from outside, to themselves alone, and
//! never a turn.

use std::time::Duration;

use everpost::{ActorHandle, Node, NodeConfig, Refusal, SendError};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, quick, read, worker};

const MESSAGES_MAX: usize = 8;
const GATE: u32 = 0;
/// Long enough to be sure that a send waits, and short enough to wait for.
const SEND_TIMEOUT: Duration = Duration::from_millis(300);

/// Workers live in the west, quick ones in the east.
fn net(change: impl FnOnce(&mut NodeConfig)) -> Net {
    let mut config = NodeConfig { send_timeout: SEND_TIMEOUT, ..everpost_tests::config() };
    change(&mut config);
    Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]).config(&config)
}

fn append(number: u32) -> Script {
    Script::new([Step::Append(number)])
}

/// What a full outbox says.
fn outbox_full(error: SendError<Script>, owed: usize) -> Script {
    let SendError::NotAccepted { message, reason: Refusal::OutboxFull { node, messages, bytes } } = error else {
        panic!("{error:?}")
    };
    assert_eq!((&*node, messages), ("west", owed));
    assert!(bytes > 0);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_lets_a_send_wait_then_refuses_it_and_hands_it_back() {
    let net = net(|config| config.outbox_messages_max = MESSAGES_MAX);
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let actor = east.actor::<Worker>("one");
    for number in 1..=8 {
        actor.send(append(number)).await.unwrap();
    }
    let back = outbox_full(actor.send(append(99)).try_submit().unwrap_err(), MESSAGES_MAX);
    assert_eq!(back.steps, [Step::Append(99)]);
    let back = outbox_full(soon("it is refused", actor.send(append(98))).await.unwrap_err(), MESSAGES_MAX);
    assert_eq!(back.steps, [Step::Append(98)]);
    // Nobody else is held back, and no turn.
    east.actor::<Quick>("here").send(append(1)).await.unwrap();
    let sends = (1..=50).map(|number| Step::Send(worker("two"), vec![Step::Append(number)])).collect::<Vec<_>>();
    east.actor::<Quick>("here").ask(Script::new(sends)).await.unwrap();
    assert_eq!(east.statistics().outbox, 58);
    outbox_full(actor.send(append(97)).try_submit().unwrap_err(), 58);

    let waiting = tokio::spawn({
        let actor = actor.clone();
        async move { actor.send(append(9)).await }
    });
    let west = net.start("west", &probe).await;
    // It may have waited too long already; then there is room now.
    if soon("it ends", waiting).await.unwrap().is_err() {
        eventually("there is room", || east.statistics().outbox == 0).await;
        actor.send(append(9)).await.unwrap();
    }
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, (1..=9).collect::<Vec<_>>());
    assert_eq!(read(&west.actor::<Worker>("two")).await.entries, (1..=50).collect::<Vec<_>>());
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_waits_at_a_full_outbox_goes_through_when_there_is_room() {
    let net = net(|config| {
        config.outbox_bytes_max = 4096;
        config.send_timeout = everpost_tests::wait::DEADLINE;
    });
    let probe = Probe::new();
    let east = net.start("east", &probe).await;
    let actor = east.actor::<Worker>("one");
    let large = |number| Script::padded([Step::Count(number)], 1000);
    for number in 1..=4 {
        actor.send(large(number)).await.unwrap();
    }
    outbox_full(actor.send(large(99)).try_submit().unwrap_err(), 4);
    let sends = tokio::spawn({
        let actor = actor.clone();
        async move {
            for number in 5..=100 {
                actor.send(large(number)).await.unwrap();
            }
        }
    });
    let west = net.start("west", &probe).await;
    soon("all go through", sends).await.unwrap();
    settled(&[&east, &west]).await;
    let log = read(&west.actor::<Worker>("one")).await;
    assert_eq!((log.count, log.last, log.jumps), (100, 100, 0));
    stop([east, west]).await;
}

/// Fills the mailbox of `worker/slow`, whose handler waits; returns how many messages it took.
async fn fill(east: &Node, west: &Node, probe: &Probe) -> u32 {
    let slow = east.actor::<Worker>("slow");
    slow.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let mut sent = 0;
    soon("it is full", async {
        while !matches!(
            slow.send(append(sent + 1)).try_submit(),
            Err(SendError::NotAccepted { reason: Refusal::MailboxFull, .. })
        ) {
            sent += 1;
            // What is granted is stored, full or not; then the sender is told.
            settled_owed(east).await;
        }
    })
    .await;
    assert!(west.statistics().waiting >= MESSAGES_MAX);
    sent
}

async fn settled_owed(node: &Node) {
    eventually("nothing is owed", || node.statistics().outbox == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_mailbox_elsewhere_holds_back_new_messages_from_outside_to_itself_alone() {
    let net = net(|config| config.mailbox_messages_max = MESSAGES_MAX);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let sent = fill(&east, &west, &probe).await;
    let slow = east.actor::<Worker>("slow");
    let refused = soon("it is refused", slow.send(append(99))).await.unwrap_err();
    let full = matches!(&refused, SendError::NotAccepted { reason: Refusal::MailboxFull, .. });
    assert!(full, "{refused:?}");
    assert_eq!(refused.into_message().expect("it is handed back").steps, [Step::Append(99)]);
    // Nobody else is held back, in the same partition or not; nor is a turn that sends to the full one.
    for number in 1..=200 {
        let other = east.actor::<Worker>(&format!("other {number}"));
        assert_eq!(soon("a reply", async { other.ask(append(1)).await }).await.unwrap(), [1]);
    }
    let sends = (1..=30).map(|number| Step::Send(worker("slow"), vec![Step::Append(sent + number)]));
    east.actor::<Quick>("here").ask(Script::new(sends.collect::<Vec<_>>())).await.unwrap();
    settled_owed(&east).await;

    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(tokio::spawn(send_until_taken(slow.clone(), 1000)));
    }
    probe.open(GATE);
    for waiting in waiting {
        soon("there is room", waiting).await.unwrap();
    }
    settled(&[&east, &west]).await;
    let expected = (1..=sent + 30).chain([1000; 5]).collect::<Vec<_>>();
    assert_eq!(read(&slow).await.entries, expected);
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_waits_at_a_full_mailbox_elsewhere_goes_to_the_outbox_when_the_link_breaks() {
    let net = net(|config| {
        config.mailbox_messages_max = MESSAGES_MAX;
        config.send_timeout = everpost_tests::wait::DEADLINE * 2;
        config.stop_timeout = Duration::from_millis(10);
    });
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    fill(&east, &west, &probe).await;
    let slow = east.actor::<Worker>("slow");
    let mut waiting = std::pin::pin!(slow.send(append(99)).into_future());
    let waits = tokio::time::timeout(SEND_TIMEOUT, waiting.as_mut()).await;
    assert!(waits.is_err(), "{waits:?}");
    // Its handler is cut off, which is no matter here.
    let _ = soon("it stops", west.stop()).await;
    soon("the outbox takes it", waiting).await.unwrap();
    stop([east]).await;
}

async fn send_until_taken(actor: ActorHandle<Worker>, number: u32) {
    while let Err(error) = actor.send(append(number)).await {
        let full = matches!(&error, SendError::NotAccepted { reason: Refusal::MailboxFull, .. });
        assert!(full, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_is_full_when_the_link_begins_lets_senders_go_on_when_it_has_room() {
    let net = net(|config| config.mailbox_messages_max = MESSAGES_MAX);
    let probe = Probe::new();
    let (mut east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    let mut sent = fill(&east, &west, &probe).await;
    // A sender that is restarted does not know that it is full, and is told again by the first message.
    stop([east]).await;
    east = net.start("east", &probe).await;
    linked(&[&east, &west]).await;
    let slow = east.actor::<Worker>("slow");
    soon("it is full again", async {
        while slow.send(append(sent + 1)).try_submit().is_ok() {
            sent += 1;
            settled_owed(&east).await;
        }
    })
    .await;
    let waiting = tokio::spawn(send_until_taken(slow.clone(), sent + 1));
    probe.open(GATE);
    soon("there is room", waiting).await.unwrap();
    settled(&[&east, &west]).await;
    assert_eq!(read(&slow).await.entries, (1..=sent + 1).collect::<Vec<_>>());
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_actors_on_two_nodes_that_send_to_each_other_at_their_bounds_go_on() {
    let net = net(|config| {
        config.mailbox_messages_max = MESSAGES_MAX;
        config.outbox_messages_max = MESSAGES_MAX;
    });
    let probe = Probe::new();
    let nodes = net.start_all(&probe).await;
    linked(&[&nodes[0], &nodes[1]]).await;
    // Each turn sends more to the other than its mailbox, or the outbox on the way, may hold.
    let sends = |to: &everpost_tests::worker::Target| {
        let many = (0..2 * MESSAGES_MAX as u32).map(|_| Step::Send(to.clone(), vec![Step::Append(1)]));
        Script::new([Step::Reach(GATE), Step::Wait(GATE)].into_iter().chain(many).collect::<Vec<_>>())
    };
    for _ in 0..MESSAGES_MAX {
        nodes[0].actor::<Quick>("a").send(sends(&worker("b"))).await.unwrap();
        nodes[1].actor::<Worker>("b").send(sends(&quick("a"))).await.unwrap();
    }
    probe.wait_for("both are at work", |seen| seen.times(GATE) >= 2).await;
    probe.open(GATE);
    settled(&[&nodes[0], &nodes[1]]).await;
    assert_eq!(read(&nodes[0].actor::<Quick>("a")).await.entries.len(), 2 * MESSAGES_MAX * MESSAGES_MAX);
    assert_eq!(read(&nodes[0].actor::<Worker>("b")).await.entries.len(), 2 * MESSAGES_MAX * MESSAGES_MAX);
    stop(nodes).await;
}
