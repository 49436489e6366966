//! Whatever becomes of the wall clock: what waits for a short time has its turn, and what waits for a long one does
//! not; only moments that somebody named follow it, once it is believed. Whole nodes, in processes whose clock is set.
//! Certificates, which are judged by the same clock, have a test of their own (`judged.rs`).

use std::path::Path;
use std::thread;
use std::time::Duration;

use everpost::tables;
use everpost::{Micros, Node, Schedule};
use everpost_persistence::{Class, Key, Store};
use everpost_tests::child::Child;
use everpost_tests::logs;
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::records;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::waits::{Kind, LONG_WAIT, Order};
use everpost_tests::wall::Wall;
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const TWELVE_YEARS: i64 = 12 * 365 * 24 * HOUR;
const STEPS: [i64; 6] = [MINUTE, HOUR, TWELVE_YEARS, -MINUTE, -HOUR, -TWELVE_YEARS];
/// Schedules wait for a clock that was put back by no more than this.
const PUT_BACK_MAX: i64 = 3 * HOUR;
/// When a process starts, the next minute begins after so many seconds by a clock that is right.
const MINUTE_BEGINS_AFTER: u64 = 15;
/// How much is heard while one thing is waited for.
const EVENTS_MAX: usize = 3000;

/// The table: how often each kind may have run at the end, with the short wait and with the long one.
const TABLE: [(Kind, Times, Times); 12] = [
    (Kind::Backoff, Times::AtLeast(4), Times::Exactly(1)),
    (Kind::Deferral, Times::AtLeast(4), Times::Exactly(1)),
    (Kind::Hold, Times::AtLeast(4), Times::OncePerProcess),
    (Kind::After, Times::Exactly(1), Times::Exactly(0)),
    (Kind::Every, Times::AtLeast(4), Times::Exactly(0)),
    (Kind::At, Times::OnceByTheClock, Times::OnceByTheClock),
    (Kind::Cron, Times::EachMinute, Times::OnceByTheClock),
    (Kind::Expiry, Times::Exactly(0), Times::Exactly(1)),
    (Kind::Key, Times::Exactly(2), Times::Exactly(1)),
    (Kind::Letter, Times::Exactly(1), Times::Exactly(0)),
    (Kind::Budget, Times::Exactly(1), Times::Exactly(0)),
    (Kind::Suspect, Times::OnceAndOnceAfterAKill, Times::Exactly(0)),
];

#[derive(Clone, Copy, Debug)]
enum Times {
    Exactly(usize),
    /// It goes on running.
    AtLeast(usize),
    /// A holder ends with its process, and the message comes back.
    OncePerProcess,
    OnceAndOnceAfterAKill,
    /// At the moment that was named, by the clock that is believed.
    OnceByTheClock,
    /// By the clock that is believed, also for the minutes that it was put ahead by: a thousand of them.
    EachMinute,
}

/// What becomes of the clock, by these seconds, once everything waits.
#[derive(Clone, Copy, Debug)]
enum Course {
    Set(i64),
    SetAndTakenBack(i64),
    SetUntilBelieved(i64),
    SetWhileStopped(i64),
    SetWhileKilled(i64),
    /// What waits was sent from another node, whose clock is right.
    SetOnOneOfTwo(i64),
    /// The clock of that other node is set.
    SetOnTheOther(i64),
}

#[test]
fn a_clock_that_is_set_neither_holds_up_nor_hurries_what_waits() {
    run_all(STEPS.map(Course::Set));
}

#[test]
fn nothing_comes_of_a_clock_that_was_set_and_is_right_again() {
    run_all(STEPS.map(Course::SetAndTakenBack));
}

#[test]
fn a_clock_that_is_believed_moves_what_was_named_by_it_and_nothing_else() {
    run_all(STEPS.map(Course::SetUntilBelieved));
}

#[test]
fn waits_go_on_over_a_restart_with_another_clock() {
    run_all(STEPS.map(Course::SetWhileStopped));
}

#[test]
fn waits_go_on_with_another_clock_in_a_process_that_takes_the_place_of_one_that_was_killed() {
    run_all(STEPS.map(Course::SetWhileKilled));
}

#[test]
fn a_clock_that_is_set_on_one_of_two_nodes_does_nothing_to_what_the_other_has_sent() {
    run_all(STEPS.map(Course::SetOnOneOfTwo));
}

#[test]
fn a_clock_that_is_set_on_one_of_two_nodes_does_nothing_to_what_it_has_sent() {
    run_all(STEPS.map(Course::SetOnTheOther));
}

fn run_all<const N: usize>(courses: [Course; N]) {
    let running = courses.map(|course| thread::spawn(move || run(course)));
    let ended = running.map(thread::JoinHandle::join);
    for (course, ended) in courses.iter().zip(ended) {
        assert!(ended.is_ok(), "{course:?}: see above");
    }
}

fn run(course: Course) {
    let mut scene = Scene::new(course);
    scene.here.tell(Order::Prepare);
    scene.hear("what waits is ready", |scene| scene.times(&Event::Ready) == 1);
    scene.sender().tell(Order::Begin);
    scene.here.tell(Order::Fail);
    scene.here.tell(Order::HaveInHand(course.kills() > 0));
    scene.hear("everything waits", |scene| {
        let waits = [Kind::Backoff, Kind::Deferral, Kind::Hold];
        let waiting = waits.iter().all(|kind| scene.ran(*kind, false) > 0 && scene.ran(*kind, true) > 0);
        // The group has started its task again, which it has stored before.
        let has_failed = scene.times(&Event::Reached(0)) == 2;
        waiting && has_failed && scene.ran(Kind::Key, true) > 0 && scene.ran(Kind::Suspect, false) > 0
    });
    scene.take(course);
    scene.goes_on(8);
    scene.here.tell(Order::Look);
    scene.here.tell(Order::Fail);
    scene.hear("what may have expired has its turn", |scene| scene.times(&Event::Looked) == 1);
    scene.use_keys_again();
    // The group counts both failures, whatever the clock says of the time between them.
    let is_over = |event: &Event| matches!(event, Event::GaveUp(_));
    scene.hear("the budget is spent", |scene| scene.heard.iter().any(is_over));
    let each = TABLE.iter().flat_map(|(kind, short, long)| [(*kind, *short, false), (*kind, *long, true)]);
    for (kind, times, long) in each.clone() {
        let (least, _) = times.bounds(course, long);
        scene.hear(&format!("{course:?}: {kind:?} runs"), |scene| scene.ran(kind, long) >= least);
    }
    scene.goes_on(4);
    for (kind, times, long) in each {
        let (least, most) = times.bounds(course, long);
        let ran = scene.ran(kind, long);
        let wait = if long { "long" } else { "short" };
        let is_right = (least..=most).contains(&ran);
        assert!(is_right, "{course:?}: {kind:?} with the {wait} wait ran {ran} times, which should be {times:?}");
    }
    let told = match course {
        Course::SetAndTakenBack(_) => ["the wall clock was set", "the wall clock is right again"],
        Course::SetUntilBelieved(_) => ["the wall clock was set", "the wall clock is believed"],
        _ => return,
    };
    // It was looked at once a second, by each of the two nodes of the process.
    scene.here.child.kill();
    let lines = scene.here.child.stderr();
    for node in ["node", "hasty"] {
        for event in told {
            let words = [format!("\"event\":\"{event}\""), format!("\"node\":\"{node}\"")];
            let found: Vec<_> = lines.iter().filter(|line| words.iter().all(|word| line.contains(word))).collect();
            assert_eq!(found.len(), 1, "{course:?}: {node} says `{event}` once: {found:?}");
        }
    }
}

impl Course {
    fn is_of_two(self) -> bool {
        matches!(self, Self::SetOnOneOfTwo(_) | Self::SetOnTheOther(_))
    }

    fn kills(self) -> usize {
        usize::from(matches!(self, Self::SetWhileKilled(_)))
    }

    fn processes(self) -> usize {
        if matches!(self, Self::SetWhileStopped(_) | Self::SetWhileKilled(_)) { 2 } else { 1 }
    }

    /// By how much the clock that is believed is ahead at the end.
    fn believed(self) -> i64 {
        if let Self::SetUntilBelieved(seconds) = self { seconds } else { 0 }
    }
}

impl Times {
    /// How often at least, and at most.
    fn bounds(self, course: Course, long: bool) -> (usize, usize) {
        match self {
            Self::Exactly(times) => (times, times),
            Self::AtLeast(times) => (times, usize::MAX),
            Self::OncePerProcess => (course.processes(), course.processes()),
            Self::OnceAndOnceAfterAKill => (1 + course.kills(), 1 + course.kills()),
            Self::OnceByTheClock => {
                let has_come = !long || course.believed() >= LONG_WAIT.as_secs().cast_signed();
                (usize::from(has_come), usize::from(has_come))
            }
            Self::EachMinute => {
                let ahead = usize::try_from(course.believed() / MINUTE).unwrap_or(0);
                (1 + ahead.min(1000), usize::MAX)
            }
        }
    }
}

/// A node, and all that was heard of it; another one that sends to it, if there is one.
struct Scene {
    here: Machine,
    other: Option<Machine>,
    heard: Vec<Event>,
    /// Where their stores and certificates are.
    _kept: (tempfile::TempDir, Option<Net>),
}

/// A process whose clock can be set.
struct Machine {
    setup: Setup,
    wall: Wall,
    /// How much the clock is ahead that is taken for right.
    base: i64,
    child: Child,
}

impl Scene {
    fn new(course: Course) -> Self {
        let folder = everpost_tests::folder();
        if !course.is_of_two() {
            let here = Machine::start(Setup { waits: true, ..Setup::alone(folder.path()) });
            return Self { here, other: None, heard: Vec::new(), _kept: (folder, None) };
        }
        let net = Net::new(&["east", "west"]).with("waiting-long", &["west"]).with("waiting-short", &["west"]);
        let start = |name: &str| Machine::start(Setup { waits: true, ..Setup::seated(net.seat(name)) });
        let (here, other) = (start("west"), start("east"));
        Self { here, other: Some(other), heard: Vec::new(), _kept: (folder, Some(net)) }
    }

    fn sender(&mut self) -> &mut Machine {
        self.other.as_mut().unwrap_or(&mut self.here)
    }

    /// What becomes of the clock.
    fn take(&mut self, course: Course) {
        match course {
            Course::Set(seconds) | Course::SetOnOneOfTwo(seconds) => self.here.set(seconds),
            Course::SetOnTheOther(seconds) => self.sender().set(seconds),
            Course::SetAndTakenBack(seconds) => {
                self.here.set(seconds);
                // Some seconds, by what waits for a third of one.
                self.goes_on(8);
                self.here.set(0);
            }
            Course::SetUntilBelieved(seconds) => {
                self.here.set(seconds);
                self.here.tell(Order::Believe);
                self.hear("the clock is believed", |scene| scene.times(&Event::Believed) == 1);
                if seconds < -PUT_BACK_MAX {
                    let until = self.ran(Kind::Cron, false) + 1;
                    self.hear("the schedule goes on from the present", |scene| scene.ran(Kind::Cron, false) >= until);
                }
            }
            Course::SetWhileStopped(seconds) => {
                self.here.child.tell(&Command::Stop);
                self.hear("the node stops", |scene| scene.times(&Event::Stopped) == 1);
                self.again(seconds);
            }
            Course::SetWhileKilled(seconds) => {
                self.here.child.kill();
                self.again(seconds);
            }
        }
    }

    /// Starts another process, whose clock is ahead by these seconds.
    fn again(&mut self, seconds: i64) {
        let here = &mut self.here;
        self.heard.extend(std::iter::from_fn(|| here.child.hear()));
        here.set(seconds);
        here.child = Child::up_at(&here.setup, &here.wall);
    }

    fn use_keys_again(&mut self) {
        self.sender().tell(Order::UseAgain);
        let Some(other) = &mut self.other else {
            return self.hear("keys are used again", |scene| scene.times(&Event::UsedAgain) == 1);
        };
        // It keeps the keys with the short wait.
        let heard = &mut self.heard;
        other.child.wait_for("keys are used again", |event| {
            heard.push(event.clone());
            *event == Event::UsedAgain
        });
    }

    fn times(&self, event: &Event) -> usize {
        self.heard.iter().filter(|heard| *heard == event).count()
    }

    fn ran(&self, kind: Kind, long: bool) -> usize {
        self.times(&Event::Ran(kind, long))
    }

    fn hear(&mut self, what: &str, is_heard: impl Fn(&Self) -> bool) {
        let heard = self.heard.len();
        while !is_heard(self) {
            // What waits for a short time goes on saying so for ever.
            assert!(self.heard.len() < heard + EVENTS_MAX, "{what}: it does not happen, and others go on");
            let event = self.here.child.wait_for(what, |_| true);
            self.heard.push(event);
        }
    }

    /// Whatever waits for a short time, again and again, has so many turns more.
    fn goes_on(&mut self, times: usize) {
        for kind in [Kind::Deferral, Kind::Backoff, Kind::Hold, Kind::Every] {
            let until = self.ran(kind, false) + if kind == Kind::Deferral { times } else { 2 };
            self.hear(&format!("{kind:?} goes on"), |scene| scene.ran(kind, false) >= until);
        }
    }
}

impl Machine {
    fn start(setup: Setup) -> Self {
        let wall = Wall::new();
        let now = Micros::now().0 / 1_000_000;
        let base = (120 - MINUTE_BEGINS_AFTER - now % 60) % 60;
        let base = base.cast_signed();
        wall.set(base);
        let child = Child::up_at(&setup, &wall);
        Self { setup, wall, base, child }
    }

    /// The clock is ahead by these seconds of what it said before it was set the first time.
    fn set(&self, seconds: i64) {
        self.wall.set(self.base + seconds);
    }

    fn tell(&mut self, order: Order) {
        self.child.tell(&Command::Waits(order));
    }
}

/// Sent with a clock that is right, to a node whose clock is not: 20 of 20 expired.
#[test]
fn what_is_left_of_a_wait_travels_whatever_the_other_clock_says() {
    const MESSAGES: u32 = 20;
    for seconds in [2 * MINUTE, -2 * MINUTE, TWELVE_YEARS] {
        let net = Net::new(&["east", "west"]).with("waiting-long", &["west"]).with("waiting-short", &["west"]);
        let wall = Wall::new();
        wall.set(seconds);
        let setup = |name: &str| Setup { waits: true, ..Setup::seated(net.seat(name)) };
        let mut west = Child::up_at(&setup("west"), &wall);
        let mut east = Child::up(&setup("east"));
        east.tell(&Command::Waits(Order::Send(MESSAGES)));
        for number in 0..MESSAGES {
            let what = format!("{number} of {MESSAGES} messages at a clock that is {seconds} s ahead");
            west.wait_for(&what, |event| *event == Event::Ran(Kind::Expiry, true));
        }
        for child in [&mut east, &mut west] {
            child.tell(&Command::Stop);
            child.wait_for("it stops", |event| *event == Event::Stopped);
            child.end();
            let said = child.stderr();
            assert!(said.iter().any(|line| line.contains("clocks differ")), "nobody is told: {said:#?}");
        }
    }
}

/// Each deferral had a task of its own, which slept until its moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_deferrals_cost_no_task_and_an_earlier_moment_is_not_slept_through() {
    const DEFERRALS: u64 = 1000;
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let worker = node.actor::<Worker>("one");
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    worker.ask(Script::new([])).await.unwrap();
    let before = tasks();
    // Each is to be looked at before all that wait already.
    for number in 0..DEFERRALS {
        let _ = worker.send(Script::new([Step::DeferUntil(3_600_000 - number, 1)])).submit().await.unwrap();
    }
    worker.ask(Script::new([])).await.unwrap();
    let more = tasks().saturating_sub(before);
    assert!(more < 50, "{more} tasks for {DEFERRALS} deferrals");
    // Behind the long ones, and before them.
    worker.send(Script::new([Step::DeferUntil(20, 1), Step::Append(2)])).await.unwrap();
    worker.send(Script::new([Step::Append(1)])).await.unwrap();
    eventually("the short one has its turn", || node.statistics().waiting as u64 == DEFERRALS).await;
    assert_eq!(read(&worker).await.entries, [1, 2]);
    node.stop().await.unwrap();
}

/// What a run leaves about time: a version, which boot it was, and what its clocks said.
type TimeNote = (u8, Option<u128>, u64, u64, u64);

/// Lets the last run of a store have been so long ago, in another boot of the machine.
async fn boot_after(folder: &Path, off: Duration) {
    const NOTE: Key = tables::note(1);
    let (store, _) = Store::open(folder, everpost_tests::config().store, tables::SCHEMA, || ()).unwrap();
    let note = store.get(&NOTE).unwrap().expect("each run leaves one");
    let (version, boot_id, boot, steady, _): TimeNote = postcard::from_bytes(&note).unwrap();
    assert!(boot_id.is_some(), "boots can be told apart");
    let wall = Micros::now().0 - u64::try_from(off.as_micros()).unwrap();
    let note: TimeNote = (version, Some(1), boot, steady, wall);
    let permit = store.reserve(Class::Outside, 100).await.unwrap();
    store.submit(permit, |stage| stage.put(NOTE, postcard::to_allocvec(&note).unwrap().into()));
    store.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_boot_a_start_waits_for_a_clock_that_says_that_much_time_has_passed_and_nothing_comes_of_it() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    logs::keep();
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let builder = || {
        let node = Node::builder("booted", folder.path()).actor(Worker::new(&probe));
        node.config(everpost_tests::config())
    };
    let node = builder().start().await.unwrap();
    node.actor::<Worker>("one").schedule(Script::new([Step::Append(1)]), Schedule::after(DAY)).await.unwrap();
    node.stop().await.unwrap();
    boot_after(folder.path(), DAY * 365 * 12).await;
    let starting = tokio::spawn(builder().start());
    logs::line("booted", "the start waits for the wall clock", "").await;
    starting.abort();
    assert!(starting.await.unwrap_err().is_cancelled());
    records::free(folder.path()).await;
    boot_after(folder.path(), Duration::from_secs(1800)).await;
    let node = soon("half an hour is believed", builder().start()).await.unwrap();
    assert_eq!(node.statistics().timers, 1);
    assert!(read(&node.actor::<Worker>("one")).await.entries.is_empty());
    node.stop().await.unwrap();
}
