//! Handlers of held messages that do not end as they should.

use std::time::Duration;

use everpost::{
    Actor, Budget, Durable, Failure, Handler, Handlers, Hold, HoldError, HoldHandler, Message, Node, NodeConfig, Turn,
};
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Message)]
#[message(name = "job")]
struct Job(u32);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "result")]
struct Outcome(u32);

/// What fails again and again is given up on, and what gives up on messages is paused: a hold handler that panics as a
/// handler that does.
struct Clumsy;

impl Actor for Clumsy {
    const TYPE: &'static str = "clumsy";
    const BUDGET: Budget = Budget::new(1, Duration::from_secs(3600));
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_hold::<Job>();
        handlers.on::<Outcome>();
    }
}

impl HoldHandler<Job> for Clumsy {
    async fn handle(&self, _: Job, hold: Hold<Self>) -> Result<(), Failure> {
        panic!("told to panic with {}", hold.address());
    }
}

impl Handler<Outcome> for Clumsy {
    async fn handle(&self, _: &mut Durable<()>, _: Outcome, turn: &mut Turn<'_>) -> Result<(), Failure> {
        panic!("told to panic with {}", turn.address());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_hold_handler_counts_against_the_restart_budget_as_one_of_a_handler() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { attempts_max: 2, ..everpost_tests::config() };
    let node = Node::builder("node", folder.path()).actor(Clumsy).config(config).start().await.unwrap();
    let (held, handled) = (node.actor::<Clumsy>("held"), node.actor::<Clumsy>("handled"));
    for number in 0..4 {
        held.send(Job(number)).await.unwrap();
        handled.send(Outcome(number)).await.unwrap();
    }
    eventually("both are paused", || held.paused().is_some() && handled.paused().is_some()).await;
    let letters = node.dead_letters().list().await.unwrap();
    for actor in ["held", "handled"] {
        let of_actor: Vec<_> = letters.iter().filter(|letter| letter.address.key() == actor).collect();
        assert_eq!(of_actor.len(), 2, "{actor}: one may be, and the next is one too many");
        for letter in of_actor {
            let text = format!("told to panic with clumsy/{actor}");
            assert_eq!((letter.attempts, letter.errors.len()), (2, 2), "{letter:?}");
            assert!(letter.errors.iter().all(|error| error.contains(&text)), "{letter:?}");
        }
    }
    node.stop().await.unwrap();
}

/// Hands its jobs to the test, and does not end by itself.
struct Endless {
    jobs: mpsc::Sender<(Job, Hold<Self>)>,
}

impl Actor for Endless {
    const TYPE: &'static str = "endless";
    const TIME_LIMIT: Duration = Duration::from_millis(200);
    const HOLD_LIMIT: Duration = Duration::from_secs(3600);
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_hold::<Job>();
    }
}

impl HoldHandler<Job> for Endless {
    async fn handle(&self, job: Job, hold: Hold<Self>) -> Result<(), Failure> {
        self.jobs.send((job, hold)).await.expect("the test takes them");
        std::future::pending().await
    }
}

/// The documentation of [`HoldHandler::handle`] says what comes of the hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_handler_that_is_cut_off_gives_its_message_back_unless_that_was_decided_on_before() {
    let (jobs, mut taken) = mpsc::channel(64);
    let (folder, config) = (everpost_tests::folder(), everpost_tests::config());
    let node = Node::builder("node", folder.path()).actor(Endless { jobs }).config(config).start().await.unwrap();
    let actor = node.actor::<Endless>("one");
    let receipt = actor.send(Job(1)).submit().await.unwrap();
    let (_, cut_off) = soon("it is handed over", taken.recv()).await.unwrap();
    let (_, mut again) = soon("it comes back", taken.recv()).await.unwrap();
    assert_eq!((cut_off.attempt(), again.attempt()), (1, 2), "its handler was cut off, which is a failed attempt");
    assert!(matches!(cut_off.ack().await, Err(HoldError::TakenBack)));
    // A machine that is busy may be late with that, too.
    while again.ack().await.is_err() {
        (_, again) = soon("it comes back again", taken.recv()).await.unwrap();
    }
    soon("it is processed", receipt.processed()).await.unwrap();

    actor.send(Job(2)).await.unwrap();
    let (job, hold) = soon("the next is handed over", taken.recv()).await.unwrap();
    assert_eq!((job, hold.attempt()), (Job(2), 1), "the first was decided on before its handler was cut off");
    soon("it stops", node.stop()).await.unwrap();
}
