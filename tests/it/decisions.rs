//! Decisions on dead letters that are dropped half-way freed the letter before its removal was durable: it was sent
//! twice, and the count of letters wrapped, so that nothing was given up on any more.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use everpost::{
    Actor, DeadLetter, DeadLetterError, DeadLetters, Durable, Failure, Handler, Handlers, Message, Node, Sequence, Turn,
};
use everpost_tests::wait::soon;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(name = "charge")]
struct Charge(u32);

#[derive(Default)]
struct Till {
    broken: Arc<AtomicBool>,
    charged: Arc<AtomicUsize>,
}

impl Actor for Till {
    const TYPE: &'static str = "till";
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Charge>();
    }
}

impl Handler<Charge> for Till {
    async fn handle(&self, _: &mut Durable<()>, _: Charge, _: &mut Turn<'_>) -> Result<(), Failure> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Failure::reject("the till is broken"));
        }
        self.charged.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Polls a decision so often, and drops it. What it said, if it was done before.
async fn drop_after<T>(polls: usize, decision: impl Future<Output = T>) -> Option<T> {
    let mut decision = Box::pin(decision);
    let mut polled = 0;
    poll_fn(|context| match decision.as_mut().poll(context) {
        Poll::Ready(decided) => Poll::Ready(Some(decided)),
        Poll::Pending if polled + 1 >= polls => Poll::Ready(None),
        Poll::Pending => {
            polled += 1;
            Poll::Pending
        }
    })
    .await
}

/// Drops a decision on each of many letters at one of its polls and makes it again, which must be the same as one
/// decision.
async fn decide_twice<T>(decide: impl AsyncFn(DeadLetters, Sequence) -> Result<T, DeadLetterError>, charges: bool) {
    const LETTERS: u32 = 200;
    let folder = everpost_tests::folder();
    let till = Till::default();
    let (broken, charged) = (Arc::clone(&till.broken), Arc::clone(&till.charged));
    broken.store(true, Ordering::Relaxed);
    let node = Node::builder("node", folder.path()).actor(till).config(everpost_tests::config()).start().await.unwrap();
    for number in 0..LETTERS {
        drop(node.actor::<Till>("one").send(Charge(number)).submit().await.unwrap());
    }
    soon("all are given up on", node.drained()).await.unwrap();
    broken.store(false, Ordering::Relaxed);
    let letters = node.dead_letters();
    let (mut dropped, mut made_before) = (0, 0);
    for (number, DeadLetter { sequence, .. }) in letters.list().await.unwrap().into_iter().enumerate() {
        if drop_after(1 + number % 5, decide(letters.clone(), sequence)).await.is_none() {
            dropped += 1;
            match soon("it is decided", decide(letters.clone(), sequence)).await {
                Ok(_) => {}
                Err(DeadLetterError::NotThere(_)) => made_before += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    soon("it drains", node.drained()).await.unwrap();
    let count = if charges { LETTERS as usize } else { 0 };
    assert_eq!(charged.load(Ordering::Relaxed), count, "{dropped} dropped, {made_before} of them were made before");
    assert!(dropped > 0 && made_before > 0, "{dropped} dropped, {made_before} of them were made before");
    assert_eq!((letters.count(), letters.list().await.unwrap().len()), (0, 0));
    // What comes now can still be given up on.
    broken.store(true, Ordering::Relaxed);
    node.actor::<Till>("two").send(Charge(0)).await.unwrap();
    soon("it is given up on", node.drained()).await.unwrap();
    assert_eq!((letters.count(), letters.list().await.unwrap().len()), (1, 1));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_dropped_at_any_poll_and_made_again_counts_once() {
    decide_twice(async |letters, sequence| letters.replay(sequence).await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_is_dropped_at_any_poll_and_made_again_counts_once() {
    decide_twice(async |letters, sequence| letters.edit(sequence, &Charge(1)).await, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_whose_drop_is_dropped_at_any_poll_and_made_again_is_gone_once() {
    decide_twice(async |letters, sequence| letters.delete(sequence).await, false).await;
}
