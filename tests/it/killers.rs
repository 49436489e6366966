//! States that end the process when they are loaded, encoded or dropped: every start died of them. Their actors are
//! found and paused, each by itself, and nothing else is.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use everpost::{Node, NodeConfig, Reason};
use everpost_tests::child::Child;
use everpost_tests::fuse::{Death, Fuse, Moment, Spark};
use everpost_tests::load;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const INNOCENTS: u32 = 20;
const NUMBERS: u32 = 100;
const ATTEMPTS_MAX: u32 = 3;
const GATE: u32 = 0;

/// What the actor `key` has in its state, and what waits for it.
struct Killer {
    key: &'static str,
    before: Vec<Step>,
    waiting: Vec<Vec<Step>>,
}

/// The state is there already, and a message waits for it.
fn loaded(key: &'static str, by: Death) -> Killer {
    let before = vec![Step::Lay(Spark { at: Moment::Load, by })];
    Killer { key, before, waiting: vec![vec![Step::Append(1)], vec![Step::Append(2)]] }
}

/// The first message makes it such a state.
fn encoded(key: &'static str, by: Death) -> Killer {
    let lay = Step::Lay(Spark { at: Moment::Encode, by });
    Killer { key, before: vec![], waiting: vec![vec![lay, Step::Append(1)], vec![Step::Append(2)]] }
}

/// The state is there already; a message that fails once has it put back, which drops what it had made.
fn dropped(key: &'static str, by: Death) -> Killer {
    let before = vec![Step::Lay(Spark { at: Moment::Drop, by })];
    Killer { key, before, waiting: vec![vec![Step::Append(1), Step::FailUpTo(1)], vec![Step::Append(2)]] }
}

/// Nobody gets past the gate in this process, where no state ends anything.
async fn fill(folder: &Path, killers: &[Killer]) {
    let probe = Probe::new();
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    let node = workers(folder, &probe).config(config).start().await.unwrap();
    let wait = |steps: &[Step]| Script::new([&[Step::Wait(GATE)], steps].concat());
    for killer in killers {
        let actor = node.actor::<Worker>(killer.key);
        actor.ask(Script::new(killer.before.clone())).await.unwrap();
        for steps in &killer.waiting {
            actor.send(wait(steps)).await.unwrap();
        }
    }
    for number in 0..NUMBERS {
        node.actor::<Worker>(&innocent(number)).send(wait(&[Step::Append(number)])).await.unwrap();
    }
    // Handlers that wait at the gate are cut off.
    node.stop().await.unwrap_err();
}

fn innocent(number: u32) -> String {
    format!("good-{}", number % INNOCENTS)
}

/// Starts processes until one has so many actors paused, and has handled all but `left` messages; returns how many
/// died.
fn run_until_drained_to(setup: &Setup, paused: usize, left: usize) -> u32 {
    let mut deaths = 0;
    loop {
        let mut child = Child::start(setup);
        child.tell(&Command::DrainTo { paused, waiting: left });
        let (status, events) = child.end_or(&Event::Drained);
        if events.contains(&Event::Drained) {
            return deaths;
        }
        assert!(matches!(status.and_then(|status| status.signal()), Some(6 | 11)), "{status:?}");
        deaths += 1;
        assert!(deaths < 20, "every start dies: {deaths} of {deaths}");
    }
}

async fn check(killers: &[Killer], deaths: impl FnOnce(u32) -> bool) {
    let folder = everpost_tests::folder();
    fill(folder.path(), killers).await;
    let setup = Setup { attempts_max: ATTEMPTS_MAX, ..Setup::alone(folder.path()) };
    let left = killers.iter().map(|killer| killer.waiting.len()).sum();
    let died = run_until_drained_to(&setup, killers.len(), left);
    assert!(deaths(died), "{died} processes died");

    // As a build would be that can do with such states.
    let probe = Probe::new();
    probe.open(GATE);
    let node = load::actors(workers(folder.path(), &probe)).start().await.unwrap();
    eventually("the others are handled", || node.statistics().waiting <= left).await;
    let paused: Vec<_> = node.paused().into_iter().map(|(name, paused)| (name, paused.reason.to_string())).collect();
    let mut expected: Vec<_> = killers.iter().map(|killer| format!("worker/{}", killer.key)).collect();
    expected.sort();
    assert_eq!(paused.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected, "{paused:?}");
    assert!(paused.iter().all(|(_, reason)| reason.contains("the process died")), "{paused:?}");
    assert_eq!((node.statistics().waiting, node.statistics().failed), (left, 0), "what waits for them is kept");
    for key in 0..INNOCENTS {
        let log = read(&node.actor::<Worker>(&innocent(key))).await;
        assert_eq!(log.entries, (key..NUMBERS).step_by(INNOCENTS as usize).collect::<Vec<_>>(), "{key}");
    }
    assert_refused(&node, killers).await;
    for killer in killers {
        let actor = node.actor::<Worker>(killer.key);
        actor.resume().await.unwrap();
        soon("what waited is handled", actor.ask(Script::new([]))).await.unwrap();
        assert_eq!(read(&actor).await.entries, [1, 2], "{}", killer.key);
    }
    assert!(node.paused().is_empty() && node.dead_letters().list().await.unwrap().is_empty());
    node.stop().await.unwrap();
}

/// A query would load the state.
async fn assert_refused(node: &Node, killers: &[Killer]) {
    for killer in killers {
        let asked = soon("it is answered", node.actor::<Worker>(killer.key).query(everpost_tests::worker::Read)).await;
        let error = asked.unwrap_err().to_string();
        assert!(error.contains("the process died"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_whose_decoding_aborts_or_overflows_the_stack_killed_every_start_and_is_now_paused_alone() {
    // The first death makes it a suspect, the others count.
    check(&[loaded("deep", Death::Overflow)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
    check(&[loaded("bad", Death::Abort)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_whose_encoding_aborts_or_overflows_the_stack_is_paused_alone_and_its_message_is_kept() {
    check(&[encoded("deep", Death::Overflow)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
    check(&[encoded("bad", Death::Abort)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_aborts_or_overflows_the_stack_when_it_is_dropped_is_paused_alone() {
    check(&[dropped("deep", Death::Overflow)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
    check(&[dropped("bad", Death::Abort)], |deaths| deaths == 1 + ATTEMPTS_MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_such_states_are_told_apart() {
    let killers = [loaded("bad-1", Death::Abort), loaded("bad-2", Death::Overflow)];
    check(&killers, |deaths| (1 + 2 * ATTEMPTS_MAX..=2 + 2 * ATTEMPTS_MAX).contains(&deaths)).await;
    let killers = [encoded("bad-1", Death::Overflow), dropped("bad-2", Death::Abort)];
    check(&killers, |deaths| (1 + 2 * ATTEMPTS_MAX..=2 + 2 * ATTEMPTS_MAX).contains(&deaths)).await;
}

/// The order used to take the suspicion with it, so that no death was counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_main_that_pauses_or_resumes_such_an_actor_at_once_made_every_start_die_and_now_deaths_count() {
    let key = "slow";
    for order in [Command::Pause(key.into()), Command::Resume(key.into())] {
        let folder = everpost_tests::folder();
        let killer = loaded(key, Death::Lit);
        fill(folder.path(), std::slice::from_ref(&killer)).await;
        let setup = Setup { attempts_max: ATTEMPTS_MAX, ..Setup::alone(folder.path()) };
        let start = |orders: &[Command]| {
            let mut child = Child::start(&setup);
            orders.iter().for_each(|order| child.tell(order));
            child.end_or(&Event::Drained).0
        };
        let drain = Command::DrainTo { paused: 1, waiting: killer.waiting.len() };
        assert!(start(&[Command::Light]).is_some(), "it becomes a suspect");
        for _ in 0..ATTEMPTS_MAX {
            assert!(start(&[order.clone(), Command::Light]).is_some(), "it dies in its trial");
        }
        assert_eq!(start(&[Command::Light, drain]), None, "{order:?}: it dies once more");
        let node = load::actors(workers(folder.path(), &Probe::new())).start().await.unwrap();
        let paused = node.actor::<Worker>(key).paused().unwrap().reason.to_string();
        assert!(paused.contains("the process died"), "{paused}");
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_kills_the_process_when_it_is_decoded_or_dropped_ends_in_the_dead_letters() {
    let folder = everpost_tests::folder();
    fill(folder.path(), &[]).await;
    let node = workers(folder.path(), &Probe::new());
    let node = node.config(NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() });
    let node = node.start().await.unwrap();
    for (key, at) in [("decoded", Moment::Load), ("dropped", Moment::Drop)] {
        let carried = Step::Carry(Fuse::new(Spark { at, by: Death::Overflow }));
        node.actor::<Worker>(key).send(Script::new([Step::Wait(GATE), Step::Append(1), carried])).await.unwrap();
    }
    // What has begun waits at the gate and is cut off; perhaps nothing has.
    let _ = node.stop().await;
    let setup = Setup { attempts_max: ATTEMPTS_MAX, ..Setup::alone(folder.path()) };
    let died = run_until_drained_to(&setup, 0, 0);
    assert!((1 + 2 * ATTEMPTS_MAX..=2 + 2 * ATTEMPTS_MAX).contains(&died), "{died}");
    let probe = Probe::new();
    // What the last child has handled need not be durable.
    probe.open(GATE);
    let node = load::actors(workers(folder.path(), &probe)).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    let found: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.attempts)).collect();
    assert_eq!(found, [(Reason::KilledTheProcess, ATTEMPTS_MAX); 2]);
    assert!(node.paused().is_empty(), "their actors are not to blame");
    node.stop().await.unwrap();
}

/// What the files of a store say.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_kill_the_process_killed_every_upgrade_check_and_are_now_named_by_it() {
    let folder = everpost_tests::folder();
    fill(folder.path(), &[loaded("deep", Death::Overflow)]).await;
    let node = workers(folder.path(), &Probe::new());
    let node = node.config(NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() });
    let node = node.start().await.unwrap();
    let carried = Step::Carry(Fuse::new(Spark { at: Moment::Load, by: Death::Abort }));
    node.actor::<Worker>("letter").ask(Script::new([carried, Step::Reject])).await.unwrap_err();
    let _ = node.stop().await;
    let setup = Setup { attempts_max: ATTEMPTS_MAX, ..Setup::alone(folder.path()) };
    let before = contents(folder.path());
    // Each of the two ends a check once, before and after the file is gone.
    for _ in 0..2 {
        for _ in 0..2 {
            let (status, events) = Child::checking(&setup).end();
            assert_eq!(events, [], "it dies");
            assert!(matches!(status.signal(), Some(6 | 11)), "{status:?}");
        }
        let (status, events) = Child::checking(&setup).end();
        let [Event::Checked(report)] = &events[..] else { panic!("{status:?}: {events:?}") };
        assert!(report.contains("worker/deep") && report.contains("the process died of it"), "{report}");
        let kept = contents(folder.path());
        assert!(kept == before, "{:?}", kept.keys());
    }
}
