//! Every service of a node that panics is told of with what it means, and is started anew, and then does its work; or
//! it ends the node, which says so. A service is cut off where it waits, by the line that it writes before it runs on;
//! what it panics of in the middle of its work is in `panics.rs`.

use std::fs;
use std::time::Duration;

use everpost::{Child, Expiry, Group, Node, NodeConfig, NodeEnded, Schedule, StopError, WhenFull};
use everpost_tests::logs;
use everpost_tests::net::{Net, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers_named};
use tokio::task::JoinSet;

const GATE: u32 = 0;
const BEGUN: u32 = 1;

/// A node that runs, and of which a service is to panic.
struct Fall {
    name: &'static str,
    node: Node,
    folder: tempfile::TempDir,
    probe: std::sync::Arc<Probe>,
}

impl Fall {
    async fn new(name: &'static str, config: NodeConfig) -> Self {
        logs::keep();
        let (folder, probe) = (everpost_tests::folder(), Probe::new());
        let node = workers_named(name, folder.path(), &probe).config(config).start().await.unwrap();
        node.actor::<Worker>("kept").send(Script::new([Step::Append(1)])).await.unwrap();
        Self { name, node, folder, probe }
    }

    fn worker(&self, key: &str) -> everpost::ActorHandle<Worker> {
        self.node.actor::<Worker>(key)
    }

    /// The service panics when it runs on; which it may do by itself, or because of what the test does next.
    fn of(self, service: &str) -> Self {
        logs::plant_task(self.name, service, 1);
        self
    }

    /// It was told of, and the node goes on.
    async fn goes_on(self, service: &str, means: &str) {
        restarted(self.name, service, means).await;
        assert_eq!(self.worker("last").ask(Script::new([Step::Append(7)])).await.unwrap(), [7]);
        soon("it stops", self.node.stop()).await.unwrap();
    }

    /// The node has ended, with which service and what that means, and its store is whole.
    async fn ends(self, service: &str, means: &str) {
        let failed = soon("it fails", self.node.failed()).await;
        assert!(
            matches!(&failed, NodeEnded::Panicked { task, means: told, .. } if task == service && told.contains(means)),
            "{failed}"
        );
        let line = logs::line(self.name, "task panicked", service).await;
        assert_eq!(line.level, tracing::Level::ERROR);
        assert!(line.field("means").contains(means), "{}", line.text());
        soon("a send is refused", self.worker("late").send(Script::new([])).into_future()).await.unwrap_err();
        let stopped = soon("a stop ends", self.node.stop()).await.unwrap_err();
        assert!(matches!(&stopped, StopError::Panicked { task, .. } if task == service), "{stopped}");
        let node = workers_named("services-again", self.folder.path(), &self.probe);
        let node = node.config(everpost_tests::config()).start().await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        assert_eq!(read(&node.actor::<Worker>("kept")).await.entries, [1], "what was acknowledged is kept");
        soon("it stops", node.stop()).await.unwrap();
    }
}

async fn restarted(node: &str, service: &str, means: &str) {
    let line = logs::line(node, "task restarted", service).await;
    assert_eq!(line.level, tracing::Level::ERROR);
    assert!(line.field("means").contains(means) && line.field("panic").contains("told to"), "{}", line.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_although_the_timers_have_panicked() {
    let fall = Fall::new("services-timers", everpost_tests::config()).await.of("timers");
    let worker = fall.worker("one");
    worker.schedule(Script::new([Step::Append(1)]), Schedule::after(Duration::from_millis(1))).await.unwrap();
    eventually("it fires", || fall.node.statistics().timers == 0).await;
    soon("it drains", fall.node.drained()).await.unwrap();
    assert_eq!(read(&worker).await.entries, [1]);
    fall.goes_on("timers", "no timer fires").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_expires_although_the_expiry_has_panicked() {
    let fall = Fall::new("services-expiry", everpost_tests::config()).await.of("expiry");
    let worker = fall.worker("one");
    worker.pause("so that it expires").await.unwrap();
    let post = worker.send(Script::new([])).expires_in(Duration::from_millis(1)).when_expired(Expiry::Drop);
    soon("it is taken", post.into_future()).await.unwrap();
    eventually("it expires", || fall.node.statistics().expired == 1).await;
    fall.goes_on("expiry", "expire").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_idle_leaves_memory_although_the_sweeper_has_panicked() {
    let config = NodeConfig { idle_after: Duration::from_millis(20), ..everpost_tests::config() };
    let fall = Fall::new("services-sweeper", config).await;
    fall.worker("one").ask(Script::new([])).await.unwrap();
    let fall = fall.of("sweeper");
    restarted(fall.name, "sweeper", "idle").await;
    fall.worker("two").ask(Script::new([])).await.unwrap();
    let is_empty = || (fall.node.statistics().activations, fall.node.statistics().mailboxes) == (0, 0);
    eventually("it leaves memory", is_empty).await;
    fall.goes_on("sweeper", "idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_in_time_although_the_retention_has_panicked() {
    let config = NodeConfig { dead_letter_retention: Duration::from_millis(1), ..everpost_tests::config() };
    let fall = Fall::new("services-retention", config).await.of("retention");
    restarted(fall.name, "retention", "dead letters").await;
    fall.worker("one").send(Script::new([Step::Reject])).await.unwrap();
    eventually("it is given up on, and dropped", || fall.node.statistics().dead_letters_dropped == 1).await;
    fall.goes_on("retention", "dead letters").await;
}

/// Nobody else lets anybody in while nobody leaves.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_place_gets_one_although_the_activations_have_panicked() {
    let config = NodeConfig { activations_max: 1, idle_after: Duration::MAX, ..everpost_tests::config() };
    let fall = Fall::new("services-activations", config).await;
    let first = fall.worker("one").send(Script::new([Step::Reach(BEGUN), Step::Wait(GATE)])).submit().await.unwrap();
    fall.probe.reached(BEGUN, 1).await;
    let fall = fall.of("activations");
    assert_eq!(
        soon("more are let in", fall.worker("two").ask(Script::new([Step::Append(1)])).into_future()).await.unwrap(),
        [1]
    );
    fall.probe.open(GATE);
    soon("it is handled", first.processed()).await.unwrap();
    fall.goes_on("activations", "activations_max").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trouble_of_the_node_is_told_although_the_watch_has_panicked() {
    let config =
        NodeConfig { dead_letters_max: 1, dead_letters_when_full: WhenFull::HoldBack, ..everpost_tests::config() };
    let fall = Fall::new("services-watch", config).await.of("watch");
    restarted(fall.name, "watch", "dead letters").await;
    for _ in 0..2 {
        fall.worker("one").send(Script::new([Step::Reject])).await.unwrap();
    }
    logs::line(fall.name, "dead letters full", "").await;
    fall.goes_on("watch", "dead letters").await;
}

/// What they would do takes a minute; they are seen to run on, and to panic of that again.
#[tokio::test(flavor = "multi_thread")]
async fn the_clocks_are_looked_at_again_after_a_panic() {
    let fall = Fall::new("services-clocks", everpost_tests::config()).await;
    for restarts in 1..=3 {
        logs::plant_task(fall.name, "clocks", 1);
        let told = || logs::lines(fall.name, "task restarted").len() == restarts;
        eventually("it is started anew", told).await;
    }
    fall.goes_on("clocks", "wall clock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_blocks_is_told_although_the_watchdog_has_panicked() {
    let fall = Fall::new("services-watchdog", everpost_tests::config()).await.of("watchdog");
    restarted(fall.name, "watchdog", "block").await;
    let blocking = Script::new([Step::Reach(BEGUN), Step::Spin(GATE)]);
    let receipt = fall.worker("one").send(blocking).submit().await.unwrap();
    logs::line(fall.name, "handler blocks", "worker/one").await;
    fall.probe.open(GATE);
    soon("it is handled", receipt.processed()).await.unwrap();
    fall.goes_on("watchdog", "block").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_although_their_watch_has_panicked() {
    let (east, west) = ("services-east", "services-west");
    logs::keep();
    let net = Net::new(&[east, west]);
    let nodes = net.start_all(&Probe::new()).await;
    logs::plant_task(east, "certificates", 1);
    restarted(east, "certificates", "certificates").await;
    let renewed = net.authority.issue(east, |_| {});
    let [certificate, key, _] = &net.seat(east).identity;
    for (new, old) in [(renewed.certificate, certificate), (renewed.key, key)] {
        let aside = old.with_extension("new");
        fs::copy(new, &aside).unwrap();
        fs::rename(&aside, old).unwrap();
    }
    logs::line(east, "certificate renewed", "").await;
    stop(nodes).await;
}

/// What always panics is started anew a few times only.
#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_always_panics_ends_the_node_when_its_budget_is_spent() {
    let fall = Fall::new("services-budget", everpost_tests::config()).await;
    logs::plant_task(fall.name, "timers", u32::MAX);
    let worker = fall.worker("one");
    // It may have ended by then.
    let sent = worker.schedule(Script::new([]), Schedule::after(Duration::from_millis(1)));
    drop(soon("it is answered", sent.into_future()).await);
    eventually("it was started anew", || logs::lines(fall.name, "task restarted").len() == 5).await;
    let name = fall.name;
    let failed = soon("it fails", fall.node.failed()).await;
    logs::clear(name);
    assert!(failed.to_string().contains("no timer fires"), "{failed}");
    fall.ends("timers", "no timer fires").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wheel_that_panics_ends_the_node() {
    let fall = Fall::new("services-wheel", everpost_tests::config()).await.of("wheel");
    drop(fall.worker("one").send(Script::new([Step::RetryAfter(1, 5)])).await);
    fall.ends("wheel", "put off").await;
}

/// Where many wait for one commit the task of the gate lets them out.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_panics_ends_the_node() {
    let fall = Fall::new("services-gate", everpost_tests::config()).await.of("gate");
    let flood = async {
        while !logs::lines(fall.name, "task panicked").iter().any(|line| line.field("task") == "gate") {
            let mut sends = JoinSet::new();
            for _ in 0..200 {
                let worker = fall.worker("one");
                sends.spawn(async move { drop(worker.send(Script::new([])).await) });
            }
            sends.join_all().await;
        }
    };
    soon("the gate has much to let out", flood).await;
    fall.ends("gate", "acknowledged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_of_actors_that_panics_ends_the_node() {
    let fall = Fall::new("services-supervisor", everpost_tests::config()).await.of("supervisor of `worker`");
    drop(fall.worker("one").send(Script::new([])).await);
    fall.ends("supervisor of `worker`", "no actor of that type").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_of_groups_that_panics_ends_the_node() {
    let config = NodeConfig { stop_timeout: Duration::from_millis(50), ..everpost_tests::config() };
    let fall = Fall::new("services-groups", config).await.of("supervisor of the groups");
    let group = Group::one_for_one("tasks").child(Child::temporary("task", |_| async { Ok(()) }));
    drop(soon("it is answered", fall.node.supervise(group)).await);
    fall.ends("supervisor of the groups", "group has ended").await;
}

/// The rest of a commit would never have happened, in a node that went on.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_panics_in_the_middle_ends_the_node_whoever_would_be_started_anew() {
    let fall = Fall::new("services-commit", everpost_tests::config()).await;
    logs::plant(fall.name, "expired", 1);
    let worker = fall.worker("one");
    worker.pause("so that it expires").await.unwrap();
    let post = worker.send(Script::new([])).expires_in(Duration::from_millis(1)).when_expired(Expiry::Drop);
    drop(soon("it is taken", post.into_future()).await);
    fall.ends("commit", "memory would differ").await;
}
