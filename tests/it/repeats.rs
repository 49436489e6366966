//! Turns that run again and ask something else: debited twice, given the reply of another ask, or told that what was
//! never sent was handled.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use everpost::{
    Actor, AskError, Durable, Failure, Handler, Handlers, Message, Node, NodeBuilder, NodeConfig, QueryHandler,
    Schedule, StopError, Turn,
};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::records::replies_left;
use everpost_tests::wait::{eventually, soon};
use serde::{Deserialize, Serialize};

const GATE: u32 = 0;

#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[message(name = "debit", reply = i64)]
struct Debit {
    cents: i64,
}

/// Has a map, whose order is another one on each attempt.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "split", reply = i64)]
struct Split {
    parts: HashMap<i64, i64>,
}

/// Has another type of reply.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "owner", reply = String)]
struct Owner;

/// Is given up on, without an effect.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "refuse", reply = i64)]
struct Refuse;

/// Waits at the gate first.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "slow", reply = i64)]
struct Slow;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "balance", reply = i64)]
struct Balance;

struct Bank(Arc<Probe>);

impl Actor for Bank {
    const TYPE: &'static str = "bank";
    type State = i64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Debit>();
        handlers.on::<Split>();
        handlers.on::<Owner>();
        handlers.on::<Refuse>();
        handlers.on::<Slow>();
        handlers.on_query::<Balance>();
    }
}

impl Handler<Debit> for Bank {
    async fn handle(&self, debited: &mut Durable<i64>, debit: Debit, _: &mut Turn<'_>) -> Result<i64, Failure> {
        **debited += debit.cents;
        Ok(debit.cents)
    }
}

impl Handler<Split> for Bank {
    async fn handle(&self, debited: &mut Durable<i64>, split: Split, _: &mut Turn<'_>) -> Result<i64, Failure> {
        let cents = split.parts.values().sum::<i64>();
        **debited += cents;
        Ok(cents)
    }
}

impl Handler<Owner> for Bank {
    async fn handle(&self, _: &mut Durable<i64>, _: Owner, _: &mut Turn<'_>) -> Result<String, Failure> {
        Ok("alice".to_owned())
    }
}

impl Handler<Refuse> for Bank {
    async fn handle(&self, _: &mut Durable<i64>, _: Refuse, _: &mut Turn<'_>) -> Result<i64, Failure> {
        Err(Failure::reject("refused"))
    }
}

impl Handler<Slow> for Bank {
    async fn handle(&self, debited: &mut Durable<i64>, _: Slow, _: &mut Turn<'_>) -> Result<i64, Failure> {
        self.0.reach(GATE);
        self.0.pass(GATE).await;
        **debited += 1;
        Ok(1)
    }
}

impl QueryHandler<Balance> for Bank {
    fn answer(&self, debited: &i64, _: Balance) -> i64 {
        *debited
    }
}

/// What the handler does on one attempt, in this order.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Act {
    Debit(String, i64),
    /// The handler makes nothing of the error.
    TryDebit(String, i64),
    Split(String, i64),
    TryRefuse(String),
    TrySlow(String),
    Owner(String),
    Send(String),
    SetTimer(String),
    Reach(u32),
    Pass(u32),
    Fail,
}

fn debit(account: &str, cents: i64) -> Act {
    Act::Debit(account.to_owned(), cents)
}

/// What it does on each attempt; the last one again after that.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[message(name = "pay", reply = i64)]
struct Pay {
    attempts: Vec<Vec<Act>>,
}

struct Payer {
    probe: Arc<Probe>,
    /// A newer build does from its first attempt on what the message says of this one.
    build: u32,
}

impl Actor for Payer {
    const TYPE: &'static str = "payer";
    type State = i64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Pay>();
    }
}

impl Handler<Pay> for Payer {
    async fn handle(&self, _: &mut Durable<i64>, pay: Pay, turn: &mut Turn<'_>) -> Result<i64, Failure> {
        let attempt = turn.attempt().max(self.build) as usize;
        let mut paid = 0;
        for act in &pay.attempts[attempt.min(pay.attempts.len()) - 1] {
            match act {
                Act::Debit(account, cents) => paid += turn.ask(&Bank::at(account), Debit { cents: *cents }).await?,
                Act::TryDebit(account, cents) => {
                    paid += turn.ask(&Bank::at(account), Debit { cents: *cents }).await.unwrap_or_default();
                }
                Act::Split(account, parts) => {
                    let parts = (0..*parts).map(|part| (part, 1)).collect();
                    paid += turn.ask(&Bank::at(account), Split { parts }).await?;
                }
                Act::TryRefuse(account) => paid += turn.ask(&Bank::at(account), Refuse).await.unwrap_or_default(),
                Act::TrySlow(account) => paid += turn.ask(&Bank::at(account), Slow).await.unwrap_or_default(),
                Act::Owner(account) => assert_eq!(turn.ask(&Bank::at(account), Owner).await?, "alice"),
                Act::Send(account) => drop(turn.send(&Bank::at(account), Owner)),
                Act::SetTimer(account) => {
                    turn.schedule(&Bank::at(account), Owner, Schedule::after(Duration::from_secs(3600)));
                }
                Act::Reach(gate) => self.probe.reach(*gate),
                Act::Pass(gate) => self.probe.pass(*gate).await,
                Act::Fail => return Err(Failure::retry("told to fail")),
            }
        }
        Ok(paid)
    }
}

fn with_actors(node: NodeBuilder, probe: &Arc<Probe>, build: u32) -> NodeBuilder {
    node.actor(Bank(Arc::clone(probe))).actor(Payer { probe: Arc::clone(probe), build })
}

fn config() -> NodeConfig {
    NodeConfig { attempts_max: 3, stop_timeout: Duration::from_millis(10), ..everpost_tests::config() }
}

fn builder(folder: &Path, probe: &Arc<Probe>, build: u32) -> NodeBuilder {
    with_actors(Node::builder("node", folder).config(config()), probe, build)
}

async fn debited(node: &Node, account: &str) -> i64 {
    node.actor::<Bank>(account).query(Balance).await.unwrap()
}

/// Runs a payment whose attempts do this, with both actors on one node, and then with the bank on another. `expected`
/// is what the sum of the replies is, or what the error says, and `accounts` what was debited in the end.
async fn check(attempts: &[Vec<Act>], expected: Result<i64, &[&str]>, accounts: &[(&str, i64)]) {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = builder(folder.path(), &probe, 0).start().await.unwrap();
    check_with(attempts, expected, accounts, &node, &node).await;
    drop_letters(&node).await;
    node.stop().await.unwrap();
    drop(node);
    assert_eq!(replies_left(folder.path()), 0, "{attempts:?}");

    let net = Net::new(&["east", "west"]).with("payer", &["east"]).with("bank", &["west"]).config(&config());
    let start = |name| with_actors(net.seat(name).builder(&probe), &probe, 0).start();
    let (east, west) = (start("east").await.unwrap(), start("west").await.unwrap());
    linked(&[&east, &west]).await;
    check_with(attempts, expected, accounts, &east, &west).await;
    drop_letters(&east).await;
    settled(&[&east, &west]).await;
    stop([east, west]).await;
    assert_eq!(replies_left(&net.seat("east").folder), 0, "{attempts:?}");
}

async fn check_with(
    attempts: &[Vec<Act>],
    expected: Result<i64, &[&str]>,
    accounts: &[(&str, i64)],
    payer: &Node,
    bank: &Node,
) {
    let pay = Pay { attempts: attempts.to_vec() };
    let paid = soon("it is paid, or given up on", payer.actor::<Payer>("one").ask(pay)).await;
    match (&paid, expected) {
        (Ok(paid), Ok(expected)) => assert_eq!(*paid, expected, "{attempts:?}"),
        (Err(AskError::GivenUp(error)), Err(expected)) => {
            assert!(expected.iter().all(|expected| error.contains(expected)), "{attempts:?}: {error}");
        }
        _ => panic!("{attempts:?}: {paid:?}, not {expected:?}"),
    }
    soon("it drains", bank.drained()).await.unwrap();
    for (account, cents) in accounts {
        assert_eq!(debited(bank, account).await, *cents, "{account} of {attempts:?}");
    }
}

/// Whatever a turn that was given up on has asked is kept for its replay, and goes with its letter.
async fn drop_letters(node: &Node) {
    for letter in node.dead_letters().list().await.unwrap() {
        node.dead_letters().delete(letter.sequence).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_and_timers_before_an_ask_do_not_make_it_another_ask() {
    let more = vec![Act::Send("x".into()), Act::SetTimer("x".into()), debit("a", 5), Act::Send("x".into())];
    check(&[vec![debit("a", 5), Act::Fail], more], Ok(5), &[("a", 5)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ask_at_the_same_place_fails_the_turn_by_name_and_is_not_asked() {
    let first = || vec![debit("a", 5), Act::Fail];
    let content = ["`debit` to bank/a", "another content"];
    check(&[first(), vec![debit("a", 7)]], Err(&content), &[("a", 5)]).await;
    let message = ["`debit` to bank/a", "`owner` to bank/a"];
    check(&[first(), vec![Act::Owner("a".into())]], Err(&message), &[("a", 5)]).await;
    let to = ["`debit` to bank/a", "`debit` to bank/b"];
    check(&[first(), vec![debit("b", 5)]], Err(&to), &[("a", 5), ("b", 0)]).await;
    // The first ask that follows is another one.
    let both = vec![debit("a", 5), debit("b", 5), Act::Fail];
    check(&[both, vec![debit("b", 5), debit("a", 5)]], Err(&to), &[("a", 5), ("b", 5)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_makes_nothing_of_the_error_cannot_commit() {
    let other = vec![Act::TryDebit("a".into(), 7), debit("b", 1)];
    let error = ["`debit` to bank/a", "another content"];
    check(&[vec![debit("a", 5), Act::Fail], other], Err(&error), &[("a", 5)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_leaves_out_an_ask_cannot_commit_and_says_which() {
    let both = vec![debit("a", 5), debit("b", 5), Act::Fail];
    let left_out = ["`debit` to bank/b", "asked before"];
    check(&[both.clone(), vec![debit("a", 5)]], Err(&left_out), &[("a", 5), ("b", 5)]).await;
    check(&[both, vec![]], Err(&["asked before"]), &[("a", 5), ("b", 5)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_asks_more_or_the_same_twice_commits() {
    let twice = || vec![debit("a", 5), debit("a", 5)];
    check(&[[twice(), vec![Act::Fail]].concat(), twice()], Ok(10), &[("a", 10)]).await;
    let more = [twice(), vec![debit("a", 5), debit("b", 1)]].concat();
    check(&[[twice(), vec![Act::Fail]].concat(), more], Ok(16), &[("a", 15), ("b", 1)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asks_are_compared_by_value() {
    let split = |parts| Act::Split("a".into(), parts);
    check(&[vec![split(20), Act::Fail], vec![split(20), Act::Fail], vec![split(20)]], Ok(20), &[("a", 20)]).await;
    let error = ["`split` to bank/a", "another content"];
    check(&[vec![split(20), Act::Fail], vec![split(19)]], Err(&error), &[("a", 20)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_was_given_up_on_had_no_effect_and_may_be_another_one_or_left_out() {
    let refused = vec![Act::TryRefuse("a".into()), Act::Fail];
    check(&[refused.clone(), vec![debit("a", 5)]], Ok(5), &[("a", 5)]).await;
    check(&[refused.clone(), vec![]], Ok(0), &[("a", 0)]).await;
    check(&[refused, vec![Act::TryRefuse("a".into())]], Ok(0), &[("a", 0)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_build_that_asks_something_else_after_a_restart_is_found_out() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = builder(folder.path(), &probe, 0).start().await.unwrap();
    let attempts = vec![vec![debit("a", 5), Act::Reach(1), Act::Pass(1)], vec![debit("a", 7)]];
    node.actor::<Payer>("one").send(Pay { attempts }).await.unwrap();
    probe.reached(1, 1).await;
    let stopped = node.stop().await;
    assert!(matches!(stopped, Ok(()) | Err(StopError::CutOff(_))), "{stopped:?}");
    drop(node);
    let node = builder(folder.path(), &probe, 2).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(debited(&node, "a").await, 5);
    let letters = node.dead_letters().list().await.unwrap();
    assert!(letters[0].errors.iter().all(|error| error.contains("another content")), "{letters:?}");
    node.stop().await.unwrap();
    drop(node);
    // The build that asked first goes on from what it knows.
    let node = builder(folder.path(), &probe, 0).start().await.unwrap();
    probe.open(1);
    node.dead_letters().replay(letters[0].sequence).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!((debited(&node, "a").await, node.dead_letters().count()), (5, 0));
    node.stop().await.unwrap();
    drop(node);
    assert_eq!(replies_left(folder.path()), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_nobody_waits_for_any_more_is_not_kept() {
    for restart in [false, true] {
        let (folder, probe) = (everpost_tests::folder(), Probe::new());
        let config = NodeConfig { ask_timeout: Duration::from_millis(50), ..config() };
        let start = || builder(folder.path(), &probe, 0).config(config.clone()).start();
        let mut node = start().await.unwrap();
        let pay = Pay { attempts: vec![vec![Act::TrySlow("a".into())]] };
        node.actor::<Payer>("one").send(pay).await.unwrap();
        probe.reached(GATE, 1).await;
        eventually("the turn commits", || node.statistics().handled == 1).await;
        if restart {
            let stopped = node.stop().await;
            assert!(matches!(stopped, Ok(()) | Err(StopError::CutOff(_))), "{stopped:?}");
            drop(node);
            node = start().await.unwrap();
        }
        probe.open(GATE);
        soon("it drains", node.drained()).await.unwrap();
        node.stop().await.unwrap();
        drop(node);
        assert_eq!(replies_left(folder.path()), 0, "restart: {restart}");
    }
}
