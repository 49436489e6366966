//! Manual acknowledgement: a message is held until its holder decides, wherever the process or the holder ends.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use everpost::{
    Actor, Durable, Failure, Handler, Handlers, Hold, HoldError, HoldHandler, Message, Node, NodeBuilder, NodeConfig,
    Priority, Reason, Turn,
};
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};

const HOLDS_MAX: usize = 3;

/// Hands its jobs to the test.
struct Keeper {
    jobs: mpsc::Sender<(Job, Hold<Self>)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
#[message(name = "job")]
enum Job {
    Keep(u32),
    Drop(u32),
    Panic(u32),
    Fail(u32),
}

#[derive(Serialize, Deserialize, Message)]
#[message(name = "result")]
struct Outcome(u32);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "results", reply = Vec<u32>)]
struct Outcomes;

impl Actor for Keeper {
    const TYPE: &'static str = "keeper";
    const HOLDS_MAX: usize = HOLDS_MAX;
    const HOLD_LIMIT: Duration = Duration::from_secs(2);
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_hold::<Job>();
        handlers.on::<Outcome>();
        handlers.on::<Outcomes>();
    }
}

impl HoldHandler<Job> for Keeper {
    async fn handle(&self, job: Job, hold: Hold<Self>) -> Result<(), Failure> {
        let is_first = hold.attempt() == 1;
        match job {
            Job::Panic(_) if is_first => panic!("told to panic"),
            Job::Fail(_) if is_first => return Err(Failure::retry("told to fail")),
            Job::Drop(_) if is_first => drop(hold),
            _ => self.jobs.send((job, hold)).await.expect("the test takes them"),
        }
        Ok(())
    }
}

impl Handler<Outcome> for Keeper {
    async fn handle(&self, results: &mut Durable<Vec<u32>>, result: Outcome, _: &mut Turn<'_>) -> Result<(), Failure> {
        results.push(result.0);
        Ok(())
    }
}

impl Handler<Outcomes> for Keeper {
    async fn handle(
        &self,
        results: &mut Durable<Vec<u32>>,
        _: Outcomes,
        _: &mut Turn<'_>,
    ) -> Result<Vec<u32>, Failure> {
        Ok(results.to_vec())
    }
}

/// What the test is handed.
struct Jobs(Mutex<mpsc::Receiver<(Job, Hold<Keeper>)>>);

impl Jobs {
    async fn next(&self) -> (Job, Hold<Keeper>) {
        soon("a job comes", async { self.0.lock().await.recv().await }).await.expect("the node runs")
    }
}

fn builder(folder: &std::path::Path) -> (NodeBuilder, Jobs) {
    let (jobs, taken) = mpsc::channel(64);
    let config = NodeConfig { attempts_max: 4, ..everpost_tests::config() };
    (Node::builder("node", folder).actor(Keeper { jobs }).config(config), Jobs(Mutex::new(taken)))
}

async fn start(folder: &std::path::Path) -> (Node, Jobs) {
    let (builder, jobs) = builder(folder);
    (builder.start().await.unwrap(), jobs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_message_is_acknowledged_from_any_task_after_others_were_handled() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    let first = keeper.send(Job::Keep(1)).submit().await.unwrap();
    let second = keeper.send(Job::Keep(2)).submit().await.unwrap();
    keeper.send(Outcome(9)).await.unwrap();
    let (one, two) = (jobs.next().await, jobs.next().await);
    assert_eq!((one.0, two.0), (Job::Keep(1), Job::Keep(2)));
    eventually("a turn is handled meanwhile", || node.statistics().handled == 1).await;
    assert_eq!(node.statistics().waiting, 2);
    tokio::spawn(two.1.ack()).await.unwrap().unwrap();
    soon("the second is processed", second.processed()).await.unwrap();
    one.1.ack_and_send(Outcome(1)).await.unwrap();
    soon("the first is processed", first.processed()).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(keeper.ask(Outcomes).await.unwrap(), [9, 1], "the outcome reached the state");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_is_answered_by_the_acknowledgement() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    let (answer, ()) = tokio::join!(keeper.ask(Job::Keep(1)).into_future(), async {
        jobs.next().await.1.ack().await.unwrap();
    });
    answer.unwrap();
    let (answer, ()) = tokio::join!(keeper.ask(Job::Keep(2)).into_future(), async {
        jobs.next().await.1.reject("not today").await.unwrap();
    });
    assert!(matches!(&answer, Err(everpost::AskError::GivenUp(why)) if why.contains("not today")), "{answer:?}");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_is_delivered_again_after_a_restart_without_a_counted_attempt() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    keeper.send(Job::Keep(1)).await.unwrap();
    keeper.send(Job::Keep(2)).await.unwrap();
    let (one, two) = (jobs.next().await.1, jobs.next().await.1);
    two.ack().await.unwrap();
    node.stop().await.unwrap();
    let late = soon("it ends", one.ack()).await;
    assert!(matches!(late, Err(HoldError::OutcomeUnknown(_))), "{late:?}");
    drop(node);
    let (node, jobs) = start(folder.path()).await;
    let (job, hold) = jobs.next().await;
    assert_eq!((job, hold.attempt()), (Job::Keep(1), 1));
    hold.ack().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

/// Keeps the thread that drops it for a while: what must not happen has the time to happen.
struct Lingers;

impl Drop for Lingers {
    fn drop(&mut self) {
        let (_tells, never) = std::sync::mpsc::channel::<()>();
        never.recv_timeout(Duration::from_millis(50)).unwrap_err();
    }
}

/// Its task is dropped with all others, in any order, so often before the node hears that the runtime has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_goes_with_the_runtime_of_its_program_counts_no_attempt() {
    let folder = everpost_tests::folder();
    for round in 0..8 {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (builder, jobs) = builder(folder.path());
        let node = soon("it starts", runtime.spawn(builder.start())).await.unwrap().unwrap();
        if round == 0 {
            node.actor::<Keeper>("one").send(Job::Keep(1)).await.unwrap();
        }
        let (job, hold) = jobs.next().await;
        assert_eq!((job, hold.attempt()), (Job::Keep(1), 1), "round {round}");
        runtime.spawn(async move {
            // The hold is dropped first.
            let _held = (hold, Lingers);
            std::future::pending::<()>().await;
        });
        tokio::task::spawn_blocking(move || drop(runtime)).await.unwrap();
        soon("it has failed", node.failed()).await;
        soon("it ends", node.stop()).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_dropped_fails_panics_or_is_given_back_is_delivered_again_as_the_next_attempt() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    for (number, job) in [Job::Drop(1), Job::Panic(1), Job::Fail(1), Job::Keep(1)].into_iter().enumerate() {
        let keeper = node.actor::<Keeper>(&number.to_string());
        keeper.send(job.clone()).await.unwrap();
        let (mut taken, mut hold) = jobs.next().await;
        if job == Job::Keep(1) {
            assert_eq!(hold.attempt(), 1);
            hold.nack(Duration::from_millis(1), "later").await.unwrap();
            (taken, hold) = jobs.next().await;
        }
        assert_eq!((taken, hold.attempt()), (job.clone(), 2));
        hold.ack().await.unwrap();
        assert!(node.paused().is_empty(), "{job:?}: it is the message that failed");
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((node.statistics().failed, node.statistics().dead_lettered), (4, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_a_hold_handler_was_recorded_as_a_dropped_hold_and_now_has_its_own_text() {
    let folder = everpost_tests::folder();
    let (builder, jobs) = builder(folder.path());
    let config = NodeConfig { attempts_max: 1, ..everpost_tests::config() };
    let node = builder.config(config).start().await.unwrap();
    let jobs_of = |key: u32| [Job::Panic(key), Job::Fail(key), Job::Drop(key)];
    // Many times, since it was a race.
    for key in 0..20 {
        for job in jobs_of(key) {
            node.actor::<Keeper>(&key.to_string()).send(job).await.unwrap();
        }
    }
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    for key in 0..20 {
        let of_key = letters.iter().filter(|letter| letter.address.key() == key.to_string());
        let mut errors: Vec<_> = of_key.map(|letter| letter.errors.join("; ")).collect();
        errors.sort_by_key(|error| ["told to panic", "told to fail"].iter().position(|text| error.contains(text)));
        assert!(errors.len() == 3 && errors[0].contains("dropped without a decision"), "{errors:?}");
        assert!(errors[1].contains("told to panic") && errors[2].contains("told to fail"), "{errors:?}");
    }
    drop(jobs);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_kept_too_long_is_taken_back_and_decides_nothing_any_more() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    keeper.send(Job::Keep(1)).await.unwrap();
    let slow = jobs.next().await.1;
    // As long as it tells of progress it is left alone.
    for _ in 0..6 {
        tokio::time::sleep(Keeper::HOLD_LIMIT / 4).await;
        slow.progress().unwrap();
    }
    let again = jobs.next().await.1;
    assert_eq!(again.attempt(), 2);
    assert!(matches!(slow.progress(), Err(HoldError::TakenBack)));
    assert!(matches!(slow.ack().await, Err(HoldError::TakenBack)));
    again.ack().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert!(node.dead_letters().list().await.unwrap().is_empty());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_acknowledges_ends_in_the_dead_letters() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    node.actor::<Keeper>("one").send(Job::Keep(1)).await.unwrap();
    for attempt in 1..=4 {
        let hold = jobs.next().await.1;
        assert_eq!(hold.attempt(), attempt);
    }
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason, letters[0].attempts), (1, Reason::AttemptsSpent, 4));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_messages_of_an_address_are_held_as_may_be() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    for number in 0..HOLDS_MAX as u32 + 1 {
        keeper.send(Job::Keep(number)).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..HOLDS_MAX {
        held.push(jobs.next().await.1);
    }
    let early = tokio::time::timeout(Duration::from_millis(20), jobs.next()).await;
    assert!(early.is_err(), "it waits for room");
    held.pop().expect("one is held").ack().await.unwrap();
    let (job, hold) = jobs.next().await;
    assert_eq!(job, Job::Keep(HOLDS_MAX as u32));
    hold.ack().await.unwrap();
    for hold in held {
        hold.ack().await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
}

/// It used to panic, and the message was lost until a restart.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_given_back_or_dropped_outside_of_a_runtime_comes_back() {
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    let next = async || jobs.next().await;
    for round in 0..3 {
        keeper.send(Job::Keep(round)).await.unwrap();
        let (_, hold) = next().await;
        let decide = async move {
            match round {
                0 => drop(hold),
                1 => hold.nack(Duration::ZERO, "not now").await.unwrap(),
                _ => hold.reject("not ever").await.unwrap(),
            }
        };
        let deciding = tokio::task::spawn_blocking(|| everpost_tests::cancel::without_a_runtime(decide));
        soon("it is decided", deciding).await.unwrap();
        if round < 2 {
            let (job, hold) = next().await;
            assert_eq!((job, hold.attempt()), (Job::Keep(round), 2));
            soon("it is done", hold.ack()).await.unwrap();
        }
    }
    assert_eq!(node.dead_letters().count(), 1);
    node.stop().await.unwrap();
}

async fn dropping(hold: Hold<Keeper>) -> Result<(), HoldError> {
    drop(hold);
    Ok(())
}

/// 64 holds that were given back there ended the mailbox: none of them came back, and no more may be held.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_as_may_be_held_are_decided_outside_of_a_runtime_and_the_mailbox_goes_on() {
    type Deciding = fn(Hold<Keeper>) -> Pin<Box<dyn Future<Output = Result<(), HoldError>> + Send>>;
    let deciding: [(Deciding, bool); 6] = [
        (|hold| Box::pin(hold.ack()), false),
        (|hold| Box::pin(hold.ack_and_send(Outcome(0))), false),
        (|hold| Box::pin(async move { hold.nack(Duration::ZERO, "not now").await }), true),
        (|hold| Box::pin(async move { hold.reject("not ever").await }), false),
        (|hold| Box::pin(async move { hold.progress() }), true),
        (|hold| Box::pin(dropping(hold)), true),
    ];
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    for (which, (decide, comes_back)) in deciding.into_iter().enumerate() {
        let keeper = node.actor::<Keeper>(&which.to_string());
        let mut undecided = Vec::new();
        for round in 0..2 {
            for number in 0..HOLDS_MAX as u32 {
                keeper.send(Job::Keep(number)).await.unwrap();
            }
            for _ in 0..HOLDS_MAX {
                undecided.push(jobs.next().await.1);
            }
            let decided = tokio::task::spawn_blocking(move || {
                let decide = |hold| everpost_tests::cancel::without_a_runtime(decide(hold));
                undecided.into_iter().try_for_each(decide)
            });
            soon("all are decided", decided).await.unwrap().unwrap();
            undecided = Vec::new();
            for _ in 0..if comes_back { HOLDS_MAX } else { 0 } {
                let (_, hold) = jobs.next().await;
                assert_eq!(hold.attempt(), 2, "{which}, round {round}");
                hold.ack().await.unwrap();
            }
        }
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.statistics().dead_lettered as usize, 2 * HOLDS_MAX, "those that were rejected");
    node.stop().await.unwrap();
}

/// With as many messages held as may be, every other message of the address waited too, an urgent one as long as the
/// rest.
#[tokio::test(flavor = "multi_thread")]
async fn with_as_many_held_as_may_be_only_what_would_be_held_waits() {
    const WAITING: u32 = 700;
    let folder = everpost_tests::folder();
    let (node, jobs) = start(folder.path()).await;
    let keeper = node.actor::<Keeper>("one");
    // One that comes back late would be held, too.
    keeper.send(Job::Fail(0)).await.unwrap();
    for number in 1..=WAITING {
        keeper.send(Job::Keep(number)).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..HOLDS_MAX {
        held.push(jobs.next().await);
    }
    for number in 0..3 {
        keeper.send(Outcome(number)).await.unwrap();
    }
    keeper.send(Job::Keep(WAITING + 1)).priority(Priority::Urgent).await.unwrap();
    keeper.send(Outcome(3)).priority(Priority::Low).await.unwrap();
    let passed = soon("a turn passes", keeper.ask(Outcomes).into_future()).await.unwrap();
    assert!(passed.starts_with(&[0, 1, 2]), "{passed:?}");
    let low = || async { soon("a turn passes", keeper.ask(Outcomes).into_future()).await.unwrap().len() == 4 };
    while !low().await {}
    let early = tokio::time::timeout(Duration::from_millis(20), jobs.next()).await;
    assert!(early.is_err(), "no more are held than may be");
    let mut taken: Vec<_> = held.iter().map(|(job, _)| job.clone()).collect();
    for _ in HOLDS_MAX as u32..WAITING + 2 {
        let (_, hold) = held.remove(0);
        hold.ack().await.unwrap();
        let (job, hold) = jobs.next().await;
        taken.push(job.clone());
        held.push((job, hold));
    }
    for (_, hold) in held {
        hold.ack().await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    let number = |job: &Job| if let Job::Keep(number) = job { Some(*number) } else { None };
    let kept: Vec<_> = taken.iter().filter_map(number).filter(|number| *number <= WAITING).collect();
    assert_eq!(kept, (1..=WAITING).collect::<Vec<_>>(), "those that wait keep their order");
    node.stop().await.unwrap();
}
