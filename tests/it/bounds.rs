//! Full mailboxes hold back those outside, and never a turn; a send that is dropped half-way leaves no hole.

use std::future::Future;
use std::task::{Context, Poll, Waker};

use everpost::{Node, NodeConfig, Refusal, SendError};
use everpost_tests::probe::Probe;
use everpost_tests::seeds::seeds;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Script, Step, Worker, quick, read, worker, workers};

const MESSAGES_MAX: usize = 8;
const GATE: u32 = 0;

async fn small(folder: &std::path::Path, probe: &std::sync::Arc<Probe>) -> Node {
    let config = NodeConfig { mailbox_messages_max: MESSAGES_MAX, ..everpost_tests::config() };
    workers(folder, probe).config(config).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_actors_that_send_to_each_others_full_mailbox_go_on() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = small(folder.path(), &probe).await;
    let pairs = [("worker", worker("a"), worker("b")), ("quick", quick("a"), quick("b"))];
    for (kind, a, b) in pairs {
        // Each turn sends more to the other than its mailbox may hold, while that one is full, too.
        let sends = |to: &everpost_tests::worker::Target| {
            let many = (0..2 * MESSAGES_MAX as u32).map(|_| Step::Send(to.clone(), vec![Step::Append(1)]));
            [Step::Reach(GATE), Step::Wait(GATE)].into_iter().chain(many).collect::<Vec<_>>()
        };
        for _ in 0..MESSAGES_MAX {
            if kind == "worker" {
                node.actor::<Worker>("a").send(Script::new(sends(&b))).await.unwrap();
                node.actor::<Worker>("b").send(Script::new(sends(&a))).await.unwrap();
            } else {
                node.actor::<Quick>("a").send(Script::new(sends(&b))).await.unwrap();
                node.actor::<Quick>("b").send(Script::new(sends(&a))).await.unwrap();
            }
        }
        probe.wait_for("both are at work", |seen| seen.times(GATE) >= 2).await;
        probe.open(GATE);
        soon("both go on", node.drained()).await.unwrap();
        for key in ["a", "b"] {
            let log = if kind == "worker" {
                read(&node.actor::<Worker>(key)).await
            } else {
                read(&node.actor::<Quick>(key)).await
            };
            assert_eq!(log.entries.len(), 2 * MESSAGES_MAX * MESSAGES_MAX, "{kind} {key}");
        }
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_from_outside_waits_at_a_full_mailbox_and_then_goes_through() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = small(folder.path(), &probe).await;
    let actor = node.actor::<Worker>("slow");
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    for number in 1..MESSAGES_MAX as u32 {
        actor.send(Script::new([Step::Append(number)])).await.unwrap();
    }
    let refused = actor.send(Script::new([Step::Append(99)])).try_submit().unwrap_err();
    let full = matches!(&refused, SendError::NotAccepted { reason: Refusal::MailboxFull, .. });
    assert!(full, "{refused:?}");
    let back = refused.into_message().expect("it is handed back");
    assert_eq!(back.steps, [Step::Append(99)]);

    let mut waiting = Box::pin(actor.send(Script::new([Step::Append(8)])).into_future());
    assert!(poll_once(waiting.as_mut()).is_pending());
    probe.open(GATE);
    soon("there is room", waiting).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, (1..=MESSAGES_MAX as u32).collect::<Vec<_>>());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_one_of_many_waiting_senders_gets_its_turn() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = small(folder.path(), &probe).await;
    let senders: Vec<_> = (0..40)
        .map(|_| {
            let actor = node.actor::<Worker>("popular");
            tokio::spawn(async move {
                for _ in 0..25 {
                    actor.send(Script::new([Step::Append(1)])).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        soon("no sender is parked for ever", sender).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("popular")).await.entries.len(), 1000);
    node.stop().await.unwrap();
}

/// A send that is dropped has happened or has not; whatever is behind it is handled, in order, without a wait for what
/// never comes.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_sends_leave_no_hole() {
    for seed in seeds("bounds::cancelled_sends_leave_no_hole", 5) {
        let folder = everpost_tests::folder();
        let probe = Probe::new();
        let node = small(folder.path(), &probe).await;
        let mut random = seed.random();
        let actor = node.actor::<Worker>("target");
        let (mut accepted, mut cancelled) = (Vec::new(), 0);
        for number in 0..400 {
            let mut send = Box::pin(actor.send(Script::new([Step::Append(number)])).into_future());
            let polls = random.below(4);
            let ended = loop_polls(send.as_mut(), polls).await;
            match ended {
                Some(sent) => accepted.push((number, sent.unwrap())),
                None if random.once_in(2) => {
                    drop(send);
                    cancelled += 1;
                }
                None => accepted.push((number, soon("a send ends", send).await.unwrap())),
            }
        }
        soon("nothing waits for a cancelled send", node.drained()).await.unwrap();
        let entries = read(&actor).await.entries;
        assert!(entries.windows(2).all(|pair| pair[0] < pair[1]), "in order, once: {entries:?}");
        assert!(accepted.iter().all(|(number, _)| entries.binary_search(number).is_ok()), "accepted means kept");
        assert!(entries.len() <= accepted.len() + cancelled);
        assert!(cancelled > 20, "only {cancelled} were cancelled");
        let found = node.statistics();
        assert_eq!((found.handled, found.waiting, found.failed), (entries.len() as u64, 0, 0));
        node.stop().await.unwrap();
    }
}

async fn loop_polls<F: Future + Unpin>(mut future: F, polls: u64) -> Option<F::Output> {
    for _ in 0..polls {
        if let Poll::Ready(output) = poll_once(std::pin::Pin::new(&mut future)) {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

fn poll_once<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_senders_wait_for_stays_the_one_they_wait_for() {
    // Senders come and go while the sweep retires what is empty: nobody is left at a mailbox that is gone.
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let idle_after = std::time::Duration::from_millis(1);
    let config = NodeConfig { mailbox_messages_max: 1, idle_after, activations_max: 1, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let node = node.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    let key = ((sender + number) % 3).to_string();
                    node.actor::<Quick>(&key).send(Script::new([Step::Append(1)])).await.unwrap();
                }
            })
        })
        .collect();
    for sender in senders {
        soon("no sender is parked for ever", sender).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    let mut entries = 0;
    for key in ["0", "1", "2"] {
        entries += read(&node.actor::<Quick>(key)).await.entries.len();
    }
    assert_eq!(entries, 400);
    eventually("mailboxes leave memory", || node.statistics().mailboxes == 0).await;
    node.stop().await.unwrap();
}
