//! An actor that does what its message says, step by step: so a test reads as a scenario.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use everpost::{
    Actor, ActorHandle, Delivery, Durable, Failure, Handler, Handlers, Message, Node, Priority, QueryHandler, State,
    Turn,
};
use serde::{Deserialize, Serialize};

use crate::fuse::{Fuse, Spark, overflow};
use crate::probe::{Note, Probe};

/// Delivered when durable.
pub type Worker = Scripted<false>;
/// Delivered at once.
pub type Quick = Scripted<true>;

/// The actor; `EARLY` chooses its delivery.
#[derive(Debug)]
pub struct Scripted<const EARLY: bool> {
    probe: Arc<Probe>,
}

/// One thing that a handler does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    /// Appends to the state.
    Append(u32),
    /// Of a timer: appends which tick it is, counted from zero at `start`, both in microseconds.
    Tick {
        /// When the first tick is due, since 1970.
        start: u64,
        /// From tick to tick.
        period: u64,
    },
    /// Counts in the state, and whether numbers came in ascending order.
    Count(u32),
    /// Makes the state this many bytes larger.
    Grow(u32),
    /// Sends a script as part of the turn.
    Send(Target, Vec<Self>),
    /// The same with a priority.
    SendAs(Priority, Target, Vec<Self>),
    /// The same under an idempotency key.
    SendUnder(String, Target, Vec<Self>),
    /// Asks, and appends what the other actor replies.
    Ask(Target, Vec<Self>),
    /// As `Ask`; a refusal is noted in the state as its length, instead of failing the turn.
    TryAsk(Target, Vec<Self>),
    /// Fails up to and including this attempt.
    FailUpTo(u32),
    /// Fails until this gate of the probe is open for good.
    FailUntil(u32),
    /// Fails up to this attempt, and says after how many milliseconds to try again.
    RetryAfter(u32, u64),
    /// Panics up to and including this attempt.
    PanicUpTo(u32),
    /// Gives up on the message.
    Reject,
    /// Puts the message off for this many milliseconds until the state has this many entries.
    DeferUntil(u64, usize),
    /// Never ends.
    Hang,
    /// Tells the probe.
    Reach(u32),
    /// Waits at a gate of the probe.
    Wait(u32),
    /// Keeps the thread busy until a gate is open, without ever giving it back: so the message stays in flight.
    Spin(u32),
    /// Notes the turn in the probe.
    Note,
    /// Waits until everything before is durable.
    Committed,
    /// Asks to be forgotten.
    Forget,
    /// Keeps the thread busy for this many rounds.
    Work(u32),
    /// Ends the process.
    Abort,
    /// Ends the process by using up the stack.
    Overflow,
    /// Makes the state one that ends the process, if that is armed.
    Lay(Spark),
    /// Does nothing, but is a part of the message that ends the process, if that is armed.
    Carry(Fuse),
    /// Gives up on the message, with a text of so many bytes.
    RejectWith(usize),
    /// Asks the first up to and including this attempt, and the second from then on; appends the reply.
    AskAnother(u32, (Target, Vec<Self>), (Target, Vec<Self>)),
}

/// To whom a script goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Whether it is a [`Quick`].
    pub early: bool,
    /// Its key.
    pub key: String,
}

/// The worker called `key`.
#[must_use]
pub fn worker(key: &str) -> Target {
    Target { early: false, key: key.into() }
}

/// The quick worker called `key`.
#[must_use]
pub fn quick(key: &str) -> Target {
    Target { early: true, key: key.into() }
}

/// What is to be done.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[message(name = "script", reply = Vec<u32>)]
pub struct Script {
    /// In this order.
    pub steps: Vec<Step>,
    /// Only there to take room.
    pub padding: Vec<u8>,
}

/// A message that no worker registers.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "stranger")]
pub struct Stranger;

/// What a worker has done: its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(name = "log")]
pub struct Log {
    /// From [`Step::Append`] and the replies to asks.
    pub entries: Vec<u32>,
    /// How many numbers were counted.
    pub count: u64,
    /// The newest number that was counted.
    pub last: u32,
    /// How many of them did not follow the one before by one.
    pub jumps: u64,
    /// From [`Step::Grow`].
    pub ballast: Vec<u8>,
    /// From [`Step::Lay`].
    pub fuse: Fuse,
}

/// Asks for the whole state.
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "read", reply = Log)]
pub struct Read;

impl Script {
    /// A script without padding.
    #[must_use]
    pub fn new(steps: impl Into<Vec<Step>>) -> Self {
        Self { steps: steps.into(), padding: Vec::new() }
    }

    /// A script that takes `bytes` bytes more.
    #[must_use]
    pub fn padded(steps: impl Into<Vec<Step>>, bytes: usize) -> Self {
        Self { steps: steps.into(), padding: vec![0xa5; bytes] }
    }
}

impl<const EARLY: bool> Scripted<EARLY> {
    /// The actor, watched by `probe`.
    #[must_use]
    pub fn new(probe: &Arc<Probe>) -> Self {
        Self { probe: Arc::clone(probe) }
    }
}

impl<const EARLY: bool> Actor for Scripted<EARLY> {
    const TYPE: &'static str = if EARLY { "quick" } else { "worker" };
    const DELIVERY: Delivery = if EARLY { Delivery::Pipelined } else { Delivery::Committed };
    type State = Log;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Script>();
        handlers.on_query::<Read>();
    }
}

impl<const EARLY: bool> Handler<Stranger> for Scripted<EARLY> {
    async fn handle(&self, _: &mut Durable<Log>, _: Stranger, _: &mut Turn<'_>) -> Result<(), Failure> {
        Err(Failure::reject("it is not registered, so that it cannot come here"))
    }
}

impl<const EARLY: bool> Handler<Script> for Scripted<EARLY> {
    async fn handle(&self, log: &mut Durable<Log>, script: Script, turn: &mut Turn<'_>) -> Result<Vec<u32>, Failure> {
        for step in script.steps {
            self.run(log, step, turn).await?;
        }
        Ok(log.entries.clone())
    }
}

impl<const EARLY: bool> QueryHandler<Read> for Scripted<EARLY> {
    fn answer(&self, log: &Log, Read: Read) -> Log {
        log.clone()
    }
}

impl<const EARLY: bool> Scripted<EARLY> {
    async fn run(&self, log: &mut Durable<Log>, step: Step, turn: &mut Turn<'_>) -> Result<(), Failure> {
        match step {
            Step::Append(number) => log.entries.push(number),
            Step::Tick { start, period } => {
                let tick = (turn.sent_at().0 - start) / period;
                log.entries.push(tick.try_into().expect("tests do not last that long"));
            }
            Step::Count(number) => {
                log.jumps += u64::from(number != log.last + 1);
                log.count += 1;
                log.last = number;
            }
            Step::Grow(bytes) => log.ballast.extend(std::iter::repeat_n(1, bytes as usize)),
            step @ (Step::Send(..) | Step::SendAs(..) | Step::SendUnder(..)) => send(step, turn),
            step @ (Step::Ask(..) | Step::AskAnother(..) | Step::TryAsk(..)) => ask_and_note(log, step, turn).await?,
            Step::FailUpTo(attempt) if turn.attempt() <= attempt => return Err(Failure::retry("told to fail")),
            Step::RetryAfter(attempt, millis) if turn.attempt() <= attempt => {
                return Err(Failure::retry_after(Duration::from_millis(millis), "told to wait"));
            }
            Step::PanicUpTo(attempt) if turn.attempt() <= attempt => panic!("told to panic"),
            Step::FailUntil(gate) if !self.probe.is_open(gate) => return Err(Failure::retry("told to fail")),
            Step::FailUntil(_) | Step::FailUpTo(_) | Step::RetryAfter(..) | Step::PanicUpTo(_) => {}
            Step::DeferUntil(millis, entries) if log.entries.len() < entries => {
                return Err(Failure::defer(Duration::from_millis(millis)));
            }
            Step::DeferUntil(..) => {}
            Step::Hang => std::future::pending().await,
            Step::Reject => return Err(Failure::reject("told to reject")),
            Step::RejectWith(bytes) => return Err(Failure::reject("x".repeat(bytes))),
            Step::Reach(gate) => {
                tracing::info!(gate, "reached");
                self.probe.reach(gate);
            }
            Step::Wait(gate) => self.probe.pass(gate).await,
            Step::Spin(gate) => self.probe.spin(gate),
            Step::Note => self.probe.note(note(turn)),
            Step::Committed => turn.committed().await?,
            Step::Forget => turn.clear_state(),
            Step::Work(rounds) => drop(black_box((0..rounds).fold(0_u32, |sum, round| black_box(sum ^ round)))),
            Step::Abort => std::process::abort(),
            Step::Overflow => overflow(),
            Step::Lay(spark) => log.fuse = Fuse::new(spark),
            Step::Carry(_) => {}
        }
        Ok(())
    }
}

fn send(step: Step, turn: &mut Turn<'_>) {
    match step {
        Step::Send(to, steps) if to.early => drop(turn.send(&Quick::at(&to.key), Script::new(steps))),
        Step::Send(to, steps) => drop(turn.send(&Worker::at(&to.key), Script::new(steps))),
        Step::SendAs(priority, to, steps) => {
            turn.send(&Worker::at(&to.key), Script::new(steps)).priority(priority);
        }
        Step::SendUnder(key, to, steps) => {
            turn.send(&Worker::at(&to.key), Script::new(steps)).idempotency_key(&key);
        }
        other => unreachable!("{other:?} sends nothing"),
    }
}

async fn ask_and_note(log: &mut Log, step: Step, turn: &mut Turn<'_>) -> Result<(), Failure> {
    match step {
        Step::Ask(to, steps) => log.entries.extend(ask(&to, steps, turn).await?),
        Step::AskAnother(attempt, first, second) => {
            let (to, steps) = if turn.attempt() <= attempt { first } else { second };
            log.entries.extend(ask(&to, steps, turn).await?);
        }
        Step::TryAsk(to, steps) => match ask(&to, steps, turn).await {
            Ok(reply) => log.entries.extend(reply),
            Err(error) => log.ballast.extend(error.to_string().into_bytes()),
        },
        other => unreachable!("{other:?} asks nothing"),
    }
    Ok(())
}

async fn ask(to: &Target, steps: Vec<Step>, turn: &mut Turn<'_>) -> Result<Vec<u32>, everpost::AskError> {
    if to.early {
        turn.ask(&Quick::at(&to.key), Script::new(steps)).await
    } else {
        turn.ask(&Worker::at(&to.key), Script::new(steps)).await
    }
}

fn note(turn: &Turn<'_>) -> Note {
    Note {
        address: turn.address().to_string(),
        sender: turn.sender().map(|sender| sender.to_string()),
        message: turn.message_id().to_string(),
        sequence: turn.sequence().0,
        attempt: turn.attempt(),
        idempotency_key: turn.idempotency_key("charge"),
        other_key: turn.idempotency_key("refund"),
    }
}

/// A node whose actors are workers.
#[must_use = "a builder does nothing until it is started"]
pub fn workers(folder: &std::path::Path, probe: &Arc<Probe>) -> everpost::NodeBuilder {
    workers_named("node", folder, probe)
}

/// The same under a name of its own, which tells its logs apart.
pub fn workers_named(name: &str, folder: &std::path::Path, probe: &Arc<Probe>) -> everpost::NodeBuilder {
    Node::builder(name, folder).actor(Worker::new(probe)).actor(Quick::new(probe)).config(crate::config())
}

/// Reads the whole state of a worker.
///
/// # Panics
///
/// When it does not answer.
pub async fn read<const EARLY: bool>(actor: &ActorHandle<Scripted<EARLY>>) -> Log {
    actor.query(Read).await.expect("a worker answers")
}
