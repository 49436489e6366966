//! Timers that are set again and again, by name or as they are; ticks that were missed for long; looking at timers.

use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use everpost::{
    Actor, Durable, Failure, Handler, Handlers, Message, Micros, Missed, Node, NodeConfig, QueryHandler, Refusal,
    Schedule, SendError, State, Timer, TriggerError, Turn,
};
use everpost_tests::child::Child;
use everpost_tests::logs;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::seeds::{Random, seeds};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Worker, read, workers};
use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sends reports when it is told to.
struct Office;

#[derive(Clone, Debug, Default, Serialize, Deserialize, State)]
struct Desk {
    reports: Vec<(u32, u64)>,
}

/// Arranges for reports, as a turn does it; `None` ends that.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "arrange")]
struct Arrange {
    name: String,
    hours: Option<u32>,
    fails_up_to: u32,
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "report")]
struct Report {
    label: u32,
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "look", reply = Desk)]
struct Look;

impl Actor for Office {
    const TYPE: &'static str = "office";
    type State = Desk;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Arrange>();
        handlers.on::<Report>();
        handlers.on_query::<Look>();
    }
}

impl Handler<Arrange> for Office {
    async fn handle(&self, _: &mut Durable<Desk>, arrange: Arrange, turn: &mut Turn<'_>) -> Result<(), Failure> {
        match arrange.hours {
            Some(hours) => {
                let schedule = Schedule::every(HOUR * hours)?;
                turn.schedule_named(&arrange.name, &Self::at("bob"), Report { label: 7 }, schedule);
            }
            None => turn.cancel(&arrange.name),
        }
        if turn.attempt() <= arrange.fails_up_to { Err(Failure::retry("told to fail")) } else { Ok(()) }
    }
}

impl Handler<Report> for Office {
    async fn handle(&self, desk: &mut Durable<Desk>, report: Report, turn: &mut Turn<'_>) -> Result<(), Failure> {
        desk.reports.push((report.label, turn.sent_at().0));
        Ok(())
    }
}

impl QueryHandler<Look> for Office {
    fn answer(&self, desk: &Desk, Look: Look) -> Desk {
        desk.clone()
    }
}

async fn start(name: &str, folder: &Path, config: NodeConfig) -> Node {
    Node::builder(name, folder).config(config).actor(Office).start().await.unwrap()
}

async fn open(folder: &Path) -> Node {
    start("node", folder, everpost_tests::config()).await
}

async fn reports(node: &Node, key: &str) -> Vec<(u32, u64)> {
    node.actor::<Office>(key).query(Look).await.unwrap().reports
}

async fn look(node: &Node, name: &str) -> Timer {
    node.timers().get(name).await.unwrap().expect("it is there")
}

fn ago(duration: Duration) -> Micros {
    (std::time::SystemTime::from(Micros::now()) - duration).into()
}

fn arrange(name: &str, hours: Option<u32>) -> Arrange {
    Arrange { name: name.into(), hours, fails_up_to: 0 }
}

/// Five starts of a program that sets its schedule in `main` made five timers.
#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_is_set_at_each_start_is_one_timer() {
    let folder = everpost_tests::folder();
    let mut set = Vec::new();
    for _ in 0..5 {
        let node = open(folder.path()).await;
        let bob = node.actor::<Office>("bob");
        let hourly = Schedule::every(HOUR).unwrap();
        let timer = bob.schedule(Report { label: 1 }, hourly.clone()).await.unwrap();
        set.push((timer, node.timers().get(timer).await.unwrap().unwrap().next_due));
        // Another message, actor or schedule is another timer, and so is each that fires once.
        bob.schedule(Report { label: 2 }, hourly.clone()).await.unwrap();
        node.actor::<Office>("carol").schedule(Report { label: 1 }, hourly).await.unwrap();
        bob.schedule(Report { label: 1 }, Schedule::every(HOUR * 2).unwrap()).await.unwrap();
        bob.schedule(Report { label: 3 }, Schedule::after(HOUR)).await.unwrap();
        node.stop().await.unwrap();
    }
    set.dedup_by_key(|(timer, _)| *timer);
    assert_eq!(set.len(), 1);
    let node = open(folder.path()).await;
    assert_eq!((node.statistics().timers, node.timers().list().await.unwrap().len()), (4 + 5, 9));
    assert!(node.timers().cancel(set[0].0).await.unwrap());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_set_at_each_start_is_due_when_it_was_and_another_schedule_replaces_it() {
    let folder = everpost_tests::folder();
    let hourly = Schedule::every(HOUR).unwrap();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let node = open(folder.path()).await;
        node.actor::<Office>("bob").schedule_named("nightly", Report { label: 1 }, hourly.clone()).await.unwrap();
        let timer = look(&node, "nightly").await;
        seen.push((timer.id, timer.set_at, timer.next_due.unwrap()));
        assert_eq!(node.timers().count(), 1);
        node.stop().await.unwrap();
    }
    // What is shown of a wait by the wall clock follows that within its corrections.
    let apart = |one: Micros, other: Micros| one.since(other).max(other.since(one));
    assert!(
        seen.iter().all(|(id, set_at, due)| (*id, *set_at) == (seen[0].0, seen[0].1)
            && apart(*due, seen[0].2) < Duration::from_secs(5))
    );
    let node = open(folder.path()).await;
    // Another message for another actor, at the moments that were there.
    node.actor::<Office>("carol").schedule_named("nightly", Report { label: 2 }, hourly).await.unwrap();
    let timer = look(&node, "nightly").await;
    assert_eq!((timer.id, timer.address.key(), node.timers().count()), (seen[0].0, "carol", 1));
    assert!(apart(timer.next_due.unwrap(), seen[0].2) < Duration::from_secs(5));
    let daily = Schedule::every(DAY).unwrap();
    node.actor::<Office>("bob").schedule_named("nightly", Report { label: 2 }, daily.clone()).await.unwrap();
    node.stop().await.unwrap();
    let node = open(folder.path()).await;
    let timer = look(&node, "nightly").await;
    assert_eq!((&timer.schedule, timer.name.as_deref(), timer.message.as_str()), (&daily, Some("nightly"), "report"));
    assert!(timer.next_due.unwrap() > Micros::now().plus(HOUR * 23));
    assert!(node.timers().cancel("nightly").await.unwrap() && !node.timers().cancel("nightly").await.unwrap());
    assert!(node.timers().get("nightly").await.unwrap().is_none());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_sets_and_cancels_by_name_when_it_commits() {
    let folder = everpost_tests::folder();
    let node = open(folder.path()).await;
    let alice = node.actor::<Office>("alice");
    alice.ask(Arrange { fails_up_to: 3, ..arrange("nightly", Some(1)) }).await.unwrap();
    let first = look(&node, "nightly").await;
    assert_eq!((first.address.key(), first.sender.as_ref().map(|sender| sender.key())), ("bob", Some("alice")));
    node.actor::<Office>("eve").ask(arrange("nightly", Some(1))).await.unwrap();
    let again = look(&node, "nightly").await;
    assert_eq!((again.set_at, again.sender, node.timers().count()), (first.set_at, first.sender, 1), "it is there");
    // From outside it is the same one.
    let bob = node.actor::<Office>("bob");
    bob.schedule_named("nightly", Report { label: 7 }, Schedule::every(HOUR).unwrap()).await.unwrap();
    assert_eq!(look(&node, "nightly").await.set_at, first.set_at);
    alice.ask(arrange("nightly", Some(2))).await.unwrap();
    assert_eq!(look(&node, "nightly").await.schedule, Schedule::every(HOUR * 2).unwrap());
    alice.ask(arrange("nightly", None)).await.unwrap();
    assert_eq!(node.timers().count(), 0);
    assert!(alice.ask(arrange("two\nlines", Some(1))).await.is_err(), "no name");
    assert_eq!(node.timers().count(), 0);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_sends_one_tick_more_and_moves_nothing() {
    let folder = everpost_tests::folder();
    let node = open(folder.path()).await;
    let bob = node.actor::<Office>("bob");
    bob.schedule_named("nightly", Report { label: 1 }, Schedule::cron("0 3 * * *").unwrap()).await.unwrap();
    let before = look(&node, "nightly").await;
    let now = Micros::now();
    let ids = [node.timers().trigger("nightly").await.unwrap(), node.timers().trigger(before.id).await.unwrap()];
    assert_ne!(ids[0], ids[1]);
    soon("it drains", node.drained()).await.unwrap();
    let sent = reports(&node, "bob").await;
    assert!(sent.len() == 2 && sent.iter().all(|(label, at)| *label == 1 && *at + 1_000_000 > now.0), "{sent:?}");
    let after = look(&node, "nightly").await;
    assert_eq!((after.next_due, after.fired, after.last_fired), (before.next_due, 0, None));
    assert!(matches!(node.timers().trigger("weekly").await, Err(TriggerError::NotThere)));
    node.stop().await.unwrap();
    assert!(matches!(node.timers().trigger("nightly").await, Err(TriggerError::NotAccepted(Refusal::Stopping))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_timer_has_done_is_told_also_after_a_restart() {
    let folder = everpost_tests::folder();
    let node = open(folder.path()).await;
    let bob = node.actor::<Office>("bob");
    let dense = Schedule::every(Duration::from_millis(20)).unwrap();
    bob.schedule_named("dense", Report { label: 1 }, dense).await.unwrap();
    let skipping = Schedule::every(HOUR).unwrap().starting_at(ago(HOUR * 10 + HOUR / 2)).missed(Missed::Skip);
    bob.schedule_named("skipping", Report { label: 2 }, skipping).await.unwrap();
    soon("it fires", async {
        while look(&node, "dense").await.fired < 3 || look(&node, "skipping").await.missed == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let (skipping, listed) = (look(&node, "skipping").await, node.timers().list().await.unwrap());
    assert_eq!((skipping.fired, skipping.missed, skipping.last_fired), (0, 11, None));
    assert!(skipping.next_due.unwrap().since(Micros::now()) > HOUR / 4);
    assert_eq!(listed.iter().map(|timer| timer.name.as_deref()).collect::<Vec<_>>(), [Some("dense"), Some("skipping")]);
    node.stop().await.unwrap();
    let node = open(folder.path()).await;
    node.timers().cancel("dense").await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let dense = reports(&node, "bob").await;
    assert!(dense.len() >= 3 && dense.is_sorted_by(|one, other| one.1 < other.1));
    assert_eq!(look(&node, "skipping").await.missed, 11);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_set_a_name_at_once_set_one_timer() {
    let folder = everpost_tests::folder();
    let node = open(folder.path()).await;
    let setting: Vec<_> = (0..40)
        .map(|index| {
            let bob = node.actor::<Office>("bob");
            let label = index % 2;
            tokio::spawn(async move {
                bob.schedule_named("nightly", Report { label }, Schedule::every(HOUR).unwrap()).await.unwrap();
                bob.schedule(Report { label: 9 }, Schedule::every(HOUR).unwrap()).await.unwrap();
            })
        })
        .collect();
    for set in setting {
        soon("it is set", set).await.unwrap();
    }
    assert_eq!((node.timers().count(), node.timers().list().await.unwrap().len()), (2, 2));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_dropped_anywhere_sets_and_cancels_wholly_or_not_and_can_be_made_again() {
    let folder = everpost_tests::folder();
    let node = open(folder.path()).await;
    for polls in 0..6 {
        let bob = node.actor::<Office>("bob");
        let set = || bob.schedule_named("nightly", Report { label: polls }, Schedule::every(HOUR).unwrap());
        poll_so_often(polls, set()).await;
        assert!(node.timers().count() <= 1);
        soon("it is set", set()).await.unwrap();
        poll_so_often(polls, node.timers().trigger("nightly")).await;
        soon("it is triggered", node.timers().trigger("nightly")).await.unwrap();
        assert_eq!(node.timers().count(), 1);
        poll_so_often(polls, node.timers().cancel("nightly")).await;
        soon("it is cancelled", node.timers().cancel("nightly")).await.unwrap();
        assert_eq!((node.timers().count(), node.timers().list().await.unwrap().len()), (0, 0));
    }
    soon("it drains", node.drained()).await.unwrap();
    let sent = reports(&node, "bob").await.len();
    assert!((6..=12).contains(&sent), "each trigger that returned, and perhaps those that did not: {sent}");
    node.stop().await.unwrap();
}

/// Polls a future so often, unless it is ready before, and drops it.
async fn poll_so_often(polls: u32, future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let is_ready = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await;
        if is_ready {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_none_can_have_is_refused_and_one_that_is_there_needs_no_room() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { timers_max: 1, ..everpost_tests::config() };
    let node = start("node", folder.path(), config).await;
    let bob = node.actor::<Office>("bob");
    let hourly = || Schedule::every(HOUR).unwrap();
    for name in ["", "two\nlines", &"x".repeat(256)] {
        let refused = bob.schedule_named(name, Report { label: 1 }, hourly()).await.unwrap_err();
        assert!(matches!(refused, SendError::NotAccepted { reason: Refusal::TimerName { .. }, .. }), "{refused:?}");
    }
    for label in 1..3 {
        bob.schedule_named("nightly", Report { label }, hourly()).await.unwrap();
    }
    let refused = bob.schedule_named("weekly", Report { label: 1 }, hourly()).await.unwrap_err();
    assert!(matches!(refused, SendError::NotAccepted { reason: Refusal::TimersFull { .. }, .. }), "{refused:?}");
    node.stop().await.unwrap();
}

/// 74 million ticks that a month had missed filled the node, which refused everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_down_for_a_month_sends_the_newest_thousand_ticks_and_counts_the_others() {
    logs::keep();
    let folder = everpost_tests::folder();
    let node = start("down-for-a-month", folder.path(), everpost_tests::config()).await;
    let month = ago(DAY * 30);
    let second = Schedule::every(Duration::from_secs(1)).unwrap().starting_at(month).missed(Missed::All);
    let (bob, carol) = (node.actor::<Office>("bob"), node.actor::<Office>("carol"));
    bob.schedule_named("all", Report { label: 1 }, second.clone()).await.unwrap();
    let few = second.missed_max(3).missed_within(Duration::MAX);
    carol.schedule_named("few", Report { label: 1 }, few).await.unwrap();
    soon("they fire", async {
        while reports(&node, "bob").await.len() < 1000 || reports(&node, "carol").await.len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    logs::line("down-for-a-month", "ticks left out", "").await;
    for (name, key, sent_max) in [("all", "bob", 1200), ("few", "carol", 200)] {
        let timer = look(&node, name).await;
        node.timers().cancel(name).await.unwrap();
        soon("it drains", node.drained()).await.unwrap();
        let sent = reports(&node, key).await;
        // Some more have come since.
        assert!(sent.len() < sent_max, "{name}: {}", sent.len());
        assert!(timer.missed > 30 * 86_400 - sent_max as u64 && timer.missed < 30 * 86_400 + 120, "{}", timer.missed);
        assert!(sent.is_sorted_by(|one, other| one.1 < other.1), "oldest first, and each once");
        assert!(sent[0].1 > Micros::now().0 - 1200 * 1_000_000, "the newest");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_fills_neither_the_node_nor_a_mailbox_and_others_go_on() {
    logs::keep();
    let folder = everpost_tests::folder();
    let config = NodeConfig { mailbox_messages_max: 100, node_messages_max: 1_000, ..everpost_tests::config() };
    let node = start("held-back", folder.path(), config).await;
    let (bob, carol) = (node.actor::<Office>("bob"), node.actor::<Office>("carol"));
    bob.pause("it is looked after").await.unwrap();
    let dense = Schedule::every(Duration::from_millis(1)).unwrap().missed(Missed::All);
    bob.schedule_named("dense", Report { label: 1 }, dense).await.unwrap();
    logs::line("held-back", "ticks held back", "").await;
    let timer = look(&node, "dense").await;
    assert!(timer.is_held_back || timer.next_due.is_some_and(|due| due <= Micros::now()));
    assert!(node.statistics().waiting <= 100 + 64, "{:?}", node.statistics());
    // Single ticks are counted by `timers_max`: they pass, to the full mailbox too.
    carol.schedule(Report { label: 2 }, Schedule::after(Duration::ZERO)).await.unwrap();
    bob.schedule(Report { label: 3 }, Schedule::after(Duration::ZERO)).await.unwrap();
    soon("it passes", async {
        while reports(&node, "carol").await.is_empty() || node.timers().count() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(matches!(node.timers().trigger("dense").await, Err(TriggerError::NotAccepted(Refusal::MailboxFull))));
    let fired = look(&node, "dense").await.fired;
    bob.resume().await.unwrap();
    soon("it goes on", async {
        while look(&node, "dense").await.fired <= fired + 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    node.timers().cancel("dense").await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let sent: Vec<_> = reports(&node, "bob").await.into_iter().filter(|(label, _)| *label == 1).collect();
    assert!(sent.is_sorted_by(|one, other| one.1 < other.1), "each once");
    node.stop().await.unwrap();
}

const KILLS: u32 = 10;

/// A child sets the timer at each of its starts, now and then with another message, and is killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_a_name_has_one_timer_and_what_was_replaced_sends_nothing() {
    for seed in seeds("schedules::killed_at_random_moments_a_name_has_one_timer_and_what_was_replaced_sends_nothing", 1)
    {
        let folder = everpost_tests::folder();
        let mut random = seed.random();
        let (mut acknowledged, mut told) = (0, 0);
        for _ in 0..KILLS {
            told = set_and_die(folder.path(), &mut random, told, &mut acknowledged).await;
        }
        let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
        let timer = node.timers().get("schedule").await.unwrap();
        assert_eq!(node.timers().count(), usize::from(timer.is_some()), "there is no other");
        assert!(timer.is_some() || acknowledged == 0, "it is there");
        let fired = timer.map_or(0, |timer| timer.fired);
        node.timers().cancel("schedule").await.unwrap();
        eventually("it is gone", || node.statistics().timers == 0).await;
        soon("everything drains", node.drained()).await.unwrap();
        let entries = read(&node.actor::<Worker>("scheduled")).await.entries;
        assert!(entries.is_sorted(), "what was replaced sends nothing: {entries:?}");
        assert!(entries.last().is_none_or(|last| *last <= told));
        eprintln!(
            "seed {}: {} ticks, {} of the last timer, {acknowledged} of {told} acknowledged",
            seed.value(),
            entries.len(),
            fired
        );
        node.stop().await.unwrap();
    }
}

async fn set_and_die(folder: &Path, random: &mut Random, mut told: u32, acknowledged: &mut u32) -> u32 {
    let mut child = Child::up(&Setup::alone(folder));
    for _ in 0..=random.below(3) {
        if told == 0 || random.below(2) == 0 {
            told += 1;
        }
        child.tell(&Command::Schedule(told, 5 + u64::from(told) % 3));
    }
    for _ in 0..random.below(2) * random.below(24) {
        match child.hear().expect("nobody has killed it yet") {
            Event::Refused(reason) => panic!("the store does not open: {reason}"),
            Event::Scheduled(number) => *acknowledged = number,
            _ => {}
        }
    }
    // The moment of the kill must have nothing to do with what it said.
    tokio::time::sleep(Duration::from_micros(random.below(1_000))).await;
    child.kill();
    while let Some(event) = child.hear() {
        if let Event::Scheduled(number) = event {
            *acknowledged = number;
        }
    }
    told
}
