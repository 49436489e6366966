//! Timers: set and cancelled in turns and from outside, over restarts, kills and other nodes.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use everpost::{
    Actor, CancelError, Durable, Failure, Handler, Handlers, Message, Micros, Missed, Node, NodeConfig, QueryHandler,
    Refusal, Schedule, SendError, State, TimerId, TriggerError, Turn,
};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);

/// Sets timers when told to, and keeps what they send.
#[derive(Debug, Default)]
struct Clerk {
    node: Arc<OnceLock<Node>>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, State)]
struct Desk {
    timers: Vec<TimerId>,
    ticks: Vec<Seen>,
    refused: Vec<String>,
}

/// A tick that was handled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    label: u32,
    due: u64,
    sender: Option<String>,
}

/// Sets a timer that sends a tick to `to` after so many milliseconds; fails up to this attempt, or for good.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "set")]
struct Set {
    to: String,
    label: u32,
    millis: u64,
    fails_up_to: u32,
    is_rejected: bool,
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "tick")]
struct Tick {
    label: u32,
}

/// Cancels every timer of the state, and one that it has just set.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "cancel-all")]
struct CancelAll;

/// Tries the doors from outside.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "trespass")]
struct Trespass;

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "look", reply = Desk)]
struct Look;

impl Actor for Clerk {
    const TYPE: &'static str = "clerk";
    type State = Desk;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Set>();
        handlers.on::<Tick>();
        handlers.on::<CancelAll>();
        handlers.on::<Trespass>();
        handlers.on_query::<Look>();
    }
}

impl Handler<Set> for Clerk {
    async fn handle(&self, desk: &mut Durable<Desk>, set: Set, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let timer = turn.schedule(
            &Self::at(&set.to),
            Tick { label: set.label },
            Schedule::after(Duration::from_millis(set.millis)),
        );
        desk.timers.push(timer);
        match set.is_rejected {
            true => Err(Failure::reject("told to reject")),
            false if turn.attempt() <= set.fails_up_to => Err(Failure::retry("told to fail")),
            false => Ok(()),
        }
    }
}

impl Handler<Tick> for Clerk {
    async fn handle(&self, desk: &mut Durable<Desk>, tick: Tick, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let due = turn.sent_at();
        if due > Micros::now() {
            return Err(Failure::reject("it came before it was due"));
        }
        let sender = turn.sender().map(|sender| sender.to_string());
        desk.ticks.push(Seen { label: tick.label, due: due.0, sender });
        Ok(())
    }
}

impl Handler<CancelAll> for Clerk {
    async fn handle(&self, desk: &mut Durable<Desk>, CancelAll: CancelAll, turn: &mut Turn<'_>) -> Result<(), Failure> {
        desk.timers.iter().for_each(|timer| turn.cancel(*timer));
        let own = turn.schedule(&Self::at("nobody"), Tick { label: 0 }, Schedule::at(Micros(0)));
        turn.cancel(own);
        Ok(())
    }
}

impl Handler<Trespass> for Clerk {
    async fn handle(&self, desk: &mut Durable<Desk>, Trespass: Trespass, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let node = self.node.get().expect("set before it is used");
        let other = node.actor::<Self>("other");
        if let Err(SendError::NotAccepted { reason, .. }) =
            other.schedule(Tick { label: 1 }, Schedule::after(HOUR)).await
        {
            desk.refused.push(reason.to_string());
        }
        let timer = turn.schedule(&Self::at("other"), Tick { label: 1 }, Schedule::after(HOUR));
        if let Err(CancelError::NotAccepted(reason)) = node.timers().cancel(timer).await {
            desk.refused.push(reason.to_string());
        }
        Ok(())
    }
}

impl QueryHandler<Look> for Clerk {
    fn answer(&self, desk: &Desk, Look: Look) -> Desk {
        desk.clone()
    }
}

async fn start(folder: &Path) -> Node {
    Node::builder("node", folder).config(everpost_tests::config()).actor(Clerk::default()).start().await.unwrap()
}

async fn desk(node: &Node, key: &str) -> Desk {
    node.actor::<Clerk>(key).query(Look).await.unwrap()
}

/// Waits until so many ticks were handled.
async fn ticked(node: &Node, key: &str, ticks: usize) -> Vec<Seen> {
    let handled = async {
        loop {
            let desk = desk(node, key).await;
            if desk.ticks.len() >= ticks {
                return desk.ticks;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(&format!("{key} has {ticks} ticks"), handled).await
}

fn set(to: &str, label: u32, millis: u64) -> Set {
    Set { to: to.into(), label, millis, fails_up_to: 0, is_rejected: false }
}

fn ago(duration: Duration) -> Micros {
    let moment = SystemTime::from(Micros::now()) - duration;
    moment.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_set_from_outside_sends_its_message_once_when_it_is_due() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let bob = node.actor::<Clerk>("bob");
    let moment = SystemTime::from(Micros::now()) + Duration::from_millis(30);
    bob.schedule(Tick { label: 1 }, Schedule::at(moment)).await.unwrap();
    bob.schedule(Tick { label: 2 }, Schedule::after(Duration::from_millis(60))).await.unwrap();
    bob.schedule(Tick { label: 3 }, Schedule::after(HOUR)).await.unwrap();
    let past = ago(HOUR);
    bob.schedule(Tick { label: 4 }, Schedule::at(past)).await.unwrap();
    let mut ticks = ticked(&node, "bob", 3).await;
    // One may be due before the next is set.
    ticks.sort_by_key(|tick| tick.label);
    let labels: Vec<u32> = ticks.iter().map(|tick| tick.label).collect();
    assert_eq!((labels, node.statistics().timers), (vec![1, 2, 4], 1));
    assert_eq!((ticks[0].due, &ticks[0].sender), (Micros::from(moment).0, &None));
    assert_eq!(ticks[2].due, past.0, "what is due is sent at once, as of its moment");
    // One that is not due is not waited for.
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((desk(&node, "bob").await.ticks.len(), node.statistics().dead_lettered), (3, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_sets_timers_when_it_commits_or_never() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let bob = node.actor::<Clerk>("bob");
    bob.send(Set { is_rejected: true, ..set("bob", 1, 0) }).await.unwrap();
    bob.send(Set { fails_up_to: 3, ..set("bob", 2, 3_600_000) }).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((node.statistics().failed, node.statistics().timers), (4, 1), "a turn that runs again sets it once");
    assert_eq!(desk(&node, "bob").await.timers.len(), 1);
    bob.send(Set { fails_up_to: 2, ..set("carol", 3, 20) }).await.unwrap();
    let ticks = ticked(&node, "carol", 1).await;
    assert_eq!((ticks[0].label, ticks[0].sender.as_deref()), (3, Some("clerk/bob")));
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((desk(&node, "carol").await.ticks.len(), desk(&node, "bob").await.ticks.len()), (1, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_turn_cancels_does_not_fire_and_cannot_be_cancelled_again() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let bob = node.actor::<Clerk>("bob");
    for label in 0..3 {
        bob.send(set("carol", label, 3_600_000)).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    let timers = desk(&node, "bob").await.timers;
    assert_eq!(node.statistics().timers, 3);
    node.stop().await.unwrap();
    // The names are still good after a restart, and come from a state.
    let node = start(folder.path()).await;
    assert_eq!(node.statistics().timers, 3);
    assert!(node.timers().cancel(timers[0]).await.unwrap());
    node.actor::<Clerk>("bob").ask(CancelAll).await.unwrap();
    assert_eq!(node.statistics().timers, 0);
    for timer in timers {
        assert!(!node.timers().cancel(timer).await.unwrap());
    }
    node.stop().await.unwrap();
    let node = start(folder.path()).await;
    assert_eq!((node.statistics().timers, desk(&node, "nobody").await.ticks.len()), (0, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fires_or_is_cancelled_and_never_both() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let bob = node.actor::<Clerk>("bob");
    bob.schedule(Tick { label: 0 }, Schedule::after(Duration::ZERO)).await.unwrap();
    ticked(&node, "bob", 1).await;
    let mut cancelling = Vec::new();
    for label in 1..=300 {
        let delay = if label == 300 { HOUR } else { Duration::from_millis(u64::from(label % 7)) };
        let timer = bob.schedule(Tick { label }, Schedule::after(delay)).await.unwrap();
        let node = node.clone();
        cancelling.push(tokio::spawn(async move { (label, node.timers().cancel(timer).await.unwrap()) }));
    }
    let mut expected = vec![0];
    for cancelled in cancelling {
        let (label, was_there) = soon("it answers", cancelled).await.unwrap();
        if !was_there {
            expected.push(label);
        }
    }
    soon("it drains", node.drained()).await.unwrap();
    let mut fired: Vec<u32> = desk(&node, "bob").await.ticks.iter().map(|tick| tick.label).collect();
    fired.sort_unstable();
    assert_eq!(fired, expected);
    assert!(!fired.contains(&300));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_were_due_while_the_node_was_down_fire_once() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let due = Micros::now().plus(Duration::from_millis(300));
    for label in 0..100 {
        node.actor::<Clerk>(&(label % 3).to_string()).schedule(Tick { label }, Schedule::at(due)).await.unwrap();
    }
    node.stop().await.unwrap();
    eventually("they are due", || Micros::now() > due).await;
    for _ in 0..2 {
        let node = start(folder.path()).await;
        soon("it drains", node.drained()).await.unwrap();
        let mut labels = Vec::new();
        for key in ["0", "1", "2"] {
            labels.extend(desk(&node, key).await.ticks.into_iter().map(|tick| tick.label));
        }
        labels.sort_unstable();
        assert_eq!((labels, node.statistics().timers), ((0..100).collect(), 0));
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ticks_that_were_missed_for_days_are_sent_as_the_timer_says() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let start_at = ago(HOUR * 72 + HOUR / 2);
    let hourly = Schedule::every(HOUR).unwrap().starting_at(start_at).missed_within(HOUR * 100);
    for (key, missed) in [("skip", Missed::Skip), ("once", Missed::Once), ("all", Missed::All)] {
        node.actor::<Clerk>(key).schedule(Tick { label: 1 }, hourly.clone().missed(missed)).await.unwrap();
    }
    let minutely = Schedule::cron("* * * * *").unwrap().missed(Missed::All).starting_at(ago(HOUR));
    node.actor::<Clerk>("cron").schedule(Tick { label: 1 }, minutely).await.unwrap();
    let all: Vec<u64> = (0..=72).map(|tick| start_at.plus(HOUR * tick).0).collect();
    let dues = |ticks: Vec<Seen>| ticks.iter().map(|tick| tick.due).collect::<Vec<_>>();
    assert_eq!(dues(ticked(&node, "all", 73).await), all);
    assert_eq!(dues(ticked(&node, "once", 1).await), all[72..]);
    let minutes = dues(ticked(&node, "cron", 60).await);
    assert!(
        minutes.iter().all(|due| due.is_multiple_of(60_000_000))
            && minutes.is_sorted_by(|one, next| one + 60_000_000 == *next)
    );
    soon("it drains", node.drained()).await.unwrap();
    let sent = [desk(&node, "skip").await.ticks.len(), desk(&node, "once").await.ticks.len()];
    assert_eq!((sent, node.statistics().timers), ([0, 1], 4));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_sets_beyond_the_bound_are_refused_and_turns_go_on() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { timers_max: 2, mailbox_messages_max: 1, ..everpost_tests::config() };
    let node = Node::builder("node", folder.path()).config(config).actor(Clerk::default()).start().await.unwrap();
    let bob = node.actor::<Clerk>("bob");
    let timer = bob.schedule(Tick { label: 1 }, Schedule::after(HOUR)).await.unwrap();
    for label in 2..4 {
        bob.ask(set("bob", label, 3_600_000)).await.unwrap();
    }
    assert_eq!(node.statistics().timers, 3);
    let refused = bob.schedule(Tick { label: 9 }, Schedule::after(HOUR)).await.unwrap_err();
    let SendError::NotAccepted { message, reason } = refused else { panic!("{refused:?}") };
    assert_eq!(message.label, 9);
    assert!(matches!(reason, Refusal::TimersFull { timers: 3, timers_max: 2 }), "{reason:?}");
    node.timers().cancel(timer).await.unwrap();
    node.timers().cancel(desk(&node, "bob").await.timers[0]).await.unwrap();
    // Ticks come as the mailbox has room for them.
    let dense = Schedule::every(Duration::from_millis(1)).unwrap().missed(Missed::All).starting_at(ago(HOUR / 3600));
    let timer = bob.schedule(Tick { label: 5 }, dense).await.unwrap();
    ticked(&node, "bob", 1000).await;
    assert!(node.timers().cancel(timer).await.unwrap());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_sets_and_a_node_cancels_no_timer_inside_a_handler() {
    let folder = everpost_tests::folder();
    let clerk = Clerk::default();
    let own = Arc::clone(&clerk.node);
    let node = Node::builder("node", folder.path()).actor(clerk).start().await.unwrap();
    own.set(node.clone()).unwrap();
    soon("the turn ends", async { node.actor::<Clerk>("bob").ask(Trespass).await }).await.unwrap();
    let refused = desk(&node, "bob").await.refused;
    assert_eq!(refused, [Refusal::InsideTurn.to_string(), Refusal::InsideTurn.to_string()]);
    assert_eq!(node.statistics().timers, 1, "only that of the turn is there");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_of_an_actor_type_that_is_not_there_waits_until_it_is() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let due = Micros::now().plus(Duration::from_millis(1500));
    node.actor::<Clerk>("bob").schedule(Tick { label: 1 }, Schedule::at(due)).await.unwrap();
    let cancelled = node.actor::<Clerk>("bob").schedule(Tick { label: 2 }, Schedule::at(due)).await.unwrap();
    node.stop().await.unwrap();
    eventually("it is due", || Micros::now() > due).await;
    let without = workers(folder.path(), &Probe::new()).start().await.unwrap();
    soon("it drains", without.drained()).await.unwrap();
    assert_eq!(without.statistics().timers, 2);
    assert!(without.timers().cancel(cancelled).await.unwrap());
    without.stop().await.unwrap();
    let node = start(folder.path()).await;
    soon("it drains", node.drained()).await.unwrap();
    let labels: Vec<u32> = desk(&node, "bob").await.ticks.iter().map(|tick| tick.label).collect();
    assert_eq!(labels, [1]);
    node.stop().await.unwrap();
}

/// A clerk of a build that knows nothing of ticks.
#[derive(Debug)]
struct FormerClerk;

impl Actor for FormerClerk {
    const TYPE: &'static str = "clerk";
    type State = Desk;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_query::<Look>();
    }
}

impl QueryHandler<Look> for FormerClerk {
    fn answer(&self, desk: &Desk, Look: Look) -> Desk {
        desk.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_whose_message_is_not_handled_waits_until_it_is() {
    let folder = everpost_tests::folder();
    let node = start(folder.path()).await;
    let due = Micros::now().plus(Duration::from_millis(1500));
    let once = node.actor::<Clerk>("bob").schedule(Tick { label: 1 }, Schedule::at(due)).await.unwrap();
    let second = Schedule::every(Duration::from_secs(1)).unwrap();
    node.actor::<Clerk>("eve").schedule_named("each second", Tick { label: 2 }, second).await.unwrap();
    node.stop().await.unwrap();
    eventually("it is due", || Micros::now() > due).await;
    for _ in 0..2 {
        let without =
            Node::builder("node", folder.path()).actor(FormerClerk).config(everpost_tests::config()).start().await;
        let without = without.unwrap();
        for timer in without.timers().list().await.unwrap() {
            assert_eq!((timer.next_due, timer.is_held_back), (None, false), "{timer:?}");
            let error = without.timers().trigger(timer.id).await.unwrap_err();
            assert!(matches!(error, TriggerError::CannotFire(_)), "{error:?}");
            let words = "`tick` version 1 to `clerk`, which handles no message of that name";
            assert!(error.to_string().contains(words), "{error}");
        }
        soon("it drains", without.drained()).await.unwrap();
        let statistics = without.statistics();
        assert_eq!((statistics.timers, statistics.waiting, statistics.dead_lettered), (2, 0, 0));
        without.stop().await.unwrap();
    }
    let node = start(folder.path()).await;
    ticked(&node, "bob", 1).await;
    ticked(&node, "eve", 2).await;
    assert!(node.timers().get(once).await.unwrap().is_none());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_timers_that_are_due_together_fire_though_the_store_takes_little_at_a_time() {
    const TIMERS: u32 = 40;
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let store = everpost_persistence::Config { queue_bytes_max: 4096, ..everpost_tests::config().store };
    let config = NodeConfig { store, ..everpost_tests::config() };
    let start = async || workers(folder.path(), &probe).config(config.clone()).start().await.unwrap();
    let node = start().await;
    let due = Micros::now().plus(Duration::from_millis(1500));
    let message = |number| Script { steps: vec![Step::Append(number)], padding: vec![0; 500] };
    let actor = node.actor::<Worker>("one");
    for number in 0..TIMERS {
        actor.schedule(message(number), Schedule::at(due)).await.unwrap();
    }
    let often = Schedule::every(Duration::from_secs(1)).unwrap().starting_at(ago(HOUR)).missed(Missed::All);
    node.actor::<Worker>("often").schedule(message(0), often).await.unwrap();
    node.stop().await.unwrap();
    eventually("they are due", || Micros::now() > due).await;
    let node = start().await;
    eventually("all have fired", || node.statistics().timers == 1).await;
    soon("the missed ticks of the other have come", async {
        while read(&node.actor::<Worker>("often")).await.entries.len() < 1000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    soon("they are handled", async {
        while read(&node.actor::<Worker>("one")).await.entries.len() < TIMERS as usize {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_sends_to_an_actor_of_another_node_once_although_both_were_down() {
    let (east_name, west_name) = ("timer-east", "timer-west");
    let net = Net::new(&[east_name, west_name]).with("worker", &[west_name]);
    let probe = Probe::new();
    let (east, west) = (net.start(east_name, &probe).await, net.start(west_name, &probe).await);
    linked(&[&east, &west]).await;
    let append = |number| Script::new([Step::Append(number)]);
    let one = east.actor::<Worker>("one");
    one.schedule(append(1), Schedule::after(Duration::from_millis(10))).await.unwrap();
    eventually("it fires", || east.statistics().timers == 0).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, [1]);

    stop([west]).await;
    let due = Micros::now().plus(Duration::from_millis(200));
    let timer = one.schedule(append(2), Schedule::at(due)).await.unwrap();
    one.schedule(append(3), Schedule::after(HOUR)).await.unwrap();
    stop([east]).await;
    eventually("it is due", || Micros::now() > due).await;
    let east = net.start(east_name, &probe).await;
    eventually("it is owed", || east.statistics().outbox == 1).await;
    assert_eq!(east.statistics().timers, 1);
    stop([east]).await;
    let (east, west) = (net.start(east_name, &probe).await, net.start(west_name, &probe).await);
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, [1, 2]);
    assert!(!east.timers().cancel(timer).await.unwrap(), "it has fired");
    stop([east, west]).await;
}
