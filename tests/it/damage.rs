//! Stores that cannot be opened or read: a typed error names what is wrong, and nothing else changes.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use everpost::tables;
use everpost::{CommitError, NodeConfig, NodeEnded, OpenError, ReadError, StartError, StoreConfig};
use everpost_persistence::{Key, Store};
use everpost_tests::child::Child;
use everpost_tests::load;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, worker, workers};

/// Flips one bit behind every place where `mark` is in the file; there may be old copies of the record.
fn flip(file: &Path, mark: &[u8]) {
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<usize> = (0..bytes.len() - mark.len()).filter(|at| bytes[*at..].starts_with(mark)).collect();
    assert!(!places.is_empty(), "{} is not in {}", String::from_utf8_lossy(mark), file.display());
    for place in places {
        bytes[place + mark.len()] ^= 4;
    }
    fs::write(file, bytes).unwrap();
}

/// Stops while a message for each of three workers waits behind one that backs off.
async fn store_with_waiting_messages(folder: &Path) {
    let node = workers(folder, &Probe::new()).start().await.unwrap();
    for key in ["first", "second", "third"] {
        node.actor::<Worker>(key).ask(Script::new([Step::Append(1)])).await.unwrap();
        node.actor::<Worker>(key).send(Script::new([Step::RetryAfter(1, 1), Step::Append(2)])).await.unwrap();
    }
    soon("they are handled", node.drained()).await.unwrap();
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    node.stop().await.unwrap();
    let probe = Probe::new();
    let node = workers(folder, &probe).config(config).start().await.unwrap();
    for key in ["first", "second", "third"] {
        node.actor::<Worker>(key).send(Script::new([Step::Wait(0), Step::Append(3)])).await.unwrap();
    }
    let _ = node.stop().await;
}

/// The state was not found any more, and the actor would have begun from nothing, until the next start compared what
/// there is.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_lost_while_the_node_runs_is_missed() {
    let (folder, probe) = (everpost_tests::folder(), Probe::new());
    let node = workers(folder.path(), &probe).start().await.unwrap();
    for key in ["first", "second", "third"] {
        node.actor::<Worker>(key).ask(Script::new([Step::Append(1)])).await.unwrap();
    }
    node.stop().await.unwrap();
    let mut keys = Vec::new();
    let mut note = |key: &Key, _: &[u8]| {
        keys.push(*key);
        ControlFlow::Continue(())
    };
    Store::inspect(folder.path(), tables::SCHEMA).unwrap().scan(&tables::MAILBOXES, &mut note).unwrap();
    let (partition, mailbox) = tables::mailbox_of(&keys[1]);
    let key = [&partition.0.to_be_bytes()[..], &mailbox.0.to_be_bytes()].concat();

    let node = workers(folder.path(), &probe).start().await.unwrap();
    // In place: the file is in use.
    let tables = folder.path().join("tables/data.mdb");
    let bytes = fs::read(&tables).unwrap();
    let places: Vec<usize> = (0..bytes.len() - key.len()).filter(|at| bytes[*at..].starts_with(&key)).collect();
    assert!(!places.is_empty(), "the key is in the file");
    let file = File::options().write(true).open(&tables).unwrap();
    for place in places {
        let last = place + key.len() - 1;
        file.write_all_at(&[bytes[last] ^ 1], last as u64).unwrap();
    }
    let failed = soon("it has failed", node.failed()).await;
    let NodeEnded::Failed(CommitError::Damaged { what }) = &failed else { panic!("{failed}") };
    assert!(what.contains("table `mailboxes` holds 1 records"), "{what}");
    soon("it stops", node.stop()).await.unwrap_err();
    let refused = workers(folder.path(), &probe).start().await.unwrap_err();
    assert!(matches!(refused, StartError::Open(OpenError::Records { table: "mailboxes", .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_refuses_to_start_and_names_the_record() {
    let folder = everpost_tests::folder();
    store_with_waiting_messages(folder.path()).await;
    let tables = folder.path().join("tables/data.mdb");
    let whole = fs::read(&tables).unwrap();
    // The header of the envelope: destination, no sender, name of the message.
    flip(&tables, b"\x0dworker/second\x00\x06script");
    let damaged = fs::read(&tables).unwrap();
    let refused = workers(folder.path(), &Probe::new()).start().await.unwrap_err();
    assert!(matches!(refused, StartError::Read(ReadError::Damaged { table: "inbox", .. })), "{refused:?}");
    assert!(refused.to_string().contains("of table `inbox` is damaged"), "{refused}");
    assert!(fs::read(&tables).unwrap() == damaged, "nothing is repaired silently");

    fs::write(&tables, whole).unwrap();
    let probe = Probe::new();
    probe.open(0);
    let node = workers(folder.path(), &probe).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    for key in ["first", "second", "third"] {
        assert_eq!(read(&node.actor::<Worker>(key)).await.entries, [1, 2, 3]);
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_refuses_to_start() {
    let folder = everpost_tests::folder();
    let mut child = Child::up(&Setup {
        folder: folder.path().into(),
        attempts_max: 8,
        open: false,
        logs: false,
        seat: None,
        waits: false,
    });
    child.tell(&Command::Send(vec![(worker("journalled"), vec![Step::Wait(0), Step::Append(1)])]));
    child.wait_for("it is durable", |event| matches!(event, Event::Accepted(_)));
    child.kill();
    let journal = folder.path().join("journal/data.mdb");
    let whole = fs::read(&journal).unwrap();
    flip(&journal, b"worker/journalled");
    let damaged = fs::read(&journal).unwrap();
    let start = || load::actors(workers(folder.path(), &Probe::new())).start();
    let refused = start().await.unwrap_err();
    assert!(matches!(refused, StartError::Open(OpenError::Damaged { table: "journal", .. })), "{refused:?}");
    assert!(fs::read(&journal).unwrap() == damaged, "nothing was changed");

    fs::write(&journal, whole).unwrap();
    let node = start().await.unwrap();
    assert_eq!(node.statistics().replayed, 1);
    let _ = tokio::time::timeout(Duration::from_millis(1), node.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_holds_back_its_own_actor_and_no_other() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    for key in ["good", "wrong"] {
        node.actor::<Worker>(key).ask(Script::new([Step::Append(1)])).await.unwrap();
    }
    node.stop().await.unwrap();
    let tables = folder.path().join("tables/data.mdb");
    // The header of a state ends with the address, the name and the version.
    flip(&tables, b"worker/wrong\x03log\x01");
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    node.actor::<Worker>("wrong").send(Script::new([Step::Append(2)])).await.unwrap();
    for number in 2..20 {
        let reply = node.actor::<Worker>("good").ask(Script::new([Step::Append(number)])).await.unwrap();
        assert_eq!(reply.len(), number as usize);
    }
    assert_eq!((node.statistics().waiting, node.statistics().dead_lettered), (1, 0), "it waits, and is kept");
    soon("the stop ends", node.stop()).await.unwrap();
    // The same bits once more, and it goes on where it was.
    flip(&tables, b"worker/wrong\x03log\x01");
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    // It is paused if it has failed as often as its budget allows while the others were at work.
    node.actor::<Worker>("wrong").resume().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("wrong")).await.entries, [1, 2]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_by_another_process_is_refused_and_free_after_its_death() {
    let folder = everpost_tests::folder();
    let mut child = Child::up(&Setup {
        folder: folder.path().into(),
        attempts_max: 8,
        open: true,
        logs: false,
        seat: None,
        waits: false,
    });
    let refused = workers(folder.path(), &Probe::new()).start().await.unwrap_err();
    assert!(
        matches!(&refused, StartError::Open(OpenError::InUse { folder: named }) if named == folder.path()),
        "{refused:?}"
    );
    child.kill();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_one_is_named() {
    let folder = everpost_tests::folder();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/everpost".into()] {
        let refused = workers(&path, &Probe::new()).start().await.unwrap_err();
        assert!(matches!(refused, StartError::Open(OpenError::Folder { .. })), "{refused:?}");
        assert!(refused.to_string().contains(&*path.to_string_lossy()), "{refused}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"not a folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_shape_is_refused() {
    let folder = everpost_tests::folder();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    node.actor::<Worker>("one").ask(Script::new([Step::Append(1)])).await.unwrap();
    node.stop().await.unwrap();
    let store = StoreConfig { partitions: 7.try_into().unwrap(), ..StoreConfig::default() };
    let config = NodeConfig { store, ..everpost_tests::config() };
    let refused = workers(folder.path(), &Probe::new()).config(config).start().await.unwrap_err();
    let named = matches!(refused, StartError::Open(OpenError::PartitionCount { stored: 64, configured: 7 }));
    assert!(named, "{refused:?}");

    // Half of a store.
    fs::rename(folder.path().join("tables"), folder.path().join("elsewhere")).unwrap();
    let refused = workers(folder.path(), &Probe::new()).start().await.unwrap_err();
    assert!(matches!(refused, StartError::Open(OpenError::Missing { .. } | OpenError::Gap { .. })), "{refused:?}");
    let _ = fs::remove_dir_all(folder.path().join("tables"));
    fs::rename(folder.path().join("elsewhere"), folder.path().join("tables")).unwrap();
    let node = workers(folder.path(), &Probe::new()).start().await.unwrap();
    assert_eq!(read(&node.actor::<Worker>("one")).await.entries, [1]);
    eventually("nothing was lost", || node.statistics().waiting == 0).await;
    node.stop().await.unwrap();
}
