//! Power cuts: a file system of its own goes down under a running process, at random moments of its life. What had not
//! been synced is gone, and nothing that was acknowledged may be.

use std::collections::BTreeMap;

use everpost_tests::child::Child;
use everpost_tests::disk::{Cut, Disk};
use everpost_tests::image::Image;
use everpost_tests::load::look;
use everpost_tests::oracle::Oracle;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::seeds::{Random, seeds};

/// How often the power is cut under one store.
const CUTS: usize = 5;
/// A cut after a start comes after the child has said this much, at most.
const EVENTS_MAX: u64 = 400;
/// About as many calls as the making of a store and its first start take, another start, and a stop; and a few commits.
const CALLS_TO_MAKE: u64 = 90;
const CALLS_TO_START: u64 = 30;
const CALLS_TO_STOP: u64 = 16;
const CALLS_TO_RUN: u64 = 12;
/// How long after the beginning of a call the power goes, at most; in nanoseconds.
const DELAY_MAX: u64 = 400_000;

/// What the process was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Making,
    Starting,
    Running,
    Stopping,
}

#[tokio::test(flavor = "multi_thread")]
async fn whenever_the_power_is_cut_nothing_acknowledged_is_lost_or_doubled_and_every_start_succeeds() {
    const TEST: &str =
        "power::whenever_the_power_is_cut_nothing_acknowledged_is_lost_or_doubled_and_every_start_succeeds";
    let mut cuts: BTreeMap<(&str, Moment), usize> = BTreeMap::new();
    let mut counts = (0, 0);
    for kind in ["ext4", "xfs"] {
        for seed in seeds(TEST, 6) {
            let mut image = match Image::new(kind) {
                Ok(image) => image,
                Err(missing) => {
                    eprintln!("skipped, needs root, loop devices and {kind}: {missing}");
                    break;
                }
            };
            let (mut random, mut oracle) = (seed.random(), Oracle::default());
            let mut left = CUTS;
            let disk = Disk::new(&image.mount_point());
            while left > 0 {
                let moment = live(&image, &disk, &mut random, &mut oracle);
                image.mount_again().await;
                if let Some(moment) = moment {
                    *cuts.entry((kind, moment)).or_default() += 1;
                    left -= 1;
                }
            }
            let found = look(&image.mount_point().join("store")).await;
            oracle.judge(&found).unwrap_or_else(|violation| panic!("seed {}: {violation}", seed.value()));
            let (sent, known) = oracle.counts();
            counts = (counts.0 + sent, counts.1 + known);
        }
    }
    let (sent, known) = counts;
    eprintln!("{cuts:?}, {sent} sent, {known} known to be durable");
    assert!(cuts.is_empty() || known > 100, "too little happened: {sent} sent, {known} known to be durable");
}

/// One life of the process, and what it was about when the power was cut; none if it came to its end before.
fn live(image: &Image, disk: &Disk, random: &mut Random, oracle: &mut Oracle) -> Option<Moment> {
    let folder = image.mount_point().join("store");
    let how = [Cut::Bare, Cut::Bare, Cut::JournalFlushed, Cut::Flushed][random.below(4) as usize];
    // Right before a call, or while one is under way.
    let delay = if random.once_in(2) { 0 } else { 1 + random.below(DELAY_MAX) };
    let is_made = ["journal", "tables"].iter().all(|half| folder.join(half).exists());
    let (mut moment, calls) =
        if is_made { (Moment::Starting, CALLS_TO_START) } else { (Moment::Making, CALLS_TO_MAKE) };
    let mut orders = None;
    disk.mend();
    if !is_made || random.once_in(3) {
        disk.cut(1 + random.below(calls), how, delay);
    } else {
        orders = Some(random.below(EVENTS_MAX));
    }
    let is_to_stop = random.once_in(2);
    let mut child = Child::start_on(&Setup::alone(&folder), disk);
    child.tell(&Command::Load(oracle.killed()));
    let mut cut_in = None;
    while let Some(event) = child.hear() {
        match event {
            Event::Client(client) => oracle.saw(&client),
            Event::Broken(what) => panic!("a client saw what must not be: {what}"),
            Event::Refused(what) | Event::Failed(what) => {
                assert!(disk.fired().is_some(), "the disk was in order: {what}");
                cut_in = cut_in.or(Some(moment));
            }
            Event::Up(_) => moment = Moment::Running,
            Event::Faulted => cut_in = cut_in.or(Some(moment)),
            _ => {}
        }
        if moment != Moment::Running {
            continue;
        }
        orders = match orders {
            Some(0) => {
                let mut calls = CALLS_TO_RUN;
                if is_to_stop {
                    (moment, calls) = (Moment::Stopping, CALLS_TO_STOP);
                    child.tell(&Command::Stop);
                }
                disk.cut(disk.calls() + 1 + random.below(calls), how, delay);
                None
            }
            events => events.map(|events| events - 1),
        };
    }
    child.end();
    cut_in.filter(|_| disk.fired().is_some())
}
