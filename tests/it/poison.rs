//! Messages that kill the process: they are found and put away, and their neighbours are not blamed; nor is anyone
//! blamed for a SIGKILL from outside.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use everpost::{Node, NodeConfig, Reason};
use everpost_tests::child::Child;
use everpost_tests::load;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::seeds::seeds;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Step, Target, Worker, quick, read, worker, workers};

const NEIGHBOURS: u32 = 1000;
const ATTEMPTS_MAX: u32 = 3;
const GATE: u32 = 0;
const SPIN: u32 = 1;
const OTHER: u32 = 2;

fn neighbour(number: u32) -> Target {
    let key = format!("good-{}", number % 50);
    if number.is_multiple_of(2) { worker(&key) } else { quick(&key) }
}

/// Fills a store: nobody gets past the gate in this process, and stopping it counts against nobody.
async fn fill(folder: &Path, poisons: &[(Target, Step)]) {
    let probe = Probe::new();
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    let node = workers(folder, &probe).config(config).start().await.unwrap();
    for number in 0..NEIGHBOURS {
        send(&node, &neighbour(number), vec![Step::Wait(GATE), Step::Append(number)]).await;
        if let Some((to, step)) = poisons.get(number as usize / 100).filter(|_| number % 100 == 50) {
            send(&node, to, vec![Step::Wait(GATE), step.clone()]).await;
            send(&node, to, vec![Step::Wait(GATE), Step::Append(1)]).await;
        }
    }
    // Handlers that wait at the gate are cut off.
    node.stop().await.unwrap_err();
}

async fn send(node: &Node, to: &Target, steps: Vec<Step>) {
    let script = everpost_tests::worker::Script::new(steps);
    if to.early {
        node.actor::<Quick>(&to.key).send(script).await.unwrap();
    } else {
        node.actor::<Worker>(&to.key).send(script).await.unwrap();
    }
}

/// Starts processes until one drains the store; returns how many died.
fn run_until_drained(setup: &Setup) -> u32 {
    let mut deaths = 0;
    loop {
        let mut child = Child::start(setup);
        child.tell(&Command::Drain);
        let (status, events) = child.end_or(&Event::Drained);
        if events.contains(&Event::Drained) {
            return deaths;
        }
        assert!(matches!(status.and_then(|status| status.signal()), Some(6 | 11)), "{status:?}");
        deaths += 1;
        assert!(deaths < 50, "it dies for ever");
    }
}

async fn check(poisons: &[(Target, Step)], deaths: impl FnOnce(u32) -> bool) {
    let folder = everpost_tests::folder();
    fill(folder.path(), poisons).await;
    let setup = Setup {
        folder: folder.path().into(),
        attempts_max: ATTEMPTS_MAX,
        open: true,
        logs: false,
        seat: None,
        waits: false,
    };
    let died = run_until_drained(&setup);
    assert!(deaths(died), "{died} processes died");

    let probe = Probe::new();
    let node = load::actors(workers(folder.path(), &probe)).start().await.unwrap();
    soon("all that waits is handled", node.drained()).await.unwrap();
    let mut letters = node.dead_letters().list().await.unwrap();
    letters.sort_by_key(|letter| letter.address.to_string());
    let found: Vec<_> = letters.iter().map(|letter| (letter.address.key(), letter.reason, letter.attempts)).collect();
    let mut expected: Vec<_> =
        poisons.iter().map(|(to, _)| (&*to.key, Reason::KilledTheProcess, ATTEMPTS_MAX)).collect();
    expected.sort_by_key(|(key, ..)| *key);
    assert_eq!(found, expected);
    assert!(letters.iter().all(|letter| letter.errors.len() == ATTEMPTS_MAX as usize), "{letters:?}");
    assert_every_neighbour_once(&node).await;
    for (to, _) in poisons {
        let log = read(&node.actor::<Worker>(&to.key)).await;
        assert_eq!(log.entries, [1], "the message behind the poison is handled, once");
    }
    node.stop().await.unwrap();
}

async fn assert_every_neighbour_once(node: &Node) {
    for first in 0..50 {
        let to = neighbour(first);
        let log = if to.early {
            read(&node.actor::<Quick>(&to.key)).await
        } else {
            read(&node.actor::<Worker>(&to.key)).await
        };
        let expected: Vec<u32> = (first..NEIGHBOURS).step_by(50).collect();
        assert_eq!(log.entries, expected, "{to:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_aborts_the_process_ends_in_the_dead_letters_and_1000_neighbours_are_handled_once() {
    // The first death makes it a suspect, the others count.
    check(&[(worker("bad"), Step::Abort)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_overflows_the_stack_ends_in_the_dead_letters_too() {
    check(&[(worker("deep"), Step::Overflow)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_poisons_in_two_mailboxes_are_told_apart() {
    // Both may be in flight at the first death, or the second may show only when the first is gone.
    let poisons = [(worker("bad-1"), Step::Abort), (worker("bad-2"), Step::Abort)];
    check(&poisons, |deaths| (1 + 2 * ATTEMPTS_MAX..=2 + 2 * ATTEMPTS_MAX).contains(&deaths)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_kills_from_outside_dead_letter_nobody() {
    const KILLS: u32 = 20;
    for seed in seeds("poison::twenty_kills_from_outside_dead_letter_nobody", 1) {
        let folder = everpost_tests::folder();
        let mut random = seed.random();
        let setup =
            Setup { folder: folder.path().into(), attempts_max: 8, open: true, logs: false, seat: None, waits: false };
        let mut child = Child::up(&setup);
        // Long turns, so that a kill finds messages in flight; each tells that it runs.
        let turns = |number| vec![Step::Reach(GATE), Step::Work(300_000), Step::Append(number)];
        child.tell(&Command::Send((0..NEIGHBOURS).map(|number| (neighbour(number), turns(number))).collect()));
        for _ in 0..NEIGHBOURS {
            child.wait_for("a message is accepted", |event| matches!(event, Event::Accepted(_)));
        }
        let mut reached = 0;
        for _ in 1..KILLS {
            child.kill();
            child = Child::up(&setup);
            for _ in 0..=random.below(12) {
                child.wait_for("handlers run", |event| *event == Event::Reached(GATE));
                reached += 1;
            }
        }
        child.kill();
        assert!(reached >= KILLS - 1);
        let probe = Probe::new();
        let node = load::actors(workers(folder.path(), &probe)).start().await.unwrap();
        soon("all that waits is handled", node.drained()).await.unwrap();
        assert!(node.dead_letters().list().await.unwrap().is_empty());
        assert_every_neighbour_once(&node).await;
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_computes_for_long_and_is_killed_from_outside_is_not_given_up_on_and_holds_up_nobody() {
    // It was given up on at the next but one.
    const KILLS: u32 = ATTEMPTS_MAX + 3;
    let folder = everpost_tests::folder();
    let setup = Setup { attempts_max: ATTEMPTS_MAX, open: false, ..Setup::alone(folder.path()) };
    let mut child = Child::up(&setup);
    let long = vec![Step::Reach(GATE), Step::Spin(SPIN), Step::Append(1)];
    child.tell(&Command::Send(vec![(worker("long"), long)]));
    for number in 1..=KILLS {
        child.wait_for("it computes", |event| *event == Event::Reached(GATE));
        // Others run while it does.
        child.tell(&Command::Send(vec![(quick("other"), vec![Step::Append(number), Step::Reach(OTHER)])]));
        let (mut is_accepted, mut has_run) = (false, false);
        while !(is_accepted && has_run) {
            match child.wait_for("another one is handled meanwhile", |_| true) {
                Event::Accepted(_) => is_accepted = true,
                Event::Reached(OTHER) => has_run = true,
                _ => {}
            }
        }
        child.kill();
        child = Child::up(&setup);
    }
    child.kill();
    let probe = Probe::new();
    probe.open(SPIN);
    let node = load::actors(workers(folder.path(), &probe)).start().await.unwrap();
    soon("all that waits is handled", node.drained()).await.unwrap();
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    assert_eq!(read(&node.actor::<Worker>("long")).await.entries, [1]);
    assert_eq!(read(&node.actor::<Quick>("other")).await.entries, (1..=KILLS).collect::<Vec<_>>());
    node.stop().await.unwrap();
}
