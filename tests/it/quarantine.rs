//! After an unclean end: what was in flight runs alone first, and everything else waits for that.

use std::sync::Arc;
use std::time::Duration;

use everpost::{Child as GroupChild, Group, Node, NodeConfig, Restart};
use everpost_tests::child::Child;
use everpost_tests::load;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Step, Target, Worker, quick, read, worker, workers};

const REACHED: u32 = 0;
const SPIN: u32 = 1;
const HOLD: u32 = 2;
const BEGUN: u32 = 3;

/// A process dies while it has the message `steps` for the worker `suspect` in flight. The `others` have begun and wait
/// at their gate by then: not in flight, since nobody polls them.
async fn die_with(folder: &std::path::Path, steps: &[Step], others: &[(Target, Vec<Step>)]) {
    let setup = Setup { folder: folder.into(), attempts_max: 8, open: false, logs: false, seat: None, waits: false };
    let mut child = Child::up(&setup);
    let begin = |steps: &[Step]| [&[Step::Reach(BEGUN)], steps].concat();
    let others: Vec<_> = others.iter().map(|(to, steps)| (to.clone(), begin(steps))).collect();
    send_and_see(&mut child, BEGUN, others);
    child.idle().await;
    let in_flight = [&[Step::Note, Step::Reach(REACHED), Step::Spin(SPIN)], steps].concat();
    send_and_see(&mut child, REACHED, vec![(worker("suspect"), in_flight)]);
    child.kill();
}

/// Sends scripts, and waits until all are accepted and have reached `gate`.
fn send_and_see(child: &mut Child, gate: u32, scripts: Vec<(Target, Vec<Step>)>) {
    let (mut accepted, mut reached) = (scripts.len(), scripts.len());
    child.tell(&Command::Send(scripts));
    while accepted + reached > 0 {
        match child.wait_for("they are accepted, and have begun", |_| true) {
            Event::Accepted(_) => accepted -= 1,
            Event::Reached(at) if at == gate => reached -= 1,
            _ => {}
        }
    }
}

async fn start(folder: &std::path::Path, probe: &Arc<Probe>, config: NodeConfig) -> Node {
    load::actors(workers(folder, probe)).config(config).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_runs_before_the_suspect_has_had_its_trial() {
    let folder = everpost_tests::folder();
    let others =
        [(worker("other"), vec![Step::Wait(HOLD), Step::Note]), (quick("other"), vec![Step::Wait(HOLD), Step::Note])];
    die_with(folder.path(), &[Step::Wait(HOLD), Step::Note], &others).await;
    let probe = Probe::new();
    probe.open(SPIN);
    let node = start(folder.path(), &probe, everpost_tests::config()).await;
    probe.reached(REACHED, 1).await;
    // A message that comes in now waits as well.
    let actor = node.actor::<Quick>("new");
    actor.send(everpost_tests::worker::Script::new([Step::Note])).await.unwrap();
    probe.open(HOLD);
    soon("it drains", node.drained()).await.unwrap();
    let order: Vec<_> = probe.seen().notes.iter().map(|note| (note.address.clone(), note.attempt)).collect();
    let suspect = ("worker/suspect".to_owned(), 1);
    assert_eq!(order[..2], [suspect.clone(), suspect], "its whole turn is before the others: {order:?}");
    assert_eq!(order.len(), 5);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_may_ask_others_during_its_trial() {
    let folder = everpost_tests::folder();
    let ask = vec![Step::Ask(quick("third"), vec![Step::Append(5)]), Step::Append(7)];
    die_with(folder.path(), &[Step::Ask(worker("asked"), ask), Step::Append(9)], &[]).await;
    let probe = Probe::new();
    probe.open(SPIN);
    // With a single attempt, and a timeout that the test would not survive.
    let config = NodeConfig { attempts_max: 1, ask_timeout: Duration::from_secs(3600), ..everpost_tests::config() };
    let node = start(folder.path(), &probe, config).await;
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    assert_eq!(node.statistics().failed, 0);
    assert_eq!(read(&node.actor::<Worker>("suspect")).await.entries, [5, 7, 9]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_that_fails_in_its_trial_is_a_failure_like_others() {
    let folder = everpost_tests::folder();
    die_with(folder.path(), &[Step::Append(1), Step::PanicUpTo(1), Step::FailUpTo(2)], &[]).await;
    let probe = Probe::new();
    probe.open(SPIN);
    let node = start(folder.path(), &probe, everpost_tests::config()).await;
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.statistics().failed, 2);
    assert_eq!(read(&node.actor::<Worker>("suspect")).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_has_had_its_trial_before_a_group_takes_its_actor_down() {
    let folder = everpost_tests::folder();
    die_with(folder.path(), &[Step::Wait(HOLD), Step::Append(1)], &[]).await;
    let probe = Probe::new();
    probe.open(SPIN);
    let node = Arc::new(start(folder.path(), &probe, everpost_tests::config()).await);
    probe.reached(REACHED, 1).await;
    let never = GroupChild::permanent("never-ready", |context| async move {
        context.stopping().await;
        Ok(())
    });
    let actor = GroupChild::actor(Restart::Permanent, "suspect", &node.actor::<Worker>("suspect"));
    let group = Group::rest_for_one("group").child(never.waits_until_ready(Duration::from_secs(3600))).child(actor);
    let supervising = tokio::spawn({
        let node = Arc::clone(&node);
        async move { node.supervise(group).await }
    });
    // One without the actor does not wait.
    node.supervise(Group::one_for_one("other")).await.unwrap();
    assert!(!supervising.is_finished());
    probe.open(HOLD);
    soon("it is supervised", supervising).await.unwrap().unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("suspect")).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_the_trial_ends_and_counts_nothing() {
    let folder = everpost_tests::folder();
    die_with(folder.path(), &[Step::Wait(HOLD), Step::Append(1)], &[(worker("other"), vec![Step::Wait(HOLD)])]).await;
    let probe = Probe::new();
    probe.open(SPIN);
    let config = NodeConfig { stop_timeout: Duration::from_millis(50), attempts_max: 1, ..everpost_tests::config() };
    for round in 1..=3 {
        let node = start(folder.path(), &probe, config.clone()).await;
        probe.reached(REACHED, round).await;
        soon("the stop ends", node.stop()).await.unwrap_err();
        assert_eq!((node.statistics().failed, node.statistics().dead_lettered), (0, 0));
    }
    probe.open(HOLD);
    let node = start(folder.path(), &probe, config).await;
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    assert_eq!(read(&node.actor::<Worker>("suspect")).await.entries, [1]);
    eventually("everyone was handled", || node.statistics().waiting == 0).await;
    node.stop().await.unwrap();
}
