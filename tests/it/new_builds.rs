//! A store that one build wrote and later ones open: `tests/golden/accounts-1`, which is kept.
//!
//! `EVERPOST_WRITE_GOLDEN=1 cargo test -p everpost-tests new_builds` writes it anew.

use std::path::{Path, PathBuf};
use std::time::Duration;

use everpost::{
    Actor, Durable, Failure, Handler, Handlers, Message, Node, NodeConfig, Reason, State, StoreConfig, Turn,
};
use everpost_tests::wait::soon;
use serde::{Deserialize, Serialize};

/// The messages and the state of the build that writes: amounts are whole euros.
#[derive(Debug, Default, Serialize, Deserialize, State)]
struct Balance {
    euros: i64,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "deposit", version = 1)]
struct Deposit {
    euros: i64,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "withdraw", version = 1)]
struct Withdraw {
    euros: i64,
}
#[derive(Debug, Serialize, Deserialize, Message)]
#[message(name = "balance", reply = i64)]
struct AskBalance;

/// An account; one that is closed lets its messages wait.
struct Account {
    open: bool,
}

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
        if !self.open {
            std::future::pending::<()>().await;
        }
        balance.euros += it.euros;
        Ok(())
    }
}

impl Handler<Withdraw> for Account {
    async fn handle(&self, balance: &mut Durable<Balance>, it: Withdraw, _: &mut Turn<'_>) -> Result<(), Failure> {
        if balance.euros < it.euros {
            return Err(Failure::reject("the balance is too low"));
        }
        balance.euros -= it.euros;
        Ok(())
    }
}

impl Handler<AskBalance> for Account {
    async fn handle(&self, balance: &mut Durable<Balance>, _: AskBalance, _: &mut Turn<'_>) -> Result<i64, Failure> {
        Ok(balance.euros)
    }
}

/// Where the store is kept.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/accounts-1")
}

fn settings() -> NodeConfig {
    let store = StoreConfig { journal_map_bytes: 1 << 20, tables_map_bytes: 1 << 20, ..StoreConfig::default() };
    NodeConfig { store, stop_timeout: Duration::from_millis(10), ..everpost_tests::config() }
}

async fn start(folder: &Path, open: bool) -> Node {
    Node::builder("node", folder).actor(Account { open }).config(settings()).start().await.unwrap()
}

/// Two accounts with a balance, three with messages that wait, and a message that was given up on.
async fn write(folder: &Path) {
    let node = start(folder, true).await;
    node.actor::<Account>("alice").send(Deposit { euros: 6 }).await.unwrap();
    node.actor::<Account>("bob").send(Deposit { euros: 70 }).await.unwrap();
    node.actor::<Account>("carol").send(Withdraw { euros: 1000 }).await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    node.stop().await.unwrap();
    let node = start(folder, false).await;
    for (key, euros) in [("alice", 10), ("alice", 20), ("dave", 5)] {
        node.actor::<Account>(key).send(Deposit { euros }).await.unwrap();
    }
    node.actor::<Account>("alice").send(Withdraw { euros: 3 }).await.unwrap();
    // Its handlers do not end, so they are cut off.
    let _ = soon("the node stops", node.stop()).await;
}

/// A copy of the store that is kept.
fn copy(folder: &Path) {
    for half in ["journal", "tables"] {
        std::fs::create_dir_all(folder.join(half)).unwrap();
        let copied = std::fs::copy(kept().join(half).join("data.mdb"), folder.join(half).join("data.mdb")).unwrap();
        assert!(copied < 100_000, "{half} has {copied} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_that_is_kept_reads_as_written() {
    if std::env::var_os("EVERPOST_WRITE_GOLDEN").is_some() {
        let _ = std::fs::remove_dir_all(kept());
        write(&kept()).await;
        for name in ["lock", "slots", "journal/lock.mdb", "tables/lock.mdb"] {
            std::fs::remove_file(kept().join(name)).unwrap();
        }
    }
    let folder = everpost_tests::folder();
    copy(folder.path());
    let node = start(folder.path(), true).await;
    assert_eq!(node.statistics().replayed, 4);
    soon("it drains", node.drained()).await.unwrap();
    let letters = node.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason, letters[0].address.as_str()), (1, Reason::Rejected, "account/carol"));
    for (key, euros) in [("alice", 33), ("bob", 70), ("carol", 0), ("dave", 5)] {
        assert_eq!(node.actor::<Account>(key).ask(AskBalance).await.unwrap(), euros, "{key}");
    }
    node.stop().await.unwrap();
}
