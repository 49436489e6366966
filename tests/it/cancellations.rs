//! Every public async function may be dropped at each of its polls: nothing is lost, nothing happens twice, counters
//! are right, a second call works, and the node stops cleanly.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use everpost::{
    Actor, Child, Durable, Failure, Group, Handler, Handlers, Hold, HoldHandler, Message, Missed, Node, OpenError,
    Receipt, Restart, Schedule, Sequence, StartError, Turn,
};
use everpost_tests::cancel::{Cut, cut_at_each_poll, run_until, within};
use everpost_tests::doors::public_async_functions;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Read, Script, Step, Worker, read, workers};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

/// Functions that tests drop without [`cut`], and where.
const ELSEWHERE: [(&str, &str); 6] = [
    ("NodeBuilder::start", "cut_starts"),
    ("DeadLetters::replay", "decisions_on_dead_letters_that_are_dropped_count_once_or_not_at_all"),
    ("Node::supervise", "groups_that_are_dropped_while_they_start_or_stop_leave_nothing_behind"),
    ("ChildContext::stopping", "groups_that_are_dropped_while_they_start_or_stop_leave_nothing_behind"),
    ("Turn::ask", "an_ask_of_a_turn_that_is_dropped_is_asked_once_all_the_same"),
    ("Turn::committed", "an_ask_of_a_turn_that_is_dropped_is_asked_once_all_the_same"),
];

/// A function that is missing here or in another test of this package would be dropped by users untested.
#[test]
fn every_public_async_function_is_dropped_at_each_of_its_polls_somewhere() {
    let tests = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("it");
    let mut sources = String::new();
    for path in std::fs::read_dir(tests).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        sources.push_str(&std::fs::read_to_string(path).unwrap());
    }
    let missing: Vec<_> =
        public_async_functions().into_iter().filter(|door| !sources.contains(&format!("\"{door}\""))).collect();
    for (door, test) in ELSEWHERE {
        let exists = sources.contains(&format!("fn {test}(")) || sources.contains(&format!("mod {test};"));
        assert!(exists, "{door} was dropped in {test}");
    }
    assert!(missing.is_empty(), "drop these at each of their polls, and name them where that is done: {missing:?}");
}

/// Drops what `make` makes at each poll, and checks after each.
async fn cut<F>(door: &str, make: impl FnMut() -> F, check: impl AsyncFnMut(Cut)) -> F::Output
where
    F: IntoFuture<IntoFuture: Send, Output: Send>,
{
    soon(door, cut_at_each_poll(make, check)).await.1
}

/// The messages that an actor has handled: each once, and of these all.
async fn handled_once(node: &Node, key: &str, of: std::ops::Range<u32>, certain: &[u32]) {
    soon("it drains", node.drained()).await.unwrap();
    let entries = read(&node.actor::<Worker>(key)).await.entries;
    let mut once = entries.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), entries.len(), "{key}: something was handled twice: {entries:?}");
    assert!(once.iter().all(|number| of.contains(number)), "{key}: {entries:?}");
    assert!(certain.iter().all(|number| once.contains(number)), "{key}: {certain:?} are not all of {entries:?}");
    assert_eq!(node.statistics().waiting, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_asks_and_receipts_that_are_dropped_happen_once_or_not_at_all() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let next = Cell::new(0);
    let script = || {
        next.set(next.get() + 1);
        Script::new([Step::Append(next.get())])
    };
    let actor = |key: &str| node.actor::<Worker>(key);
    let check = async |key: &str, certain: &[u32]| handled_once(&node, key, 1..next.get() + 1, certain).await;

    let to = actor("post");
    cut("SendBuilder", || to.send(script()), async |_| check("post", &[]).await).await.unwrap();
    check("post", &[next.get()]).await;
    let to = actor("submit");
    let make = || to.send(script()).submit();
    let receipt = cut("SendBuilder::submit", make, async |_| check("submit", &[]).await).await.unwrap();
    receipt.accepted().await.unwrap();
    check("submit", &[next.get()]).await;
    let to = actor("ask");
    cut("Ask", || to.ask(script()), async |_| check("ask", &[]).await).await.unwrap();
    check("ask", &[next.get()]).await;
    let to = actor("post");
    let log = cut("Query", || to.query(Read), async |_| check("post", &[]).await).await.unwrap();
    assert_eq!(log, read(&to).await);

    let to = actor("receipts");
    let receipt = to.send(script()).submit().await.unwrap();
    cut("Receipt::accepted", || receipt.accepted(), async |_| {}).await.unwrap();
    cut("Receipt::delivered", || receipt.delivered(), async |_| {}).await.unwrap();
    let mut receipts: Vec<Receipt> = Vec::new();
    for _ in 0..100 {
        receipts.push(to.send(script()).submit().await.unwrap());
    }
    let mut receipts = receipts.into_iter();
    let make = || receipts.next().expect("there are enough").processed();
    cut("Receipt::processed", make, async |_| check("receipts", &[]).await).await.unwrap();
    check("receipts", &[next.get()]).await;
    soon("it stops", node.stop()).await.unwrap();
}

/// The same of messages to another node.
#[tokio::test(flavor = "multi_thread")]
async fn sends_to_another_node_that_are_dropped_happen_once_or_not_at_all() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let nodes = net.start_all(&probe).await;
    let (east, west) = (&nodes[0], &nodes[1]);
    linked(&[east, west]).await;
    let next = Cell::new(0);
    let script = || {
        next.set(next.get() + 1);
        Script::new([Step::Append(next.get())])
    };
    let check = async |certain: &[u32]| {
        settled(&[east, west]).await;
        handled_once(west, "one", 1..next.get() + 1, certain).await;
    };
    let to = east.actor::<Worker>("one");
    cut("SendBuilder", || to.send(script()), async |_| check(&[]).await).await.unwrap();
    check(&[next.get()]).await;
    cut("Ask", || to.ask(script()), async |_| check(&[]).await).await.unwrap();
    check(&[next.get()]).await;
    cut("Query", || to.query(Read), async |_| check(&[]).await).await.unwrap();
    let receipt = to.send(script()).submit().await.unwrap();
    cut("Receipt::delivered", || receipt.delivered(), async |_| {}).await.unwrap();
    let mut receipts = Vec::new();
    for _ in 0..100 {
        receipts.push(to.send(script()).submit().await.unwrap());
    }
    let mut receipts = receipts.into_iter();
    let make = || receipts.next().expect("there are enough").processed();
    cut("Receipt::processed", make, async |_| check(&[]).await).await.unwrap();
    check(&[next.get()]).await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_and_resumes_that_are_dropped_count_as_a_whole_or_not_at_all() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    cut("ActorHandle::pause", || actor.pause("why not"), async |_| {}).await.unwrap();
    assert!(actor.paused().is_some());
    cut("Node::pause_type", || node.pause_type::<Worker>("why not"), async |_| {}).await.unwrap();
    assert_eq!(node.paused().len(), 2);
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    cut("ActorHandle::resume", || actor.resume(), async |_| {}).await.unwrap();
    assert!(actor.paused().is_none());
    cut("Node::resume_type", || node.resume_type::<Worker>(), async |_| {}).await.unwrap();
    assert_eq!(node.paused().len(), 0);
    handled_once(&node, "one", 1..2, &[1]).await;
    soon("it stops", node.stop()).await.unwrap();
    let node = workers(folder.path(), &probe).start().await.unwrap();
    assert_eq!(node.paused().len(), 0, "what was said last is durable");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn timers_that_are_dropped_while_they_are_set_fire_once_or_not_at_all() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let next = Cell::new(0);
    let script = || {
        next.set(next.get() + 1);
        Script::new([Step::Append(next.get())])
    };
    let check = async |certain: &[u32]| handled_once(&node, "one", 1..next.get() + 1, certain).await;
    let make = || actor.schedule(script(), Schedule::after(Duration::ZERO));
    cut("ActorHandle::schedule", make, async |_| check(&[]).await).await.unwrap();
    check(&[next.get()]).await;
    let make = || actor.schedule(script(), Schedule::at(std::time::SystemTime::UNIX_EPOCH));
    cut("ActorHandle::schedule", make, async |_| check(&[]).await).await.unwrap();
    check(&[next.get()]).await;
    let later = || Schedule::every(Duration::from_secs(3600)).unwrap().missed(Missed::Skip);
    let timer = cut("ActorHandle::schedule", || actor.schedule(script(), later()), async |_| {}).await.unwrap();
    let timers = node.statistics().timers;
    let all = node.timers();
    cut("Timers::cancel", || all.cancel(timer), async |_| {}).await.unwrap();
    assert!(!node.timers().cancel(timer).await.unwrap(), "it is gone");
    assert_eq!(node.statistics().timers, timers - 1);

    let named = || actor.schedule_named("report", Script::new([Step::Append(0)]), later());
    cut("ActorHandle::schedule_named", named, async |_| {}).await.unwrap();
    assert_eq!(cut("Timers::list", || all.list(), async |_| {}).await.unwrap().len(), all.count());
    assert!(cut("Timers::get", || all.get("report"), async |_| {}).await.unwrap().is_some());
    // Each call that counts sends another message.
    cut("Timers::trigger", || all.trigger("report"), async |_| {}).await.unwrap();
    cut("Timers::cancel", || all.cancel("report"), async |_| {}).await.unwrap();
    assert!(all.get("report").await.unwrap().is_none());
    soon("it drains", node.drained()).await.unwrap();
    assert!(read(&actor).await.entries.contains(&0), "it was triggered");
    soon("it stops", node.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_on_dead_letters_that_are_dropped_count_once_or_not_at_all() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    // Each is handled by its second life, as often as it is replayed.
    let letter = async |number| {
        actor.send(Script::new([Step::Append(number), Step::Reject])).await.unwrap();
        soon("it is given up on", node.drained()).await.unwrap();
    };
    let letters = node.dead_letters();
    let numbers = async || letters.list().await.unwrap().iter().map(|letter| letter.sequence).collect::<Vec<_>>();
    let check = async |_: Cut| {
        soon("it drains", node.drained()).await.unwrap();
        assert_eq!(letters.count(), numbers().await.len(), "the count is right");
    };
    for number in 0..3 {
        letter(number).await;
    }
    let first = numbers().await[0];
    cut("DeadLetters::list", || letters.list(), check).await.unwrap();
    cut("DeadLetters::get", || letters.get(first), check).await.unwrap().unwrap();

    // A replay of a letter that is rejected again makes another: one for each that counted.
    let replay = async |sequence: Sequence| {
        let (_, outcome) = cut_at_each_poll(|| letters.replay(sequence), check).await;
        soon("it drains", node.drained()).await.unwrap();
        assert_eq!((letters.count(), numbers().await.len()), (3, 3), "{outcome:?}");
    };
    for sequence in numbers().await {
        soon("it is decided", replay(sequence)).await;
    }
    let again = Script::new([Step::Append(77)]);
    let sequence = numbers().await[0];
    // The last call says so too, unless one that was dropped has come to its end before.
    let _ = cut("DeadLetters::edit", || letters.edit(sequence, &again), check).await;
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&actor).await.entries, [77], "edited once");
    let sequence = numbers().await[0];
    let _ = cut("DeadLetters::delete", || letters.delete(sequence), check).await;
    assert_eq!((letters.count(), numbers().await.len()), (1, 1));
    soon("it stops", node.stop()).await.unwrap();
}

/// Hands its jobs to the test.
struct Keeper {
    jobs: mpsc::Sender<(u32, Hold<Self>)>,
}

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "job")]
struct Job(u32);

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "done")]
struct Done(u32);

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "all", reply = Vec<u32>)]
struct All;

impl Actor for Keeper {
    const TYPE: &'static str = "keeper";
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_hold::<Job>();
        handlers.on::<Done>();
        handlers.on::<All>();
    }
}

impl HoldHandler<Job> for Keeper {
    async fn handle(&self, job: Job, hold: Hold<Self>) -> Result<(), Failure> {
        self.jobs.send((job.0, hold)).await.map_err(Failure::retry)
    }
}

impl Handler<Done> for Keeper {
    async fn handle(&self, done: &mut Durable<Vec<u32>>, Done(job): Done, _: &mut Turn<'_>) -> Result<(), Failure> {
        done.push(job);
        Ok(())
    }
}

impl Handler<All> for Keeper {
    async fn handle(&self, done: &mut Durable<Vec<u32>>, All: All, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        Ok(done.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_on_holds_that_are_dropped_count_as_a_whole_or_the_message_comes_back() {
    let folder = everpost_tests::folder();
    let (sender, jobs) = mpsc::channel(8);
    let jobs = Mutex::new(jobs);
    let node = Node::builder("node", folder.path()).actor(Keeper { jobs: sender });
    let node = node.config(everpost_tests::config()).start().await.unwrap();
    let keeper = node.actor::<Keeper>("one");
    let take = async || soon("it is delivered", async { jobs.lock().await.recv().await }).await.unwrap();
    // Ends what came back, until nothing is left.
    let end_all = async || {
        let mut drained = Box::pin(node.drained());
        loop {
            tokio::select! {
                drained = &mut drained => return drained.unwrap(),
                (_, hold) = take() => hold.ack().await.unwrap(),
            }
        }
    };
    for door in ["Hold::ack", "Hold::ack_and_send", "Hold::nack", "Hold::reject"] {
        let mut is_done = false;
        for polls in 1..1000 {
            for cut in [Cut::AtOnce(polls), Cut::WhenWoken(polls)] {
                keeper.send(Job(polls as u32)).await.unwrap();
                let (job, hold) = take().await;
                let decided = match door {
                    "Hold::ack" => run_until(cut, hold.ack()).await,
                    "Hold::ack_and_send" => run_until(cut, hold.ack_and_send(Done(job))).await,
                    "Hold::nack" => run_until(cut, hold.nack(Duration::ZERO, "not now")).await,
                    _ => run_until(cut, hold.reject("not ever")).await,
                };
                soon("all end", end_all()).await;
                assert_eq!(node.statistics().waiting, 0);
                is_done |= decided.is_some_and(|decided| decided.is_ok());
            }
            if is_done {
                break;
            }
        }
        assert!(is_done, "{door}");
    }
    let done = keeper.ask(All).await.unwrap();
    let letters = node.dead_letters();
    assert_eq!(letters.count(), letters.list().await.unwrap().len());
    assert!(letters.count() > 0 && !done.is_empty());
    soon("it stops", node.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_are_dropped_while_they_start_or_stop_leave_nothing_behind() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let told = Arc::new(Mutex::new(0));
    let group = || {
        let told = Arc::clone(&told);
        let child = Child::permanent("waiting", move |context| {
            let told = Arc::clone(&told);
            async move {
                // Dropped and awaited again.
                assert!(run_until(Cut::AtOnce(1), context.stopping()).await.is_none());
                context.stopping().await;
                *told.lock().await += 1;
                Ok(())
            }
        });
        Group::one_for_one("group").child(child).child(Child::actor(
            Restart::Permanent,
            "one",
            &node.actor::<Worker>("one"),
        ))
    };
    let supervised = {
        let mut supervised = None;
        for polls in 1..1000 {
            for cut in [Cut::AtOnce(polls), Cut::WhenWoken(polls)] {
                if let Some(started) = soon("it ends", run_until(cut, node.supervise(group()))).await {
                    // The name is free as soon as the call is gone.
                    supervised = Some(started.unwrap());
                    break;
                }
            }
            if supervised.is_some() {
                break;
            }
        }
        supervised.unwrap()
    };
    cut("Supervised::started", || supervised.started(), async |_| {}).await.unwrap();
    assert!(run_until(Cut::AtOnce(1), supervised.ended()).await.is_none());
    cut("Supervised::stop", || supervised.stop(), async |_| {}).await.unwrap();
    cut("Supervised::ended", || supervised.ended(), async |_| {}).await.unwrap();
    eventually("its task was told", || told.try_lock().is_ok_and(|told| *told == 1)).await;
    supervised.release();
    node.actor::<Worker>("one").send(Script::new([Step::Append(1)])).await.unwrap();
    handled_once(&node, "one", 1..2, &[1]).await;
    soon("it stops", node.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_opened_again_although_the_call_is_dropped() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.send(Script::new([Step::Append(1)])).await.unwrap();
    cut("Node::reopen", || node.reopen(), async |_| {}).await.unwrap();
    handled_once(&node, "one", 1..2, &[1]).await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_watches_a_node_and_its_stop_may_be_dropped() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let builder = || workers(folder.path(), &probe);
    let node = builder().start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor
        .send(Script::new([Step::Reach(0), Step::Wait(0), Step::Append(1)]))
        .submit()
        .await
        .unwrap()
        .accepted()
        .await
        .unwrap();
    probe.reached(0, 1).await;
    assert!(run_until(Cut::AtOnce(1), node.drained()).await.is_none(), "it is in flight");
    probe.open(0);
    cut("Node::drained", || node.drained(), async |_| {}).await.unwrap();
    assert!(run_until(Cut::AtOnce(1), node.failed()).await.is_none());
    cut("Node::stop", || node.stop(), async |_| {}).await.unwrap();
    cut("Node::failed", || node.failed(), async |_| {}).await;
    // A check that was dropped may have to end what it reads.
    let builder = builder();
    let free = async |_: Cut| {
        while let Err(error) = builder.check_upgrade().await {
            assert!(matches!(error, StartError::Open(OpenError::InUse { .. })), "{error}");
            tokio::task::yield_now().await;
        }
    };
    // It takes the runtime that it runs on, as a start does.
    let check = || within(Handle::current(), builder.check_upgrade());
    // Boxed, since all of it together is large.
    assert!(Box::pin(cut("NodeBuilder::check_upgrade", check, free)).await.unwrap().is_clean());
}

impl Handler<Job> for Scout {
    async fn handle(&self, seen: &mut Durable<Vec<u32>>, Job(polls): Job, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let to = Worker::at(&format!("asked-{polls}"));
        if turn.attempt() == 1 {
            // An attempt whose ask is dropped half-way, and then fails: the next one asks the same.
            let cut = Cut::AtOnce(polls as usize);
            if run_until(cut, turn.ask(&to, Script::new([Step::Append(polls)]))).await.is_none() {
                return Err(Failure::retry("the ask was dropped"));
            }
        } else {
            let reply = turn.ask(&to, Script::new([Step::Append(polls)])).await?;
            if reply != [polls] {
                return Err(Failure::reject("it was asked twice"));
            }
        }
        let _ = run_until(Cut::AtOnce(1), turn.committed()).await;
        turn.committed().await?;
        seen.push(polls);
        Ok(())
    }
}

/// Asks, and drops its asks.
struct Scout;

impl Actor for Scout {
    const TYPE: &'static str = "scout";
    type State = Vec<u32>;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Job>();
        handlers.on::<All>();
    }
}

impl Handler<All> for Scout {
    async fn handle(&self, seen: &mut Durable<Vec<u32>>, All: All, _: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        Ok(seen.to_vec())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_of_a_turn_that_is_dropped_is_asked_once_all_the_same() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).actor(Scout).start().await.unwrap();
    let scout = node.actor::<Scout>("one");
    for polls in 1..8 {
        scout.send(Job(polls)).await.unwrap();
    }
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(scout.ask(All).await.unwrap(), (1..8).collect::<Vec<_>>());
    for polls in 1..8 {
        assert_eq!(read(&node.actor::<Worker>(&format!("asked-{polls}"))).await.entries, [polls], "asked once");
    }
    assert_eq!(node.dead_letters().count(), 0);
    node.stop().await.unwrap();
}
