//! A store that an older build of a program wrote, and what the newer one makes of it.
//!
//! `tests/golden/accounts-1` was written by the build of the commit "Keep a store that a build wrote, for later builds
//! to read", whose version of this file has the code that did it: the store has format 2, states have no names in their
//! records, and the amounts of `balance`, `deposit` and `withdraw`, all of version 1, are whole euros. Accounts of this
//! build count in cents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use everpost::{
    Actor, Durable, Failure, Handler, Handlers, Message, Node, NodeBuilder, NodeConfig, Reason, Schedule, StartError,
    State, StoreConfig, Stored, Turn, UpgradeError, UpgradeReport,
};
use everpost_tests::net::Net;
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "balance", version = 2, upgrade = balance_from)]
struct Balance {
    cents: i64,
    currency: String,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "deposit", version = 2, upgrade = deposit_from)]
struct Deposit {
    cents: i64,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "withdraw", version = 2, upgrade = withdraw_from)]
struct Withdraw {
    cents: i64,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "balance", reply = (i64, String))]
struct AskBalance;

/// Cents of version 1, in which all three have one field.
fn cents_from(version: u16, euros: &[u8]) -> Result<i64, UpgradeError> {
    if version != 1 {
        return Err(UpgradeError::new(format!("version {version} was never written")));
    }
    Ok(postcard::from_bytes::<i64>(euros).map_err(UpgradeError::new)? * 100)
}

fn balance_from(version: u16, bytes: &[u8]) -> Result<Balance, UpgradeError> {
    Ok(Balance { cents: cents_from(version, bytes)?, currency: "EUR".into() })
}

fn deposit_from(version: u16, bytes: &[u8]) -> Result<Deposit, UpgradeError> {
    Ok(Deposit { cents: cents_from(version, bytes)? })
}

fn withdraw_from(version: u16, bytes: &[u8]) -> Result<Withdraw, UpgradeError> {
    Ok(Withdraw { cents: cents_from(version, bytes)? })
}

#[derive(Debug)]
struct Account;

impl Actor for Account {
    const TYPE: &'static str = "account";
    type State = Balance;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Deposit>();
        handlers.on::<Withdraw>();
        handlers.on::<AskBalance>();
    }
}

impl Handler<Deposit> for Account {
    async fn handle(&self, balance: &mut Durable<Balance>, it: Deposit, _: &mut Turn<'_>) -> Result<(), Failure> {
        balance.cents += it.cents;
        Ok(())
    }
}

impl Handler<Withdraw> for Account {
    async fn handle(&self, balance: &mut Durable<Balance>, it: Withdraw, _: &mut Turn<'_>) -> Result<(), Failure> {
        balance.cents -= it.cents;
        Ok(())
    }
}

impl Handler<AskBalance> for Account {
    async fn handle(
        &self,
        balance: &mut Durable<Balance>,
        _: AskBalance,
        _: &mut Turn<'_>,
    ) -> Result<(i64, String), Failure> {
        Ok((balance.cents, balance.currency.clone()))
    }
}

/// A copy of the store that is kept.
fn copy() -> tempfile::TempDir {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/accounts-1");
    let folder = everpost_tests::folder();
    for half in ["journal", "tables"] {
        let (from, to) = (kept.join(half), folder.path().join(half));
        std::fs::create_dir_all(&to).unwrap();
        let copied = std::fs::copy(from.join("data.mdb"), to.join("data.mdb")).unwrap();
        assert!(copied < 100_000, "{half} has {copied} bytes");
    }
    // What a copy lacks of a store, so that nothing has to be made for a look at it.
    std::fs::write(folder.path().join("lock"), []).unwrap();
    folder
}

fn settings() -> NodeConfig {
    let store = StoreConfig { journal_map_bytes: 1 << 20, tables_map_bytes: 1 << 20, ..StoreConfig::default() };
    NodeConfig { store, stop_timeout: Duration::from_millis(10), ..everpost_tests::config() }
}

fn node(folder: &Path) -> NodeBuilder {
    Node::builder("node", folder).config(settings())
}

/// What a check found: what is stored under which name and version, and how many can be read as they are, by an
/// upgrade, and not.
fn rows(report: &UpgradeReport) -> Vec<(Stored, String, u16, [usize; 3])> {
    let row = |(kind, counts): (&everpost::StoredKind, &everpost::UpgradeCounts)| {
        let counts = [counts.as_they_are, counts.upgraded, counts.unreadable];
        (kind.stored, format!("{} {}", kind.actor_type, kind.name), kind.version, counts)
    };
    report.kinds().map(row).collect()
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_an_older_build_is_upgraded_and_nothing_is_lost() {
    let folder = copy();
    let build = node(folder.path()).actor(Account);
    let report = build.check_upgrade().await.unwrap();
    let (account, one) = (|name: &str| format!("account {name}"), 1);
    let expected = [
        (Stored::Waiting, account("deposit"), one, [0, 3, 0]),
        (Stored::Waiting, account("withdraw"), one, [0, 1, 0]),
        (Stored::State, account("balance"), one, [0, 2, 0]),
        (Stored::DeadLetter, account("withdraw"), one, [0, 1, 0]),
    ];
    assert_eq!(rows(&report), expected, "{report}");
    assert!(report.is_clean());

    let node = build.start().await.unwrap();
    assert_eq!(node.statistics().replayed, 4);
    soon("it drains", node.drained()).await.unwrap();
    // 6 + 10 + 20 - 3 euros, 70 that nobody touched, and an account that begins with what waited.
    for (key, cents, currency) in [("alice", 3300, "EUR"), ("bob", 7000, "EUR"), ("dave", 500, "")] {
        let balance = node.actor::<Account>(key).ask(AskBalance).await.unwrap();
        assert_eq!(balance, (cents, currency.to_owned()), "{key}");
    }
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason, letters[0].address.as_str()), (1, Reason::Rejected, "account/carol"));
    node.stop().await.unwrap();

    // What changed since was written anew, with its name and its version; what did not is as it was.
    let report = self::node(folder.path()).actor(Account).check_upgrade().await.unwrap();
    let expected = [
        (Stored::State, account("balance"), 1, [0, 1, 0]),
        (Stored::State, account("balance"), 2, [2, 0, 0]),
        (Stored::DeadLetter, account("withdraw"), 1, [0, 1, 0]),
    ];
    assert_eq!(rows(&report), expected, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reads_what_timers_will_send_to_actors_of_the_node() {
    const HOUR: Duration = Duration::from_secs(3600);
    let folder = everpost_tests::folder();
    let builder = || node(folder.path());
    let started = builder().actor(Account).start().await.unwrap();
    started.actor::<Account>("bob").schedule(Deposit { cents: 1 }, Schedule::after(HOUR)).await.unwrap();
    started.stop().await.unwrap();
    let report = builder().actor(Account).check_upgrade().await.unwrap();
    assert_eq!(rows(&report), [(Stored::Timer, "account deposit".to_owned(), 2, [1, 0, 0])], "{report}");
    let report = builder().actor(Hasty).check_upgrade().await.unwrap();
    assert_eq!(rows(&report), [(Stored::Timer, "account deposit".to_owned(), 2, [0, 0, 1])], "{report}");
    assert!(report.to_string().contains("    timer "), "{report}");

    // One for an actor of another node is kept here, and read there.
    let names = ["check-east", "check-west"];
    let net = Net::new(&names).with("worker", &[names[1]]);
    let probe = Probe::new();
    let east = net.start(names[0], &probe).await;
    east.actor::<Worker>("one").schedule(Script::new([Step::Append(1)]), Schedule::after(HOUR)).await.unwrap();
    east.stop().await.unwrap();
    let report = net.seat(names[0]).builder(&probe).check_upgrade().await.unwrap();
    assert_eq!(rows(&report), [], "{report}");
}

/// A build that lacks what it needs: `deposit` has no upgrade, that of `withdraw` panics, and there is another state.
#[derive(Debug)]
struct Hasty;

#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "deposit", version = 2)]
struct HastyDeposit;
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "withdraw", version = 2, upgrade = panics)]
struct HastyWithdraw;

fn panics(version: u16, _: &[u8]) -> Result<HastyWithdraw, UpgradeError> {
    panic!("nobody has thought of version {version}")
}

impl Actor for Hasty {
    const TYPE: &'static str = "account";
    type State = String;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<HastyDeposit>();
        handlers.on::<HastyWithdraw>();
    }
}

impl Handler<HastyDeposit> for Hasty {
    async fn handle(&self, _: &mut Durable<String>, _: HastyDeposit, _: &mut Turn<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

impl Handler<HastyWithdraw> for Hasty {
    async fn handle(&self, _: &mut Durable<String>, _: HastyWithdraw, _: &mut Turn<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_what_a_build_cannot_read_and_changes_no_byte() {
    let folder = copy();
    let before = files(folder.path());
    let report = node(folder.path()).actor(Hasty).check_upgrade().await.unwrap();
    assert_eq!(files(folder.path()), before);
    assert!(!report.is_clean());
    let unreadable: Vec<_> = report.kinds().map(|(_, counts)| counts.unreadable).collect();
    assert_eq!(unreadable, [3, 1, 2, 1]);
    let text = report.to_string();
    for part in
        ["no upgrade from version 1 of `deposit`", "reading `withdraw` version 1 panics", "    account/", "7 records"]
    {
        assert!(text.contains(part), "{text}");
    }

    // Without the actor: everything is named, and the build that has it finds all of it.
    let report = node(folder.path()).check_upgrade().await.unwrap();
    assert_eq!(report.kinds().map(|(_, counts)| counts.unreadable).sum::<usize>(), 7, "{report}");
    assert!(report.to_string().contains("an actor type that is not part of the node"), "{report}");
    assert_eq!(files(folder.path()), before);
    assert!(node(folder.path()).actor(Account).check_upgrade().await.unwrap().is_clean());
    assert!(matches!(node(&folder.path().join("no")).check_upgrade().await, Err(StartError::Open(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_without_an_upgrade_leaves_states_as_they_are() {
    let folder = copy();
    let hasty = node(folder.path()).actor(Hasty).start().await.unwrap();
    // Nothing is handled while the state cannot be read; `dave` has none yet, and gives up on a message that nothing
    // reads.
    eventually("dave gives up", || hasty.statistics().dead_lettered == 1).await;
    let _ = hasty.stop().await;
    let node = node(folder.path()).actor(Account).start().await.unwrap();
    assert_eq!(node.statistics().replayed, 3, "those of alice, whose state could not be read");
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(node.actor::<Account>("alice").ask(AskBalance).await.unwrap(), (3300, "EUR".to_owned()));
    node.stop().await.unwrap();
}
