//! Attempts, backoff and dead letters.

use std::time::Duration;

use everpost::{Actor, Backoff, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, Reason, Turn};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, worker, workers};
use serde::{Deserialize, Serialize};

fn config(attempts_max: u32) -> NodeConfig {
    NodeConfig { attempts_max, ..everpost_tests::config() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_always_fails_is_given_up_on_with_all_that_is_known() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(config(4)).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let wrong = [Step::Append(99), Step::Note, Step::Send(worker("other"), vec![Step::Append(99)])];
    let cases = [
        (Step::FailUpTo(99), "told to fail"),
        (Step::PanicUpTo(99), "told to panic"),
        (Step::RetryAfter(99, 1), "told to wait"),
    ];
    let mut sent = Vec::new();
    for (number, (failure, _)) in cases.iter().enumerate() {
        let steps = wrong.iter().cloned().chain([failure.clone()]).collect::<Vec<_>>();
        sent.push(actor.send(Script::new(steps)).await.unwrap());
        actor.send(Script::new([Step::Append(number as u32)])).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), sent, "in the order of sending");
    for (letter, (_, why)) in letters.iter().zip(&cases) {
        assert_eq!((letter.reason, letter.attempts, letter.errors.len()), (Reason::AttemptsSpent, 4, 4));
        assert!(letter.errors.iter().all(|error| error.contains(why)), "{why}: {:?}", letter.errors);
        assert_eq!((letter.address.as_str(), &*letter.message, letter.trace), ("worker/one", "script", letter.id));
        assert!(letter.sent_at <= letter.died_at);
        assert_eq!(postcard::from_bytes::<Script>(&letter.payload).unwrap().steps[0], Step::Append(99));
    }
    // Attempts are counted, and none of them left anything behind.
    let attempts: Vec<u32> = probe.seen().notes.iter().map(|note| note.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
    assert_eq!(read(&actor).await.entries, [0, 1, 2]);
    assert!(read(&node.actor::<Worker>("other")).await.entries.is_empty());
    assert_eq!((node.statistics().failed, node.statistics().dead_lettered), (12, 3));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_message_is_not_tried_again() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let steps = [Step::Append(99), Step::Send(worker("other"), vec![Step::Append(99)]), Step::Reject];
    actor.send(Script::new(steps)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason, letters[0].attempts), (1, Reason::Rejected, 1));
    assert_eq!(letters[0].errors, ["told to reject"]);
    assert_eq!(read(&actor).await, everpost_tests::worker::Log::default());
    assert!(read(&node.actor::<Worker>("other")).await.entries.is_empty());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_and_dead_letters_survive_a_restart() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(config(3)).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Reject])).await.unwrap();
    actor.send(Script::new([Step::Note, Step::RetryAfter(1, 3_600_000), Step::FailUpTo(99)])).await.unwrap();
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    probe.wait_for("the first attempt", |seen| seen.notes.len() == 1).await;
    eventually("it waits for an hour", || node.statistics().failed >= 2).await;
    node.stop().await.unwrap();
    assert_eq!(node.statistics().waiting, 2, "the failed message holds back the one behind it");
    let before = probe.seen().notes.len();

    // The wait is kept over the restart: another actor works meanwhile, this one does not.
    let node = workers(folder.path(), &probe).config(config(3)).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 2);
    node.actor::<Worker>("two").ask(Script::new([Step::Append(1)])).await.unwrap();
    assert_eq!(probe.seen().notes.len(), before);
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason), (1, Reason::Rejected));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_counted_on_after_a_restart() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(config(4)).start().await.unwrap();
    // The second attempt is held at a gate until the stop has begun.
    let steps = [Step::Note, Step::FailUpTo(1), Step::Reach(0), Step::Wait(0), Step::FailUpTo(99)];
    node.actor::<Worker>("one").send(Script::new(steps)).await.unwrap();
    probe.reached(0, 1).await;
    let stopping = tokio::spawn({
        let node = node.clone();
        async move { node.stop().await }
    });
    let other = node.actor::<Worker>("other");
    eventually("the stop begins", || other.send(Script::new([])).try_submit().is_err()).await;
    probe.open(0);
    soon("the stop ends", stopping).await.unwrap().unwrap();
    let probe = Probe::new();
    probe.open(0);
    let node = workers(folder.path(), &probe).config(config(4)).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].attempts, letters[0].errors.len()), (1, 4, 4));
    assert_eq!(probe.seen().notes.first().unwrap().attempt, 3, "two failed before the restart");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_message_holds_back_its_own_mailbox_and_no_other() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let backoff = Backoff { first: Duration::from_secs(3600), cap: Duration::from_secs(3600) };
    let node = workers(folder.path(), &probe).config(NodeConfig { backoff, ..config(8) }).start().await.unwrap();
    let actor = node.actor::<Worker>("stuck");
    actor.send(Script::new([Step::FailUpTo(1)])).await.unwrap();
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    eventually("it fails", || node.statistics().failed > 0).await;
    for number in 0..50 {
        node.actor::<Worker>(&number.to_string()).ask(Script::new([Step::Append(1)])).await.unwrap();
    }
    assert!(read(&actor).await.entries.is_empty(), "the order is kept");
    assert_eq!(node.statistics().waiting, 2);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_before_the_next_attempt_is_at_least_what_the_failure_says() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let wait = Duration::from_millis(300);
    let started = tokio::time::Instant::now();
    let steps = [Step::Note, Step::RetryAfter(1, 300), Step::Append(1)];
    soon("it ends", async { node.actor::<Worker>("one").ask(Script::new(steps)).await }).await.unwrap();
    assert!(started.elapsed() >= wait, "it was tried again after {:?}", started.elapsed());
    assert_eq!(probe.seen().notes.len(), 2);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_errors_is_kept_outermost_first() {
    #[derive(Debug)]
    struct Flaky;
    #[derive(Debug, Serialize, Deserialize, Message)]
    struct Go;
    #[derive(Debug, PartialEq)]
    struct Cause(Option<Box<Self>>, &'static str);
    impl std::fmt::Display for Cause {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.1)
        }
    }
    impl std::error::Error for Cause {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            self.0.as_deref().map(|cause| cause as _)
        }
    }
    impl Actor for Flaky {
        const TYPE: &'static str = "flaky";
        type State = u8;

        fn handlers(handlers: &mut Handlers<Self>) {
            handlers.on::<Go>();
        }
    }
    impl Handler<Go> for Flaky {
        async fn handle(&self, _: &mut Durable<u8>, Go: Go, _: &mut Turn<'_>) -> Result<(), Failure> {
            let inner = Cause(None, "no route to host");
            Err(Cause(Some(Box::new(inner)), "the bank did not answer"))?;
            Ok(())
        }
    }
    let folder = everpost_tests::folder();
    let node = Node::builder("node", folder.path()).actor(Flaky).config(config(1)).start().await.unwrap();
    node.actor::<Flaky>("one").send(Go).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.dead_letters().list().await.unwrap()[0].errors, ["the bank did not answer: no route to host"]);
    node.stop().await.unwrap();
}
