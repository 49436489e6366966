//! Writes and syncs that fail: a library between the process and the system lets the n-th call fail that changes
//! something in the folder of the store, for every n until nothing fails any more.

use std::collections::BTreeMap;
use std::path::Path;

use everpost_tests::child::Child;
use everpost_tests::disk::{Disk, Errno, Fault};
use everpost_tests::load::look;
use everpost_tests::oracle::Oracle;
use everpost_tests::protocol::{Client, Command, Event, Saw, Setup};
use everpost_tests::seeds::seeds;

/// What becomes of a call, what it says, and whether that goes for all that come after it too.
const FAULTS: [(Fault, Errno, bool); 7] = [
    (Fault::Refused, Errno::Io, true),
    (Fault::Refused, Errno::Io, false),
    (Fault::Refused, Errno::NoSpace, true),
    (Fault::Refused, Errno::NoSpace, false),
    (Fault::Reported, Errno::Io, false),
    (Fault::Halved, Errno::NoSpace, true),
    (Fault::Halved, Errno::NoSpace, false),
];
/// The node is told to stop when it has said this much.
const EVENTS: usize = 40;
/// How far the next call to fail is from the one before: few of them are spread over the whole life of a process.
const STRIDE: u64 = 37;

/// How a life has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// The node did not start, and said why.
    Refused,
    /// It failed, and said why.
    Failed,
    /// It went on, and stopped cleanly.
    Stopped,
}

#[derive(Debug)]
struct Life {
    end: End,
    /// The call that failed, if it came to it.
    failed: Option<String>,
    /// Sent after that, and acknowledged.
    acknowledged_since: Vec<(u32, u32)>,
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_call_fails_the_process_ends_by_name_and_nothing_acknowledged_is_lost_or_doubled() {
    const TEST: &str =
        "faults::whichever_call_fails_the_process_ends_by_name_and_nothing_acknowledged_is_lost_or_doubled";
    let nowhere = everpost_tests::folder();
    let mut disk = Disk::new(nowhere.path());
    disk.move_to(&nowhere.path().join("store"));
    live(&nowhere.path().join("store"), &disk, &mut Oracle::default());
    let calls = disk.calls();
    let calls = if calls.is_multiple_of(STRIDE) { calls + 1 } else { calls };
    let (mut ends, mut points): (BTreeMap<(String, End), usize>, usize) = (BTreeMap::new(), 0);
    for seed in seeds(TEST, 42) {
        let (round, fault) = (seed.value() / FAULTS.len() as u64, seed.value() as usize % FAULTS.len());
        let (number, (fault, errno, lasts)) = (1 + round * STRIDE % calls, FAULTS[fault]);
        let what = format!("seed {}: call {number} of {calls}: {fault:?}, {errno:?}, lasts: {lasts}", seed.value());
        points += 1;
        let (folder, mut oracle) = (everpost_tests::folder(), Oracle::default());
        let store = folder.path().join("store");
        disk.move_to(&store);
        disk.fail(number, lasts, fault, errno);
        let life = live(&store, &disk, &mut oracle);
        let found = look(&store).await;
        oracle.judge(&found).unwrap_or_else(|violation| panic!("{what}: {violation}"));
        let Some(name) = life.failed else { continue };
        // Files that are taken away, or only opened, may be beside the point; and a write that was cut short once may
        // be gone on with.
        let is_beside = !(name.contains("sync") || name.contains("write"));
        if !(is_beside || (fault == Fault::Halved && !lasts)) {
            assert!(life.end != End::Stopped, "{what}: {name} has failed, and it went on");
            assert_eq!(life.acknowledged_since, [], "{what}: {name} has failed");
        }
        *ends.entry((name, life.end)).or_default() += 1;
    }
    let failed: usize = ends.values().sum();
    eprintln!("{calls} calls, {points} points, {failed} of them failed: {ends:?}");
    assert!(failed * 5 > points, "too little has failed");
}

/// One life of the process, to its end.
fn live(store: &Path, disk: &Disk, oracle: &mut Oracle) -> Life {
    let mut child = Child::start_on(&Setup::alone(store), disk);
    child.tell(&Command::Load(oracle.killed()));
    let (mut heard, mut end, mut is_failing) = (0, None, false);
    let (mut sent_since, mut acknowledged_since) = (Vec::new(), Vec::new());
    while let Some(event) = child.hear() {
        match event {
            Event::Client(client) => {
                oracle.saw(&client);
                let Client { stream, saw } = client;
                match saw {
                    Saw::Sent(number) if is_failing => sent_since.push((stream, number)),
                    Saw::Acknowledged(number) | Saw::Replied(number, _) | Saw::Processed(number)
                        if sent_since.contains(&(stream, number)) =>
                    {
                        acknowledged_since.push((stream, number));
                    }
                    _ => {}
                }
            }
            Event::Faulted => is_failing = true,
            Event::Broken(what) => panic!("a client saw what must not be: {what}"),
            Event::Refused(_) => end = Some(End::Refused),
            Event::Failed(_) => end = Some(End::Failed),
            Event::Stopped => end = Some(End::Stopped),
            _ => {}
        }
        heard += 1;
        if heard == EVENTS {
            child.tell(&Command::Stop);
        }
    }
    let (status, _) = child.end();
    let logs = child.stderr();
    assert!(status.success(), "{status}\n{}", logs.join("\n"));
    // Handlers of the load panic now and then, as they should.
    let mut panics = logs.iter().filter(|line| line.contains("panicked at") && !line.contains("tests/src/load.rs"));
    assert_eq!(panics.next(), None, "{}", logs.join("\n"));
    Life { end: end.expect("it says how it ends"), failed: disk.fired(), acknowledged_since }
}
