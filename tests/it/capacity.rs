//! A full store refuses those outside, with an error that says what is full; turns go on, and room comes back.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use everpost::{
    AdmissionError, CommitError, Group, GroupEnded, Node, NodeConfig, NodeEnded, Refusal, SendError, StoreConfig,
};
use everpost_tests::logs;
use everpost_tests::probe::Probe;
use everpost_tests::stage::{Act, Stage};
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read, workers};

const GATE: u32 = 0;
const TABLES_BYTES: u64 = 8 << 20;

fn tiny() -> NodeConfig {
    let store = StoreConfig {
        journal_map_bytes: 8 << 20,
        tables_map_bytes: TABLES_BYTES,
        checkpoint_age: Duration::from_millis(5),
        disk_headroom_bytes: 0,
        ..StoreConfig::default()
    };
    NodeConfig { store, ..everpost_tests::config() }
}

fn refusal(error: SendError<Script>) -> Refusal {
    match error {
        SendError::NotAccepted { reason, .. } => reason,
        other => panic!("the store failed: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_map_refuses_sends_by_name_and_recovers_after_the_drain_with_nothing_lost() {
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(tiny()).start().await.unwrap();
    let mut expected = vec![Vec::new(); 7];
    for round in 0..3 {
        for key in 0..7 {
            let actor = node.actor::<Worker>(&key.to_string());
            actor.send(Script::new([Step::Reach(GATE + round), Step::Wait(GATE + round)])).await.unwrap();
        }
        probe.reached(GATE + round, 7).await;
        let mut number = 0;
        let refused = loop {
            let key = number as usize % 7;
            let script = Script::padded([Step::Append(round * 10_000 + number)], 3000);
            match node.actor::<Worker>(&key.to_string()).send(script).await {
                Ok(_) => expected[key].push(round * 10_000 + number),
                Err(error) => break error,
            }
            number += 1;
        };
        let text = refused.to_string();
        assert!(text.contains("tables of the store") || text.contains("journal of the store"), "{text}");
        let refused = refusal(refused);
        assert!(matches!(refused, Refusal::Store(AdmissionError::StoreFull { .. })), "{refused:?}");
        assert!(number > 1000, "only {number} messages of 3 KB fit into 8 MiB");
        probe.open(GATE + round);
        soon("turns and acknowledgements go on", node.drained()).await.unwrap();
        let one = node.actor::<Worker>("0");
        eventually("there is room again", || one.send(Script::new([])).try_submit().is_ok()).await;
    }
    soon("it drains", node.drained()).await.unwrap();
    for (key, expected) in expected.iter().enumerate() {
        assert_eq!(read(&node.actor::<Worker>(&key.to_string())).await.entries, *expected);
    }
    assert_eq!((node.statistics().failed, node.statistics().dead_lettered), (0, 0));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_would_grow_a_full_store_waits_without_a_counted_attempt() {
    const STATE_BYTES: u32 = 1500;
    const GROWERS: usize = 1800;
    const BALLAST: usize = 1200;
    let folder = everpost_tests::folder();
    let probe = Probe::new();
    let node = workers(folder.path(), &probe).config(tiny()).start().await.unwrap();
    for number in 0..BALLAST {
        let actor = node.actor::<Worker>(&format!("ballast-{number}"));
        actor.ask(Script::new([Step::Grow(STATE_BYTES)])).await.unwrap();
        actor.send(Script::new([Step::Reach(3), Step::Wait(2), Step::Forget])).await.unwrap();
    }
    for number in 0..GROWERS {
        let actor = node.actor::<Worker>(&format!("grower-{number}"));
        actor.send(Script::new([Step::Wait(1), Step::Grow(STATE_BYTES), Step::Reach(4)])).await.unwrap();
    }
    probe.open(1);
    // All handlers return; what they want does not fit.
    probe.reached(4, GROWERS).await;
    eventually("the store is full", || node.store_statistics().tables_used_bytes * 100 > TABLES_BYTES * 85).await;
    let outside = node.actor::<Worker>("outside");
    eventually("those outside are refused", || {
        matches!(
            outside.send(Script::new([])).try_submit(),
            Err(SendError::NotAccepted { reason: Refusal::Store(_), .. })
        )
    })
    .await;
    let statistics = node.statistics();
    assert!(statistics.handled < (BALLAST + GROWERS) as u64, "all fit: {statistics:?}");
    probe.open(2);
    soon("turns that shrink pass, and the others follow", node.drained()).await.unwrap();
    let statistics = node.statistics();
    assert_eq!((statistics.failed, statistics.dead_lettered), (0, 0));
    for number in 0..GROWERS {
        let log = read(&node.actor::<Worker>(&format!("grower-{number}"))).await;
        assert_eq!(log.ballast.len(), STATE_BYTES as usize);
    }
    assert!(read(&node.actor::<Worker>("ballast-0")).await.ballast.is_empty());
    node.stop().await.unwrap();
}

/// It is looked at once a second, and at each send.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_headroom_is_told_of_once_however_many_sends_are_refused() {
    logs::keep();
    let (name, folder) = ("no-headroom", everpost_tests::folder());
    let store = StoreConfig { disk_headroom_bytes: 1 << 60, ..StoreConfig::default() };
    let config = NodeConfig { store, ..everpost_tests::config() };
    let node = Node::builder(name, folder.path()).actor(Worker::new(&Probe::new())).config(config);
    let node = node.start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let refuse = async || {
        for _ in 0..100 {
            let refused = refusal(actor.send(Script::new([])).await.unwrap_err());
            assert!(matches!(refused, Refusal::Store(AdmissionError::DiskFull { .. })), "{refused:?}");
        }
    };
    refuse().await;
    let line = logs::line(name, "store full", "headroom").await;
    assert_eq!(line.level, tracing::Level::ERROR);
    refuse().await;
    node.stop().await.unwrap();
    assert_eq!(logs::lines(name, "store full").len(), 1);
}

/// A small file system of its own, unmounted in any case; none where that is not allowed.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path, mib: u32) -> Option<Self> {
        let size = format!("size={mib}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_headroom_refuses_sends_until_there_is_some() {
    let folder = everpost_tests::folder();
    let Some(_disk) = SmallDisk::mount(folder.path(), 8) else {
        eprintln!("skipped, needs root");
        return;
    };
    let probe = Probe::new();
    let store = StoreConfig { disk_headroom_bytes: 3 << 20, ..StoreConfig::default() };
    let config = NodeConfig { store, ..everpost_tests::config() };
    logs::keep();
    let name = "headroom-comes-back";
    let node = Node::builder(name, folder.path().join("store")).actor(Worker::new(&probe)).config(config);
    let node = node.start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    actor.ask(Script::new([Step::Append(1)])).await.unwrap();
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 5 << 20]).unwrap();
    let refused = loop {
        // The free space is looked at now and then, not for every message.
        if let Err(error) = actor.send(Script::new([])).await {
            break refusal(error);
        }
    };
    assert!(matches!(refused, Refusal::Store(AdmissionError::DiskFull { .. })), "{refused:?}");
    soon("turns go on", node.drained()).await.unwrap();
    logs::line(name, "store full", "headroom").await;
    std::fs::remove_file(&ballast).unwrap();
    eventually("there is room again", || actor.send(Script::new([])).try_submit().is_ok()).await;
    logs::line(name, "store full", "it is over").await;
    assert_eq!(logs::lines(name, "store full").len(), 2, "when it begins, and when it is over");
    assert_eq!(actor.ask(Script::new([Step::Append(2)])).await.unwrap(), [1, 2]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_the_node_with_a_typed_failure_and_a_restart_finds_all_that_was_acknowledged() {
    let folder = everpost_tests::folder();
    let Some(_disk) = SmallDisk::mount(folder.path(), 8) else {
        eprintln!("skipped, needs root");
        return;
    };
    let probe = Probe::new();
    let store = StoreConfig { disk_headroom_bytes: 0, ..StoreConfig::default() };
    let config = NodeConfig { store, ..everpost_tests::config() };
    let data = folder.path().join("store");
    let ballast = folder.path().join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let node = workers(&data, &probe).config(config.clone()).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let replied = actor.ask(Script::new([Step::Append(0)])).await.unwrap();
    let stage = Stage::new();
    let group = node.supervise(Group::one_for_one("group").child(stage.permanent("task"))).await.unwrap();
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    let mut acknowledged = 0;
    let failed = loop {
        match soon("a send ends", actor.send(Script::padded([Step::Append(acknowledged + 1)], 20_000))).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    // On its way when the journal failed, or after a checkpoint had.
    let typed = match &failed {
        SendError::OutcomeUnknown { source: NodeEnded::Failed(source), .. } => {
            matches!(source, CommitError::DiskFull { .. })
        }
        SendError::NotAccepted { reason: Refusal::Store(AdmissionError::Failed(source)), .. } => {
            matches!(source, CommitError::DiskFull { .. })
        }
        // After a failure the node stops by itself, and `failed` below says why.
        SendError::NotAccepted { reason: Refusal::Stopping, .. } => true,
        _ => false,
    };
    assert!(typed, "{failed:?}");
    let failure = soon("the node says so", node.failed()).await;
    assert!(matches!(failure, NodeEnded::Failed(CommitError::DiskFull { .. })), "{failure:?}");
    let refused = refusal(actor.send(Script::new([])).await.unwrap_err());
    assert!(matches!(refused, Refusal::Stopping | Refusal::Store(AdmissionError::Failed(_))), "{refused:?}");
    soon("a drain ends", node.drained()).await.unwrap_err();
    // A restart that cannot be stored is not made.
    stage.tell("task", Act::Fail);
    let ended = soon("the group ends", group.ended()).await;
    assert!(matches!(&ended, Err(GroupEnded::NotStored { source: NodeEnded::Failed(_), .. })), "{ended:?}");
    assert_eq!(stage.seen(), ["+task", "-task"]);
    probe.open(GATE);
    soon("the stop ends", node.stop()).await.unwrap_err();

    std::fs::remove_file(&ballast).unwrap();
    let node = workers(&data, &probe).config(config).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    let entries = read(&node.actor::<Worker>("one")).await.entries;
    assert!(entries.starts_with(&replied));
    let expected: Vec<_> = (0..=acknowledged).collect();
    assert!(entries == expected || entries == (0..=acknowledged + 1).collect::<Vec<_>>(), "{entries:?}");
    node.stop().await.unwrap();
}

/// Nothing was set aside by default: whatever freed room needed some first.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_drains_after_a_restart_on_a_disk_that_is_full_to_the_last_byte() {
    let folder = everpost_tests::folder();
    let Some(_disk) = SmallDisk::mount(folder.path(), 300) else {
        eprintln!("skipped, needs root");
        return;
    };
    // The settings of the store are the usual ones.
    let config = NodeConfig { stop_timeout: Duration::from_millis(100), ..everpost_tests::config() };
    let (probe, data) = (Probe::new(), folder.path().join("store"));
    let node = workers(&data, &probe).config(config.clone()).start().await.unwrap();
    let mut expected = vec![Vec::new(); 5];
    for key in 0..expected.len() {
        node.actor::<Worker>(&key.to_string()).send(Script::new([Step::Wait(GATE)])).await.unwrap();
    }
    for number in 0.. {
        let key = number as usize % expected.len();
        let script = Script::padded([Step::Append(number)], 20_000);
        match node.actor::<Worker>(&key.to_string()).send(script).await {
            Ok(_) => expected[key].push(number),
            Err(error) => {
                let refused = refusal(error);
                assert!(matches!(refused, Refusal::Store(AdmissionError::DiskFull { .. })), "{refused:?}");
                break;
            }
        }
    }
    fill(&folder.path().join("ballast"));
    // The handlers at the gate are cut off, which the error says.
    soon("it stops", node.stop()).await.unwrap_err();
    fill(&folder.path().join("more"));

    probe.open(GATE);
    let node = workers(&data, &probe).config(config).start().await.unwrap();
    soon("it drains", node.drained()).await.unwrap();
    for (key, expected) in expected.iter().enumerate() {
        assert_eq!(read(&node.actor::<Worker>(&key.to_string())).await.entries, *expected);
    }
    soon("it stops", node.stop()).await.unwrap();
}

/// Takes everything that is left of a disk.
fn fill(file: &Path) {
    let mut file = std::fs::File::create(file).unwrap();
    for bytes in [1 << 20, 4096, 1] {
        while file.write(&vec![1; bytes]).is_ok_and(|written| written > 0) {}
    }
}
