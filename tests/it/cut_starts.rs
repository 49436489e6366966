//! A start whose caller has gone leaves nothing behind.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use everpost::{Node, NodeBuilder, StartError};
use everpost_tests::cancel::{Cut, run_until};
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker, read, workers};

/// Drops a start after so many milliseconds; the node, if it was done before. Time is what is under test: nobody else
/// says how far a start is. It is looked at once a millisecond and woken by nothing, so that it may also be dropped
/// when it is done.
async fn cut_off(builder: NodeBuilder, millis: u64) -> Option<Result<Node, StartError>> {
    let mut start = pin!(builder.start());
    for _ in 0..=millis {
        match start.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(started) => return Some(started),
            Poll::Pending => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    None
}

/// A start that was dropped used to keep the store locked for as long as the process lived.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_dropped_leaves_its_store_free_and_as_it_was() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let builder = || workers(folder.path(), &probe);
    let node = builder().start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.pause("until all is seen").await.unwrap();
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    node.stop().await.unwrap();
    let check = async || {
        let node = soon("the store is free again", builder().start()).await.unwrap();
        assert_eq!(node.statistics().waiting, 1);
        node.stop().await.unwrap();
    };
    // The first poll sets it off; it was done, and nobody takes it; and anything in between.
    for cut in [Cut::AtOnce(1), Cut::WhenWoken(1)] {
        assert!(run_until(cut, builder().start()).await.is_none(), "NodeBuilder::start");
        check().await;
    }
    for millis in (0..).map(|round| 1 << round) {
        let started = cut_off(builder(), millis).await;
        let is_done = started.is_some();
        if let Some(node) = started {
            node.unwrap().stop().await.unwrap();
        }
        check().await;
        if is_done {
            break;
        }
    }
    let node = builder().start().await.unwrap();
    node.actor::<Worker>("one").resume().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    node.stop().await.unwrap();
}

/// The socket, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_dropped_leaves_its_address_free() {
    let net = Net::new(&["east", "west"]);
    let probe = Probe::new();
    let builder = || net.seat("east").builder(&probe);
    for millis in [0, 4, 16, 64, 256] {
        if let Some(node) = cut_off(builder(), millis).await {
            node.unwrap().stop().await.unwrap();
        }
        let node = soon("store and address are free", builder().start()).await.unwrap();
        node.stop().await.unwrap();
    }
}
