//! How fast, when asked: `EVERPOST_MEASURE=/tmp cargo test --release -p everpost-persistence measure -- --nocapture`,
//! with a folder on the disk that is to be measured.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use everpost_persistence::{Class, Config, Partition, Position};

use crate::declared;
use crate::support::TestStore;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// What the disk can do: appends of 4 KiB, each with its own sync.
fn baseline(folder: &Path) -> f64 {
    let file = File::create(folder.join("baseline")).unwrap();
    let start = now();
    let mut count = 0;
    while start.elapsed() < Duration::from_millis(500) {
        file.write_all_at(&[1; 4096], count * 4096).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// A load: what each turn enqueues, after how many turns it deletes that, and how many turns wait for the disk at
/// most.
struct Load {
    name: &'static str,
    records: usize,
    bytes: usize,
    kept_turns: usize,
    ahead: usize,
}

const LOADS: [Load; 5] = [
    Load {
        name: "1,000 x 200 B a turn, kept for 4 turns",
        records: 1000,
        bytes: 200,
        kept_turns: 4,
        ahead: usize::MAX,
    },
    Load {
        name: "1,000 x 200 B a turn, kept for 300 turns",
        records: 1000,
        bytes: 200,
        kept_turns: 300,
        ahead: usize::MAX,
    },
    Load {
        name: "1,000 x 200 B a turn, 2 turns ahead of the disk",
        records: 1000,
        bytes: 200,
        kept_turns: 4,
        ahead: 2,
    },
    Load { name: "128 x 250 B (32 KiB) a turn, 2 turns ahead", records: 128, bytes: 250, kept_turns: 4, ahead: 2 },
    Load {
        name: "1 x 200 B a turn, kept for 1,000 turns",
        records: 1,
        bytes: 200,
        kept_turns: 1000,
        ahead: usize::MAX,
    },
];

#[test]
fn measure() {
    let Some(folder) = std::env::var_os("EVERPOST_MEASURE") else { return };
    let folder = tempfile::tempdir_in(folder).unwrap();
    let mut report = std::io::stderr();
    writeln!(report, "baseline before: {:.0} syncs/s", baseline(folder.path())).unwrap();
    for load in &LOADS {
        let store_folder = tempfile::tempdir_in(folder.path()).unwrap();
        let (store, _) = TestStore::open(store_folder.path(), Config { disk_headroom_bytes: 0, ..Config::default() });
        let (records, seconds) = run(&store, load);
        let statistics = store.store.statistics();
        let per_second = |count: u64| count as f64 / seconds;
        let file = std::fs::metadata(store_folder.path().join("journal/data.mdb")).unwrap().len();
        writeln!(
            report,
            "{}: {:.0} records put and deleted/s, {:.0} groups/s, {:.0} turns/s, {:.0} MB/s to the journal, \
             {} checkpoints, {} waits for them, journal file {:.0} MB",
            load.name,
            per_second(records),
            per_second(statistics.groups),
            per_second(statistics.turns),
            per_second(statistics.journal_bytes) / 1e6,
            statistics.checkpoints,
            statistics.waits_for_checkpoint,
            file as f64 / 1e6,
        )
        .unwrap();
        store.store.close().unwrap();
    }
    writeln!(report, "baseline after: {:.0} syncs/s", baseline(folder.path())).unwrap();
}

/// Runs a load for three seconds: the records that were put, and how long until they were durable.
fn run(store: &TestStore, load: &Load) -> (u64, f64) {
    let value = Bytes::from(vec![7; load.bytes]);
    let start = now();
    let (mut kept, mut tickets, mut records) = (VecDeque::<Vec<Position>>::new(), VecDeque::new(), 0);
    while start.elapsed() < Duration::from_secs(3) {
        let permit = store.reserve(Class::Outside, load.records * load.bytes);
        let old = if kept.len() >= load.kept_turns { kept.pop_front() } else { None };
        let (ticket, positions) = store.store.submit(permit, |stage| {
            for &position in old.iter().flatten() {
                stage.delete(declared::inbox(Partition(1), position));
            }
            (0..load.records).map(|_| stage.enqueue(&declared::INBOX, Partition(1), value.clone())).collect::<Vec<_>>()
        });
        kept.push_back(positions);
        tickets.push_back(ticket);
        if tickets.len() > load.ahead {
            let ticket = tickets.pop_front().unwrap();
            assert!(store.wait_durable(ticket));
        }
        records += load.records as u64;
        if load.ahead == usize::MAX {
            tickets.drain(..tickets.len() - 1);
        }
    }
    assert!(store.wait_durable(tickets.pop_back().unwrap()));
    (records, start.elapsed().as_secs_f64())
}
