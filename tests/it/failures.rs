//! Panics and errors in front of a long queue: nothing is lost, and the order is kept.

use everpost::{Actor, Handler, Node, QueryHandler};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Read, Script, Step, Worker, workers};

const MESSAGES: u32 = 10_000;

/// Sends 10,000 messages, of which `fault` ends some attempts, while the first holds all others back.
async fn check<A: Handler<Script> + QueryHandler<Read> + Actor>(fault: impl Fn(u32) -> Option<Step>) {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<A>("one");
    let mut last = actor.send(Script::new([Step::Reach(0), Step::Wait(0)])).submit().await.unwrap();
    for number in 1..=MESSAGES {
        // The state is changed first, so that what a failed attempt leaves behind would be counted.
        let steps = [Some(Step::Count(number)), fault(number)].into_iter().flatten().collect::<Vec<_>>();
        last = actor.send(Script::new(steps)).submit().await.unwrap();
    }
    last.accepted().await.unwrap();
    probe.reached(0, 1).await;
    assert_eq!(node.statistics().waiting, MESSAGES as usize + 1, "all are queued before the first ends");
    probe.open(0);
    soon("10,000 messages are handled", node.drained()).await.unwrap();
    let expected = (1..=MESSAGES).filter(|number| fault(*number).is_some()).count() as u64;
    assert_eq!(node.statistics().failed, expected);
    assert_order(&node, &actor.query(Read).await.unwrap()).await;
    node.stop().await.unwrap();
}

async fn assert_order(node: &Node, log: &everpost_tests::worker::Log) {
    assert_eq!((log.count, log.last, log.jumps), (u64::from(MESSAGES), MESSAGES, 0));
    assert!(node.dead_letters().list().await.unwrap().is_empty());
}

fn panics(number: u32) -> Option<Step> {
    (number % 200 == 1).then_some(Step::PanicUpTo(1))
}

fn errors(number: u32) -> Option<Step> {
    (number % 200 == 1).then_some(Step::FailUpTo(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_before_10_000_messages_lose_none_and_keep_the_order() {
    check::<Worker>(panics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_before_10_000_pipelined_messages_lose_none_and_keep_the_order() {
    check::<Quick>(panics).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_before_10_000_messages_lose_none_and_keep_the_order() {
    check::<Worker>(errors).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_before_10_000_pipelined_messages_lose_none_and_keep_the_order() {
    check::<Quick>(errors).await;
}
