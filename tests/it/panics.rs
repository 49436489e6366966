//! A task of the node that panics ends the node, which says so, or is started anew: nothing hangs. What panics here is
//! the log of the program, which every task calls, in the middle of what the task does; `services.rs` has all services,
//! cut off where they wait.

use std::time::Duration;

use everpost::{Expiry, Node, NodeConfig, NodeEnded, StopError, WhenFull};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::Puppet;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers_named};

/// A node that is given something to do, of which a task panics.
struct Fall {
    node: Node,
    folder: tempfile::TempDir,
}

impl Fall {
    async fn new(name: &str, event: &str, times: u32, config: NodeConfig) -> Self {
        logs::plant(name, event, times);
        let folder = everpost_tests::folder();
        let node = workers_named(name, folder.path(), &Probe::new()).config(config).start().await.unwrap();
        Self { node, folder }
    }

    fn worker(&self, key: &str) -> everpost::ActorHandle<Worker> {
        self.node.actor::<Worker>(key)
    }

    /// The node has ended, and everybody is told of which task.
    async fn ended_by(self, task: &str) {
        let Self { node, folder } = self;
        let failed = soon("it fails", node.failed()).await;
        assert!(
            matches!(&failed, NodeEnded::Panicked { task: told, panic, .. } if told == task && panic.contains("told \
             to")),
            "{failed}"
        );
        soon("a send ends", node.actor::<Worker>("late").send(Script::new([])).into_future()).await.unwrap_err();
        let _ = soon("whoever waits for it to drain is told", node.drained()).await;
        let stopped = soon("a stop ends", node.stop()).await.unwrap_err();
        assert!(matches!(&stopped, StopError::Panicked { task: told, .. } if told == task), "{stopped}");
        // Its store is free, and goes on.
        let node = workers_named("again", folder.path(), &Probe::new())
            .config(everpost_tests::config())
            .start()
            .await
            .unwrap();
        soon("it drains", node.drained()).await.unwrap();
        soon("it stops", node.stop()).await.unwrap();
    }
}

/// The gate used to be gone without a word: nothing was ever acknowledged again.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_panics_ends_the_node_and_tells_everybody() {
    let fall = Fall::new("panics-gate", "committed", u32::MAX, everpost_tests::config()).await;
    let sending = async {
        let mut number = 0_u32;
        while fall.worker(&number.to_string()).send(Script::new([Step::Append(1)])).await.is_ok() {
            number += 1;
        }
    };
    soon("a send is refused", sending).await;
    fall.ended_by("gate").await;
}

/// The supervisor had counted on it, and started no other activation.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_turn_whose_end_panics_ends_the_node_instead_of_hanging_its_actor() {
    let fall = Fall::new("panics-failure", "handler failed", u32::MAX, everpost_tests::config()).await;
    fall.worker("one").send(Script::new([Step::FailUpTo(1)])).await.unwrap();
    fall.ended_by("the failure of an activation").await;
}

/// It takes many out of its index, and panics of the first of them: the others are looked at again.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_of_one_expired_message_is_started_anew_and_sees_to_all_others() {
    const MESSAGES: usize = 50;
    let name = "panics-expiry";
    let Fall { node, folder } = Fall::new(name, "expired message kept", 1, everpost_tests::config()).await;
    let one = node.actor::<Worker>("one");
    one.pause("so that they expire").await.unwrap();
    for _ in 0..MESSAGES {
        let post = one.send(Script::new([])).expires_in(Duration::from_millis(100)).when_expired(Expiry::DeadLetter);
        soon("it is taken", post.into_future()).await.unwrap();
    }
    eventually("all are dead letters", || node.dead_letters().count() == MESSAGES).await;
    logs::line(name, "task restarted", "expiry").await;
    one.resume().await.unwrap();
    assert_eq!(one.ask(Script::new([Step::Append(1)])).await.unwrap(), [1]);
    soon("it stops", node.stop()).await.unwrap();
    drop(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_watches_the_node_and_always_panics_ends_the_node() {
    let config =
        NodeConfig { dead_letters_max: 1, dead_letters_when_full: WhenFull::HoldBack, ..everpost_tests::config() };
    let fall = Fall::new("panics-watch", "dead letters full", u32::MAX, config).await;
    for _ in 0..2 {
        fall.worker("one").send(Script::new([Step::Reject])).await.unwrap();
    }
    fall.ended_by("watch").await;
}

/// The caller used to be told that the runtime had gone, after a panic of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_panics_ends_and_says_so() {
    let fall = Fall::new("panics-stop", "stopped", u32::MAX, everpost_tests::config()).await;
    fall.worker("one").send(Script::new([Step::Append(1)])).await.unwrap();
    let stopped = soon("it ends", fall.node.stop()).await.unwrap_err();
    assert!(matches!(&stopped, StopError::Panicked { task, .. } if task == "stop"), "{stopped}");
    let node = workers_named("again", fall.folder.path(), &Probe::new())
        .config(everpost_tests::config())
        .start()
        .await
        .unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_panics_is_started_anew_and_so_is_the_door() {
    let (east, north, west) = ("panics-east", "panics-north", "panics-west");
    logs::plant(west, "link up", 1);
    logs::plant(west, "connection refused", 1);
    let net = Net::new(&[east, north, west]);
    let probe = Probe::new();
    let (dialing, dialed) = (net.start(east, &probe).await, net.start(west, &probe).await);
    logs::line(west, "link failed", "told to panic").await;
    linked(&[&dialing, &dialed]).await;
    // Of the door a stranger makes a panic: its certificate is good for nobody here.
    let mallory = net.authority.issue("mallory", |_| {});
    let elsewhere = net.seat(north).elsewhere(&net.seat(north).folder);
    let stranger = Puppet::new(&elsewhere, &[mallory.certificate, mallory.key, mallory.authority]);
    let refused = soon("it is refused", stranger.dial(west, net.seat(west).listen)).await;
    assert!(refused.is_err());
    drop(stranger);
    // Who comes after it is let in.
    let late = net.start(north, &probe).await;
    linked(&[&dialing, &dialed, &late]).await;
    stop([dialing, dialed, late]).await;
}

/// It used to be gone without a word, and every link that failed later stayed down.
#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_of_links_that_panics_ends_the_node() {
    let (east, west) = ("panics-above-east", "panics-above-west");
    logs::plant(west, "link up", u32::MAX);
    logs::plant(west, "link failed", u32::MAX);
    let net = Net::new(&[east, west]);
    let probe = Probe::new();
    let (dialing, dialed) = (net.start(east, &probe).await, net.start(west, &probe).await);
    let failed = soon("it fails", dialed.failed()).await;
    assert!(matches!(&failed, NodeEnded::Panicked { task, .. } if task == "supervisor of the links"), "{failed}");
    soon("a stop ends", dialed.stop()).await.unwrap_err();
    eventually("its peer sees that", || !dialing.is_linked_to(west)).await;
    stop([dialing]).await;
}
