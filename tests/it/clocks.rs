//! Whatever becomes of the wall clock: what waits for a short time has its turn, and what waits for a long one does not. Whole
//! nodes, in processes whose clock is set. What a step that is believed does to moments that somebody named is decided by
//! pure rules, which are tested in virtual time (`runtime/src/clock`, `runtime/src/timer`).

use std::thread;

use everpost_tests::child::Child;
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::eventually;
use everpost_tests::waits::{Kind, Order};
use everpost_tests::wall::Wall;
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
/// How much is heard while one thing is waited for.
const EVENTS_MAX: usize = 1000;
const TWELVE_YEARS: i64 = 12 * 365 * 24 * HOUR;

/// The table: how often each kind may have run at the end, with the short wait and with the long one. Where nothing is said of the
/// upper end it goes on running.
const TABLE: [(Kind, Times, Times); 8] = [
    (Kind::Backoff, Times::AtLeast(4), Times::Exactly(1)),
    (Kind::Deferral, Times::AtLeast(4), Times::Exactly(1)),
    (Kind::Hold, Times::AtLeast(4), Times::OncePerProcess),
    (Kind::After, Times::AtLeast(1), Times::Exactly(0)),
    (Kind::Every, Times::AtLeast(4), Times::Exactly(0)),
    (Kind::At, Times::AtLeast(1), Times::Exactly(0)),
    (Kind::Expiry, Times::Exactly(0), Times::Exactly(1)),
    (Kind::Key, Times::Exactly(0), Times::Exactly(1)),
];

#[derive(Clone, Copy, Debug)]
enum Times {
    Exactly(usize),
    AtLeast(usize),
    /// A holder ends with its process, and the message comes back.
    OncePerProcess,
}

/// What becomes of the clock, by these seconds, once everything waits.
#[derive(Clone, Copy, Debug)]
enum Course {
    Set(i64),
    SetAndTakenBack(i64),
    SetWhileStopped(i64),
    SetWhileKilled(i64),
}

#[test]
fn a_clock_that_is_set_neither_holds_up_nor_hurries_what_waits() {
    run_all([MINUTE, HOUR, TWELVE_YEARS, -MINUTE, -HOUR, -TWELVE_YEARS].map(Course::Set));
}

#[test]
fn nothing_comes_of_a_clock_that_was_set_and_is_right_again() {
    run_all([TWELVE_YEARS, -TWELVE_YEARS, HOUR, -HOUR].map(Course::SetAndTakenBack));
}

#[test]
fn waits_go_on_over_a_restart_with_another_clock() {
    let (stopped, killed) = (Course::SetWhileStopped, Course::SetWhileKilled);
    run_all([stopped(TWELVE_YEARS), stopped(-TWELVE_YEARS), killed(HOUR), killed(-HOUR)]);
}

fn run_all<const N: usize>(courses: [Course; N]) {
    let running = courses.map(|course| thread::spawn(move || run(course)));
    let ended = running.map(thread::JoinHandle::join);
    for (course, ended) in courses.iter().zip(ended) {
        assert!(ended.is_ok(), "{course:?}: see above");
    }
}

fn run(course: Course) {
    let folder = everpost_tests::folder();
    let setup = Setup { waits: true, ..Setup::alone(folder.path()) };
    let mut scene = Scene::new(&setup);
    scene.child.tell(&Command::Waits(Order::Begin));
    scene.child.tell(&Command::Waits(Order::Fail));
    scene.hear("everything waits", |scene| {
        let waits = [Kind::Backoff, Kind::Deferral, Kind::Hold];
        let waiting = waits.iter().all(|kind| scene.ran(*kind, false) > 0 && scene.ran(*kind, true) > 0);
        // The group has started its task again, which it has stored before.
        waiting && scene.ran(Kind::Key, true) > 0 && scene.times(&Event::Reached(0)) == 2
    });
    let processes = match course {
        Course::Set(seconds) => {
            scene.wall.set(seconds);
            1
        }
        Course::SetAndTakenBack(seconds) => {
            scene.wall.set(seconds);
            // Some seconds, by what waits for a third of one.
            scene.goes_on(8);
            scene.wall.set(0);
            1
        }
        Course::SetWhileStopped(seconds) => {
            scene.child.tell(&Command::Stop);
            scene.hear("the node stops", |scene| scene.times(&Event::Stopped) == 1);
            scene.again(&setup, seconds);
            2
        }
        Course::SetWhileKilled(seconds) => {
            scene.child.kill();
            scene.again(&setup, seconds);
            2
        }
    };
    scene.goes_on(8);
    scene.hear("timers fire", |scene| scene.ran(Kind::After, false) > 0 && scene.ran(Kind::At, false) > 0);
    scene.child.tell(&Command::Waits(Order::Look));
    scene.child.tell(&Command::Waits(Order::Fail));
    scene.hear("what may have expired has its turn", |scene| scene.ran(Kind::Expiry, true) > 0);
    scene.hear("the key is used again", |scene| scene.times(&Event::Looked) == 1);
    // The group counts both failures, whatever the clock says of the time between them.
    let is_over = |event: &Event| matches!(event, Event::GaveUp(_));
    scene.hear("the budget is spent", |scene| scene.heard.iter().any(is_over));
    scene.goes_on(4);
    for (kind, short, long) in TABLE {
        for (times, long) in [(short, false), (long, true)] {
            let ran = scene.ran(kind, long);
            let right = match times {
                Times::Exactly(times) => ran == times,
                Times::AtLeast(times) => ran >= times,
                Times::OncePerProcess => ran == processes,
            };
            let wait = if long { "long" } else { "short" };
            assert!(right, "{course:?}: {kind:?} with the {wait} wait ran {ran} times, which should be {times:?}");
        }
    }
}

/// A node by itself, and all that was heard of it.
struct Scene {
    wall: Wall,
    child: Child,
    heard: Vec<Event>,
}

impl Scene {
    fn new(setup: &Setup) -> Self {
        let wall = Wall::new();
        let child = Child::up_at(setup, &wall);
        Self { wall, child, heard: Vec::new() }
    }

    /// Starts another process, whose clock is ahead by these seconds.
    fn again(&mut self, setup: &Setup, seconds: i64) {
        self.heard.extend(std::iter::from_fn(|| self.child.hear()));
        self.wall.set(seconds);
        self.child = Child::up_at(setup, &self.wall);
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
            let event = self.child.wait_for(what, |_| true);
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
        let _ = worker.submit(Script::new([Step::DeferUntil(3_600_000 - number, 1)])).await.unwrap();
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
