//! Supervised groups on whole nodes: who is restarted, in which order, how often, and that nothing is left behind.

use std::time::Duration;

use everpost::{Backoff, Child, Group, GroupEnded, Node, NodeConfig, Restart, StopError, SuperviseError};
use everpost_tests::child::Child as Process;
use everpost_tests::logs;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::stage::{Act, Stage};
use everpost_tests::wait::soon;
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(2) };

async fn node(name: &str, folder: &std::path::Path) -> Node {
    Node::builder(name, folder).config(everpost_tests::config()).start().await.unwrap()
}

/// A group that restarts soon, and often.
fn patient(group: Group) -> Group {
    group.restarts(1000, HOUR).backoff(SOON)
}

/// Lets the middle one of three end, and expects what happens then.
async fn check(strategy: fn(&str) -> Group, restart: Restart, act: Act, then: &str) {
    let folder = everpost_tests::folder();
    let node = node("node", folder.path()).await;
    let stage = Stage::new();
    let group = patient(strategy("group"))
        .child(stage.permanent("a"))
        .child(stage.task(restart, "b"))
        .child(stage.permanent("c"));
    let group = node.supervise(group).await.unwrap();
    soon("all start", group.started()).await.unwrap();
    stage.tell("b", act);
    stage.sees(&format!("+a +b +c -b {then}")).await;
    let running = stage.running();
    stage.forget();
    soon("the group stops", group.stop()).await.unwrap();
    // In order of starting now, so the reverse of that.
    let mut names: Vec<_> = running.iter().map(|name| format!("-{name}")).collect();
    names.sort();
    names.reverse();
    assert_eq!(stage.seen(), names);
    node.stop().await.unwrap();
}

fn one_for_one(name: &str) -> Group {
    Group::one_for_one(name)
}

fn one_for_all(name: &str) -> Group {
    Group::one_for_all(name)
}

fn rest_for_one(name: &str) -> Group {
    Group::rest_for_one(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_child_is_restarted_by_each_strategy_whatever_its_end() {
    for act in [Act::End, Act::Fail, Act::Panic] {
        check(one_for_one, Restart::Permanent, act, "+b").await;
        check(one_for_all, Restart::Permanent, act, "-c -a +a +b +c").await;
        check(rest_for_one, Restart::Permanent, act, "-c +b +c").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transient_child_is_restarted_by_each_strategy_when_it_has_failed() {
    for act in [Act::Fail, Act::Panic] {
        check(one_for_one, Restart::Transient, act, "+b").await;
        check(one_for_all, Restart::Transient, act, "-c -a +a +b +c").await;
        check(rest_for_one, Restart::Transient, act, "-c +b +c").await;
    }
    for strategy in [one_for_one, one_for_all, rest_for_one] {
        check(strategy, Restart::Transient, Act::End, "").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_child_is_restarted_by_no_strategy() {
    for strategy in [one_for_one, one_for_all, rest_for_one] {
        for act in [Act::End, Act::Fail, Act::Panic] {
            check(strategy, Restart::Temporary, act, "").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_waits_until_the_one_before_it_is_ready_and_one_that_never_is_is_killed() {
    let folder = everpost_tests::folder();
    let node = node("node", folder.path()).await;
    let stage = Stage::new();
    let slow = stage.permanent("slow").waits_until_ready(Duration::from_millis(50));
    let inner = patient(Group::one_for_one("inner")).child(slow);
    let group = patient(Group::one_for_one("group")).child(inner).child(stage.permanent("next"));
    let group = node.supervise(group).await.unwrap();
    // It is not ready in time, although it runs.
    stage.sees_times("-slow", 2).await;
    assert_eq!(stage.times("+next"), 0);
    stage.tell("slow", Act::BeReady);
    soon("all start", group.started()).await.unwrap();
    stage.sees_times("+next", 1).await;
    soon("the node stops", node.stop()).await.unwrap();
    assert!(stage.running().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn budgets_of_nested_groups_multiply_which_a_warning_says_and_the_last_failure_ends_all() {
    logs::keep();
    let folder = everpost_tests::folder();
    let node = node("nested", folder.path()).await;
    let stage = Stage::new();
    let small = |group: Group| group.restarts(1, HOUR).backoff(SOON);
    let deep = small(Group::one_for_one("deep")).child(stage.permanent("x"));
    let inner = small(Group::one_for_one("inner")).child(deep);
    let group = small(Group::one_for_one("outer")).child(stage.permanent("y")).child(inner);
    let group = node.supervise(group).await.unwrap();
    let warning = logs::line("nested", "nested budgets", "outer/inner/deep").await;
    assert_eq!((warning.field("starts"), warning.field("within")), ("8", "10800s"));
    for starts in 1..=8 {
        stage.sees_times("+x", starts).await;
        stage.tell("x", Act::Fail);
    }
    let ended = soon("the group gives up", group.ended()).await.unwrap_err();
    let GroupEnded::Spent { group, child, cause, .. } = &ended else { panic!("{ended}") };
    assert_eq!((group.as_str(), child.as_str()), ("outer", "inner"));
    assert!(cause.contains("`outer/inner`") && cause.contains("`outer/inner/deep`"), "{cause}");
    assert!(cause.ends_with("x was told to fail"), "{cause}");
    assert_eq!((stage.times("+x"), stage.times("-x"), stage.times("+y"), stage.times("-y")), (8, 8, 1, 1));
    logs::line("nested", "group gave up", "x was told to fail").await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_stops_in_reverse_at_every_depth_and_kills_who_does_not_stop_in_time() {
    logs::keep();
    let folder = everpost_tests::folder();
    let node = node("stopping", folder.path()).await;
    let stage = Stage::new();
    let stubborn = stage.permanent("c").stop_within(Duration::from_millis(20));
    let inner = Group::one_for_one("inner").child(stage.permanent("b")).child(stubborn);
    let group = Group::one_for_one("group").child(stage.permanent("a")).child(inner).child(stage.permanent("d"));
    let group = node.supervise(group).await.unwrap();
    stage.tell("c", Act::Hang);
    stage.sees("+a +b +c +d").await;
    soon("the group stops", group.stop()).await.unwrap();
    stage.sees("+a +b +c +d -d -c -b -a").await;
    let killed = logs::line("stopping", "child killed", "").await;
    assert_eq!((killed.field("group"), killed.field("child")), ("group/inner", "c"));
    soon("a second stop is fine", group.stop()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_goes_on_after_a_restart_of_the_node() {
    let folder = everpost_tests::folder();
    let group = |stage: &Stage| Group::one_for_one("group").restarts(2, HOUR).backoff(SOON).child(stage.permanent("a"));
    let stage = Stage::new();
    let first = node("node", folder.path()).await;
    first.supervise(group(&stage)).await.unwrap();
    for starts in 1..=2 {
        stage.sees_times("+a", starts).await;
        stage.tell("a", Act::Fail);
    }
    stage.sees("+a -a +a -a +a").await;
    first.stop().await.unwrap();

    let stage = Stage::new();
    let second = node("node", folder.path()).await;
    let supervised = second.supervise(group(&stage)).await.unwrap();
    stage.sees("+a").await;
    stage.tell("a", Act::Fail);
    let ended = soon("the group gives up", supervised.ended()).await;
    assert!(matches!(&ended, Err(GroupEnded::Spent { budget, .. }) if budget.restarts == 2), "{ended:?}");
    assert_eq!(stage.seen(), ["+a", "-a"]);
    // Under another name it has a budget of its own.
    let other = Group::one_for_one("other").restarts(1, HOUR).backoff(SOON).child(stage.permanent("b"));
    second.supervise(other).await.unwrap();
    stage.tell("b", Act::Fail);
    stage.sees_times("+b", 2).await;
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_the_one_around_it_restarts_has_a_full_budget_also_after_a_restart_of_the_node() {
    let folder = everpost_tests::folder();
    let group = |stage: &Stage| {
        let inner = Group::one_for_one("inner").restarts(1, HOUR).backoff(SOON).child(stage.permanent("x"));
        patient(Group::one_for_all("outer")).child(stage.permanent("y")).child(inner)
    };
    let stage = Stage::new();
    let first = node("node", folder.path()).await;
    first.supervise(group(&stage)).await.unwrap();
    for starts in 1..=2 {
        stage.sees_times("+x", starts).await;
        stage.tell("x", Act::Fail);
    }
    stage.sees("+y +x -x +x -x -y +y +x").await;
    first.stop().await.unwrap();

    let stage = Stage::new();
    let second = node("node", folder.path()).await;
    second.supervise(group(&stage)).await.unwrap();
    stage.tell("x", Act::Fail);
    stage.sees("+y +x -x +x").await;
    stage.tell("x", Act::Fail);
    stage.sees("+y +x -x +x -x -y +y +x").await;
    second.stop().await.unwrap();
}

#[test]
fn a_process_that_is_killed_again_and_again_makes_no_restart_more_than_its_budget_allows() {
    const RESTARTS: u32 = 20;
    let folder = everpost_tests::folder();
    let mut restarts = 0;
    for life in 1.. {
        let mut process = Process::up(&Setup::alone(folder.path()));
        process.tell(&Command::Supervise { restarts: RESTARTS });
        let mut starts = 0;
        let last = process.wait_for("it is killed in time, or gives up", |event| {
            starts += u32::from(*event == Event::Reached(0));
            starts == 5 || matches!(event, Event::GaveUp(_))
        });
        process.kill();
        // What it said before it died.
        let (_, rest) = process.end();
        starts += u32::try_from(rest.iter().filter(|event| **event == Event::Reached(0)).count()).unwrap();
        // The first start of a life is no restart.
        restarts += starts - 1;
        assert!(restarts <= RESTARTS, "{restarts} restarts in {life} lives");
        if matches!(last, Event::GaveUp(_)) {
            assert!(life > 1, "it was killed before");
            return;
        }
        assert!(life < 10, "it never gives up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_stopped_during_a_restart_leaves_nothing_running() {
    let folder = everpost_tests::folder();
    let node = node("node", folder.path()).await;
    for round in 0..60_u32 {
        let stage = Stage::new();
        let strategy = [one_for_one, one_for_all, rest_for_one][round as usize % 3];
        let inner = patient(strategy("inner")).child(stage.permanent("b")).child(stage.permanent("c"));
        let group = patient(strategy("group")).child(stage.permanent("a")).child(inner).child(stage.permanent("d"));
        let group = node.supervise(group).await.unwrap();
        soon("all start", group.started()).await.unwrap();
        stage.tell("b", Act::Fail);
        stage.tell("a", Act::Panic);
        // Each round a little later in the restart.
        for _ in 0..round * 20 {
            tokio::task::yield_now().await;
        }
        soon("the group stops", group.stop()).await.unwrap();
        assert!(stage.running().is_empty(), "{:?}", stage.seen());
        let seen = stage.seen();
        tokio::task::yield_now().await;
        assert_eq!(stage.seen(), seen, "nothing starts after the end");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_backoff() {
    let folder = everpost_tests::folder();
    let node = node("node", folder.path()).await;
    let stage = Stage::new();
    let late = Backoff { first: HOUR, cap: HOUR };
    let group = Group::rest_for_one("group").backoff(late).child(stage.permanent("a")).child(stage.permanent("b"));
    let group = node.supervise(group).await.unwrap();
    soon("both start", group.started()).await.unwrap();
    stage.tell("a", Act::Fail);
    stage.sees("+a +b -a -b").await;
    soon("the node stops", node.stop()).await.unwrap();
    assert_eq!(stage.times("+a"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_groups_of_one_name_are_refused_while_the_first_runs() {
    let folder = everpost_tests::folder();
    let node = node("node", folder.path()).await;
    let stage = Stage::new();
    let group = || Group::one_for_one("group").child(stage.permanent("a"));
    let first = node.supervise(group()).await.unwrap();
    let second = node.supervise(group()).await;
    assert!(matches!(&second, Err(SuperviseError::NameInUse(name)) if name == "group"), "{second:?}");
    stage.sees("+a").await;
    first.stop().await.unwrap();
    let third = node.supervise(group()).await.unwrap();
    assert_eq!(third.name(), "group");
    stage.sees("+a -a +a").await;
    node.stop().await.unwrap();
    assert!(matches!(node.supervise(group()).await, Err(SuperviseError::Stopping)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_stops_its_groups_in_reverse_while_they_can_still_send() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let stage = Stage::new();
    let first = node.supervise(Group::one_for_one("first").child(stage.permanent("a"))).await.unwrap();
    soon("the first starts", first.started()).await.unwrap();
    let actor = node.actor::<Worker>("one");
    let sending = Child::permanent("sending", move |context| {
        let actor = actor.clone();
        async move {
            context.stopping().await;
            actor.send(Script::new([Step::Append(7)])).await?;
            Ok(())
        }
    });
    let group = Group::one_for_one("second").child(sending).child(stage.permanent("b"));
    let second = node.supervise(group).await.unwrap();
    stage.sees("+a +b").await;
    soon("the node stops", node.stop()).await.unwrap();
    assert_eq!(stage.seen(), ["+a", "+b", "-b", "-a"]);
    first.ended().await.unwrap();
    second.ended().await.unwrap();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [7]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_groups_do_not_stop_in_time_kills_them() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { stop_timeout: Duration::from_millis(50), ..everpost_tests::config() };
    let node = Node::builder("node", folder.path()).config(config).start().await.unwrap();
    let stage = Stage::new();
    node.supervise(Group::one_for_one("first").child(stage.permanent("a"))).await.unwrap();
    stage.sees("+a").await;
    let inner = Group::one_for_one("inner").child(stage.permanent("b").stop_within(HOUR));
    let second = node.supervise(Group::one_for_one("second").child(inner)).await.unwrap();
    stage.tell("b", Act::Hang);
    stage.sees("+a +b").await;
    let stopped = soon("the stop ends", node.stop()).await;
    assert!(
        matches!(&stopped, Err(StopError::GroupsKilled(names)) if names.contains(&"second".to_owned())),
        "{stopped:?}"
    );
    assert!(stage.running().is_empty());
    second.ended().await.unwrap();
}

/// Panics when it is dropped.
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a trap was dropped");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn panics_of_children_end_nothing_but_the_child_wherever_they_are() {
    let folder = everpost_tests::folder();
    let node = node("node", folder.path()).await;
    let stage = Stage::new();
    let while_made = Child::temporary("made", |_| {
        let broken = true;
        assert!(!broken, "it panics before there is a future");
        std::future::pending()
    });
    let while_dropped = Child::permanent("dropped", |context| async move {
        let _trap = Trap;
        context.ready();
        std::future::pending().await
    });
    let while_dropped = while_dropped.stop_within(Duration::from_millis(20)).waits_until_ready(HOUR);
    let group = patient(Group::one_for_one("group")).child(while_made).child(while_dropped).child(stage.permanent("a"));
    let group = node.supervise(group).await.unwrap();
    soon("all start", group.started()).await.unwrap();
    stage.tell("a", Act::Panic);
    stage.sees("+a -a +a").await;
    soon("the group stops", group.stop()).await.unwrap();
    assert!(stage.running().is_empty());
    node.stop().await.unwrap();
}
