//! Ask and query: replies, deadlines, circles, retries and crashes.

use std::time::Duration;

use everpost::{AskError, NodeConfig, QueryError, Reason};
use everpost_tests::child::Child;
use everpost_tests::load;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Read, Script, Step, Worker, quick, read, worker, workers};

const GATE: u32 = 0;
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_brings_the_reply_of_its_own_turn() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let (slow, fast) = (node.actor::<Worker>("one"), node.actor::<Quick>("one"));
    for number in 1..=20 {
        let expected: Vec<u32> = (1..=number).collect();
        assert_eq!(slow.ask(Script::new([Step::Append(number)])).await.unwrap(), expected);
        assert_eq!(fast.ask(Script::new([Step::Append(number), Step::PanicUpTo(1)])).await.unwrap(), expected);
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_times_out_leaves_its_message_behind() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let late = actor.ask(Script::new([Step::Wait(GATE), Step::Append(1)])).timeout(SHORT).await;
    assert!(matches!(late, Err(AskError::Timeout(SHORT))), "{late:?}");
    probe.open(GATE);
    soon("it is handled all the same", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_of_a_message_that_is_given_up_on_says_so() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { attempts_max: 3, ..everpost_tests::config() };
    let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    for (step, attempts) in [(Step::Reject, 1), (Step::FailUpTo(99), 3), (Step::PanicUpTo(99), 3)] {
        let outcome = soon("an answer comes", async { actor.ask(Script::new([step.clone()])).await }).await;
        let Err(AskError::GivenUp(reason)) = &outcome else { panic!("{step:?}: {outcome:?}") };
        assert!(reason.contains("told to"), "{reason}");
        let letters = node.dead_letters().list().await.unwrap();
        assert_eq!(letters.last().unwrap().attempts, attempts, "a dead letter before the answer leaves");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_sees_the_turns_before_it_and_changes_nothing() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let actor = node.actor::<Quick>("one");
    assert!(read(&actor).await.entries.is_empty(), "an actor that nobody sent to answers from the default");
    for number in 1..=50 {
        actor.ask(Script::new([Step::Append(number)])).await.unwrap();
        assert_eq!(read(&actor).await.entries.len(), number as usize);
    }
    assert_eq!(node.statistics().handled, 50);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_waits_for_the_turn_at_work_and_times_out() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let config = NodeConfig { ask_timeout: SHORT, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Append(1), Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let late = actor.query(Read).await;
    assert!(matches!(late, Err(QueryError::Timeout(SHORT))), "{late:?}");
    probe.open(GATE);
    soon("the turn ends", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_asks_gets_the_reply_and_the_asked_handler_runs_once_over_its_retries() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    for (asked, to) in [("worker", worker("asked")), ("quick", quick("asked"))] {
        let asking = node.actor::<Worker>(asked);
        let ask = vec![Step::Note, Step::Append(7)];
        let steps = [Step::Ask(to.clone(), ask), Step::FailUpTo(2), Step::PanicUpTo(4), Step::Append(9)];
        let reply = soon("it ends", async { asking.ask(Script::new(steps)).await }).await.unwrap();
        assert_eq!(reply, [7, 9]);
        let notes = probe.seen().of(&format!("{asked}/asked"));
        assert_eq!(notes.len(), 1, "asked once: {notes:?}");
        assert_eq!(notes[0].sender.as_deref(), Some(&*format!("worker/{asked}")));
    }
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asked_handler_runs_once_although_the_asking_turn_dies_with_the_process() {
    let folder = everpost_tests::folder();
    let mut setup =
        Setup { folder: folder.path().into(), attempts_max: 8, open: false, logs: false, seat: None, waits: false };
    let ask = vec![Step::Note, Step::Append(7)];
    let steps = vec![Step::Ask(worker("asked"), ask), Step::Reach(GATE), Step::Wait(GATE), Step::Append(9)];
    let mut child = Child::up(&setup);
    child.tell(&Command::Send(vec![(worker("asking"), steps)]));
    let mut asked = 0;
    for life in 0..4 {
        child.wait_for("the reply is there", |event| {
            asked += usize::from(matches!(event, Event::Noted(_)));
            *event == Event::Reached(GATE)
        });
        assert_eq!(asked, 1, "life {life}");
        child.kill();
        setup.open = life >= 2;
        child = Child::up(&setup);
    }
    child.tell(&Command::Drain);
    child.wait_for("it drains", |event| *event == Event::Drained);
    child.kill();
    let node = load::actors(workers(folder.path(), &Probe::new())).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("asked")).await.entries, [7]);
    assert_eq!(read(&node.actor::<Worker>("asking")).await.entries, [7, 9]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_asks_fails_at_once() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    let ask = |to: &str, steps: Vec<Step>| Step::TryAsk(worker(to), steps);
    // The node's ask timeout is far longer than the test may take.
    let circles = [
        ("a", vec![ask("a", vec![])]),
        ("b", vec![ask("c", vec![ask("b", vec![])])]),
        ("d", vec![ask("e", vec![ask("f", vec![ask("d", vec![])])])]),
    ];
    for (key, steps) in circles {
        let asked = node.actor::<Worker>(key).ask(Script::new(steps)).timeout(Duration::from_secs(10)).await;
        asked.unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    for (key, to) in [("a", "a"), ("c", "b"), ("f", "d")] {
        let log = read(&node.actor::<Worker>(key)).await;
        let error = String::from_utf8(log.ballast).unwrap();
        assert_eq!(error, AskError::WouldDeadlock { to: format!("worker/{to}") }.to_string());
    }
    // Two that ask a third, and one that asks twice, are no circle.
    let shared = |_| Step::Ask(worker("shared"), vec![Step::Append(1)]);
    node.actor::<Worker>("x").ask(Script::new((0..3).map(shared).collect::<Vec<_>>())).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("shared")).await.entries, [1, 1, 1]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_whose_ask_is_given_up_on_learns_it_on_every_attempt() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { attempts_max: 3, ..everpost_tests::config() };
    let node = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap();
    let asking = node.actor::<Worker>("asking");
    let steps = [Step::Ask(worker("asked"), vec![Step::Reject])];
    // Far below the ask timeout of 30 seconds: an attempt that waits for it is one that does not know.
    let outcome = asking.ask(Script::new(steps)).timeout(Duration::from_secs(10)).await;
    assert!(matches!(outcome, Err(AskError::GivenUp(_))), "{outcome:?}");
    let letters = node.dead_letters().list().await.unwrap();
    let of = |key: &str| letters.iter().filter(|letter| letter.address.key() == key).collect::<Vec<_>>();
    assert_eq!(of("asking")[0].reason, Reason::AttemptsSpent);
    assert!(of("asked").iter().all(|letter| letter.reason == Reason::Rejected && letter.id == of("asked")[0].id));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_of_a_turn_that_times_out_fails_the_attempt_only() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let config = NodeConfig { ask_timeout: SHORT, attempts_max: 1000, ..everpost_tests::config() };
    let node = workers(folder.path(), &probe).config(config).start().await.unwrap();
    let ask = vec![Step::Note, Step::Wait(GATE), Step::Append(7)];
    let steps = [Step::Reach(1), Step::Ask(worker("asked"), ask), Step::Append(9)];
    node.actor::<Worker>("asking").send(Script::new(steps)).await.unwrap();
    probe.reached(1, 3).await;
    probe.open(GATE);
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("asking")).await.entries, [7, 9]);
    assert_eq!(read(&node.actor::<Worker>("asked")).await.entries, [7]);
    assert_eq!(probe.seen().of("worker/asked").len(), 1);
    node.stop().await.unwrap();
}
