//! Keyed actors as children of groups: who is up when, that a restart loads the state again, and that nothing is lost.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use everpost::{
    Actor, ActorHandle, Backoff, Child, Durable, Failure, Group, GroupEnded, Handler, Handlers, Message, Node,
    NodeConfig, QueryError, Restart, State, SuperviseError, Turn,
};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::stage::{Act, Stage};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Read, Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(2) };

/// A group that restarts soon, and often.
fn patient(group: Group) -> Group {
    group.restarts(1000, HOUR).backoff(SOON)
}

fn permanent<A: Actor>(name: &str, actor: &ActorHandle<A>) -> Child {
    Child::actor(Restart::Permanent, name, actor)
}

fn script(steps: impl Into<Vec<Step>>) -> Script {
    Script::new(steps)
}

/// Numbers that were added, and a name by which a test finds out how often they were loaded.
#[derive(Clone, Default, Serialize, Deserialize, State)]
#[serde(try_from = "Stored")]
#[state(name = "numbers")]
struct Numbers {
    name: String,
    numbers: Vec<u32>,
}

#[derive(Deserialize)]
struct Stored {
    name: String,
    numbers: Vec<u32>,
}

/// How often states were loaded, by name.
static LOADS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);
/// The names of states that cannot be read now.
static UNREADABLE: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn loads(name: &str) -> usize {
    locked(&LOADS).get(name).copied().unwrap_or_default()
}

impl TryFrom<Stored> for Numbers {
    type Error = String;

    fn try_from(Stored { name, numbers }: Stored) -> Result<Self, String> {
        *locked(&LOADS).entry(name.clone()).or_default() += 1;
        if locked(&UNREADABLE).contains(&name) {
            Err(format!("{name} is unreadable"))
        } else {
            Ok(Self { name, numbers })
        }
    }
}

struct Member;

/// Adds a number, once it has panicked so many times.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "add", reply = Vec<u32>)]
struct Add {
    number: u32,
    panics: u32,
}

impl Actor for Member {
    const TYPE: &'static str = "member";
    type State = Numbers;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Add>();
    }
}

impl Handler<Add> for Member {
    async fn handle(&self, state: &mut Durable<Numbers>, add: Add, turn: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        assert!(turn.attempt() > add.panics, "told to panic");
        turn.address().key().clone_into(&mut state.name);
        state.numbers.push(add.number);
        Ok(state.numbers.clone())
    }
}

fn fine(number: u32) -> Add {
    Add { number, panics: 0 }
}

fn panics(number: u32, panics: u32) -> Add {
    Add { number, panics }
}

async fn members(folder: &std::path::Path) -> Node {
    let config = NodeConfig { idle_after: Duration::from_millis(20), ..everpost_tests::config() };
    Node::builder("node", folder).actor(Member).config(config).start().await.unwrap()
}

type Strategy = fn(&str) -> Group;

const STRATEGIES: [Strategy; 3] =
    [|name| Group::one_for_one(name), |name| Group::one_for_all(name), |name| Group::rest_for_one(name)];

/// A group of three actors.
fn family(strategy: Strategy, actors: &[ActorHandle<Member>; 3]) -> Group {
    let [a, b, c] = actors;
    patient(strategy("group")).child(permanent("a", a)).child(permanent("b", b)).child(permanent("c", c))
}

/// Lets the middle one of three actors panic, and tells how often each was loaded after that.
async fn reloads(strategy: Strategy, test: &str) -> [usize; 3] {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let keys = ["a", "b", "c"].map(|key| format!("{test}-{key}"));
    let actors = keys.clone().map(|key| node.actor::<Member>(&key));
    let group = family(strategy, &actors);
    let group = node.supervise(group).await.unwrap();
    soon("all start", group.started()).await.unwrap();
    for actor in &actors {
        assert_eq!(actor.ask(fine(1)).await.unwrap(), [1]);
    }
    assert_eq!(node.statistics().activations, 3);
    actors[1].send(panics(2, 1)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    for actor in &actors {
        assert_eq!(actor.ask(fine(3)).await.unwrap().last(), Some(&3));
    }
    assert_eq!((node.statistics().failed, node.dead_letters().count()), (1, 0));
    let loads = keys.map(|key| loads(&key));
    soon("the group stops", group.stop()).await.unwrap();
    assert_eq!(node.statistics().activations, 0, "none is up");
    node.stop().await.unwrap();
    loads
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_panics_is_restarted_with_those_that_the_strategy_names_and_no_other() {
    let [one_for_one, one_for_all, rest_for_one] = STRATEGIES;
    // Each activation reads once more what it writes first, beside what it loads: 1 for one that is never restarted, 3
    // for one that is.
    assert_eq!(reloads(one_for_one, "one").await, [1, 3, 1]);
    assert_eq!(reloads(one_for_all, "all").await, [3, 3, 3]);
    assert_eq!(reloads(rest_for_one, "rest").await, [1, 3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sibling_finishes_its_turn_before_the_one_that_failed_is_restarted() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let (a, b) = (node.actor::<Worker>("a"), node.actor::<Worker>("b"));
    let group = patient(Group::one_for_all("group")).child(permanent("b", &b)).child(permanent("a", &a));
    let group = node.supervise(group).await.unwrap();
    a.send(script([Step::Append(1), Step::Reach(0), Step::Wait(0), Step::Note])).await.unwrap();
    a.send(script([Step::Append(2), Step::Note])).await.unwrap();
    probe.reached(0, 1).await;
    b.send(script([Step::PanicUpTo(1), Step::Append(3), Step::Note])).await.unwrap();
    b.send(script([Step::Append(4), Step::Note])).await.unwrap();
    eventually("it fails", || node.statistics().failed == 1).await;
    // Whatever was going to happen without the group has time to.
    for number in 0..50 {
        node.actor::<Worker>("other").ask(script([Step::Append(number)])).await.unwrap();
    }
    assert!(probe.seen().notes.is_empty(), "nobody goes on before");
    assert_eq!(read(&b).await.entries, [] as [u32; 0]);
    probe.open(0);
    soon("it drains", node.drained()).await.unwrap();
    let notes = probe.seen().notes;
    assert_eq!((notes[0].address.as_str(), notes[0].attempt), ("worker/a", 1), "its turn was finished first");
    let of_b = probe.seen().of("worker/b");
    assert_eq!(of_b.iter().map(|note| note.attempt).collect::<Vec<_>>(), [2, 1]);
    assert_eq!((read(&a).await.entries, read(&b).await.entries), (vec![1, 2], vec![3, 4]));
    group.stop().await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_starts_after_those_before_it_and_accepts_meanwhile() {
    let (folder, probe, stage) = (everpost_tests::folder(), Probe::new(), Stage::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.ask(script([Step::Append(1)])).await.unwrap();
    let group = Group::rest_for_one("group")
        .child(stage.permanent("before").waits_until_ready(HOUR))
        .child(permanent("actor", &actor))
        .child(stage.permanent("after"));
    let group = node.supervise(group).await.unwrap();
    actor.send(script([Step::Append(2)])).await.unwrap();
    node.actor::<Worker>("other").send(script([Step::Append(3)])).await.unwrap();
    eventually("the other one works", || node.statistics().waiting == 1).await;
    assert_eq!(read(&actor).await.entries, [1], "queries are answered");
    assert_eq!(stage.seen(), ["+before"]);
    stage.tell("before", Act::BeReady);
    soon("all start", group.started()).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2]);
    stage.sees("+before +after").await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_stops_waits_for_the_turn_of_its_actor_and_leaves_the_actor_down() {
    let (folder, probe, stage) = (everpost_tests::folder(), Probe::new(), Stage::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let child = permanent("actor", &actor).stop_within(HOUR);
    let group = Group::one_for_one("group").child(stage.permanent("a")).child(child).child(stage.permanent("c"));
    let group = node.supervise(group).await.unwrap();
    soon("all start", group.started()).await.unwrap();
    actor.send(script([Step::Append(1), Step::Reach(0), Step::Wait(0)])).await.unwrap();
    probe.reached(0, 1).await;
    let stopping = tokio::spawn({
        let group = group.clone();
        async move { group.stop().await }
    });
    stage.sees("+a +c -c").await;
    probe.open(0);
    soon("the group stops", stopping).await.unwrap().unwrap();
    stage.sees("+a +c -c -a").await;
    actor.send(script([Step::Append(2)])).await.unwrap();
    assert_eq!((read(&actor).await.entries, node.statistics().waiting), (vec![1], 1));
    group.release();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1, 2]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_outlasts_the_deadline_of_its_child_is_cut_off_which_is_no_failed_attempt() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let child = || permanent("actor", &actor).stop_within(Duration::from_millis(20));
    let group = node.supervise(Group::one_for_one("group").child(child())).await.unwrap();
    actor.send(script([Step::Append(1), Step::Reach(0), Step::Wait(0), Step::Note])).await.unwrap();
    probe.reached(0, 1).await;
    soon("the group stops", group.stop()).await.unwrap();
    eventually("nothing of it is left", || node.statistics().activations == 0).await;
    assert_eq!((node.statistics().waiting, node.statistics().failed), (1, 0));
    probe.open(0);
    node.supervise(Group::one_for_one("group").child(child())).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((read(&actor).await.entries, probe.seen().notes[0].attempt), (vec![1], 1));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_actor_that_failed_stays_down_and_accepts_until_its_group_is_started_again() {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let (one, other) = (node.actor::<Member>("temporary"), node.actor::<Member>("transient"));
    let group = || {
        let group = patient(Group::one_for_one("group"));
        group.child(Child::actor(Restart::Temporary, "one", &one)).child(Child::actor(
            Restart::Transient,
            "other",
            &other,
        ))
    };
    let supervised = node.supervise(group()).await.unwrap();
    for actor in [&one, &other] {
        actor.send(panics(1, 1)).await.unwrap();
        actor.send(fine(2)).await.unwrap();
    }
    assert_eq!(other.ask(fine(3)).await.unwrap(), [1, 2, 3], "a transient one is restarted");
    eventually("the temporary one is down", || node.statistics().activations == 1).await;
    one.send(fine(3)).await.unwrap();
    assert_eq!(other.ask(fine(4)).await.unwrap(), [1, 2, 3, 4]);
    assert_eq!(node.statistics().waiting, 3);
    supervised.stop().await.unwrap();
    node.supervise(group()).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(one.ask(fine(4)).await.unwrap(), [1, 2, 3, 4]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_gives_up_leaves_its_actors_down_and_their_messages_wait() {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let (one, other) = (node.actor::<Member>("given-up"), node.actor::<Member>("beside"));
    let group = |name: &str, restarts| {
        let inner = Group::one_for_one("inner").restarts(restarts, HOUR).backoff(SOON).child(permanent("one", &one));
        Group::one_for_one(name).restarts(0, HOUR).child(permanent("other", &other)).child(inner)
    };
    let supervised = node.supervise(group("group", 1)).await.unwrap();
    other.ask(fine(1)).await.unwrap();
    one.send(panics(1, 2)).await.unwrap();
    let ended = soon("the group gives up", supervised.ended()).await.unwrap_err();
    let GroupEnded::Spent { child, cause, .. } = &ended else { panic!("{ended}") };
    assert!(child == "inner" && cause.ends_with("told to panic"), "{ended}");
    for number in 2..50 {
        one.send(fine(number)).await.unwrap();
        other.send(fine(number)).await.unwrap();
    }
    assert_eq!((node.statistics().waiting, node.statistics().failed, node.statistics().activations), (97, 2, 0));
    // What was spent of its budget is stored, so it needs another name.
    let again = node.supervise(group("again", 1)).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    for actor in [&one, &other] {
        assert_eq!(actor.ask(fine(50)).await.unwrap(), (1..=50).collect::<Vec<_>>());
    }
    assert!(node.paused().is_empty(), "it was the budget of the group");
    again.stop().await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_read_is_a_failure_of_the_child_and_not_counted_against_the_actor() {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let actor = node.actor::<Member>("unreadable");
    actor.ask(fine(1)).await.unwrap();
    locked(&UNREADABLE).insert("unreadable".into());
    let group = |name: &str| Group::one_for_one(name).restarts(20, HOUR).backoff(SOON).child(permanent("one", &actor));
    let supervised = node.supervise(group("group")).await.unwrap();
    actor.send(fine(2)).await.unwrap();
    let ended = soon("the group gives up", supervised.ended()).await.unwrap_err();
    assert!(ended.to_string().contains("the stored state cannot be read"), "{ended}");
    assert_eq!((node.statistics().failed, node.statistics().waiting, loads("unreadable")), (0, 1, 22));
    assert!(node.paused().is_empty());
    locked(&UNREADABLE).remove("unreadable");
    node.supervise(group("again")).await.unwrap();
    assert_eq!(actor.ask(fine(3)).await.unwrap(), [1, 2, 3]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_that_is_up_stays_in_memory_also_while_it_is_paused() {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let (child, free) = (node.actor::<Member>("child"), node.actor::<Member>("free"));
    let group = Group::one_for_one("group").child(permanent("child", &child));
    node.supervise(group).await.unwrap();
    for number in 1..=5 {
        child.ask(fine(number)).await.unwrap();
        free.ask(fine(number)).await.unwrap();
        eventually("the other one leaves memory", || node.statistics().activations == 1).await;
    }
    // Each activation reads once more what it writes first.
    assert_eq!((loads("child"), loads("free")), (1, 4 + 5));
    child.pause("maintenance").await.unwrap();
    child.send(fine(6)).await.unwrap();
    free.ask(fine(6)).await.unwrap();
    eventually("the other one leaves memory", || node.statistics().activations == 1).await;
    assert_eq!(node.statistics().waiting, 1);
    child.resume().await.unwrap();
    assert_eq!(child.ask(fine(7)).await.unwrap(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(loads("child"), 1);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_the_child_of_one_group_at_a_time_on_its_own_node() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let actor = west.actor::<Worker>("one");
    let group = |name: &str| Group::one_for_one(name).child(permanent("one", &actor));
    for (node, actor) in [(&east, east.actor::<Worker>("one")), (&east, actor.clone())] {
        let group = Group::one_for_one("group").child(permanent("one", &actor));
        let refused = node.supervise(group).await;
        let elsewhere = matches!(&refused, Err(SuperviseError::ActorElsewhere { node, .. }) if node == "west");
        assert!(elsewhere, "{refused:?}");
    }
    let refused = west.supervise(group("twice").child(permanent("two", &actor))).await;
    assert!(matches!(&refused, Err(SuperviseError::ActorInUse { group, .. }) if group == "twice"), "{refused:?}");
    assert_eq!(actor.ask(script([Step::Append(1)])).await.unwrap(), [1], "it is free as before");

    let inner = patient(Group::one_for_one("outer")).child(group("inner"));
    let outer = west.supervise(inner).await.unwrap();
    let refused = west.supervise(group("other")).await;
    assert!(matches!(&refused, Err(SuperviseError::ActorInUse { group, .. }) if group == "outer/inner"), "{refused:?}");
    outer.release();
    assert_eq!(actor.ask(script([Step::Append(2)])).await.unwrap(), [1, 2]);
    outer.stop().await.unwrap();
    // A group that is refused leaves it as it was, which is down.
    let refused = west.supervise(group("twice").child(permanent("two", &actor))).await;
    assert!(matches!(&refused, Err(SuperviseError::ActorInUse { .. })), "{refused:?}");
    actor.send(script([Step::Append(3)])).await.unwrap();
    assert_eq!((read(&actor).await.entries, west.statistics().waiting), (vec![1, 2], 1));
    let other = west.supervise(group("other")).await.unwrap();
    assert_eq!(actor.ask(script([Step::Append(4)])).await.unwrap(), [1, 2, 3, 4]);
    outer.release();
    assert_eq!(actor.ask(script([Step::Append(5)])).await.unwrap().len(), 5, "it is the other group's now");
    other.stop().await.unwrap();
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_of_a_type_that_the_node_does_not_have_is_refused() {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let refused =
        node.supervise(Group::one_for_one("group").child(permanent("one", &node.actor::<Worker>("one")))).await;
    assert!(matches!(&refused, Err(SuperviseError::NoSuchActor(actor)) if actor == "worker/one"), "{refused:?}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_are_stopped_at_any_moment_of_a_restart_lose_no_message_and_keep_the_order() {
    let folder = everpost_tests::folder();
    let node = members(folder.path()).await;
    let actors = ["storm-a", "storm-b", "storm-c"].map(|key| node.actor::<Member>(key));
    let mut number = 0;
    for round in 0..60_u32 {
        let group = family(STRATEGIES[round as usize % 3], &actors);
        let group = node.supervise(group).await.unwrap();
        for _ in 0..5 {
            number += 1;
            for (place, actor) in (0..).zip(&actors) {
                let add = panics(number, u32::from((number + place) % 4 == 0));
                drop(actor.send(add).submit().await.unwrap());
            }
        }
        // Each round a little later in the restarts.
        for _ in 0..round * 20 {
            tokio::task::yield_now().await;
        }
        soon("the group stops", group.stop()).await.unwrap();
        if round % 7 == 1 {
            // One that was free may be at its turn still, when the group was stopped before its child had started.
            eventually("the turns of before are finished", || node.statistics().activations == 0).await;
        }
        assert_eq!(node.statistics().activations, 0, "nothing of it is left");
        if round % 7 == 0 {
            group.release();
        }
    }
    let group = family(STRATEGIES[1], &actors);
    node.supervise(group).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    for actor in &actors {
        assert_eq!(actor.ask(fine(number + 1)).await.unwrap(), (1..=number + 1).collect::<Vec<_>>());
    }
    assert_eq!(node.dead_letters().count(), 0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_never_cease_hold_up_neither_a_restart_nor_a_stop() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let actor = actor.clone();
            // Those that were lost with an activation are asked again.
            tokio::spawn(async move { while let Ok(_) | Err(QueryError::Lost) = actor.query(Read).await {} })
        })
        .collect();
    for round in 0..10 {
        let group = node.supervise(patient(Group::one_for_all("group")).child(permanent("one", &actor))).await.unwrap();
        actor.ask(script([Step::PanicUpTo(2), Step::Append(round)])).await.unwrap();
        soon("the group stops", group.stop()).await.unwrap();
        assert_eq!(read(&actor).await.entries.len() as u32, round + 1);
    }
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    node.stop().await.unwrap();
}
