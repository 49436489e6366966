//! The latency of a durable send at a given rate, from the moment at which it was due, so that a send that is late because
//! the one before it was slow counts as slow too. Beside it what one commit of LMDB takes.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use everpost::Node;
use hdrhistogram::Histogram;
use tokio::runtime::Handle;

use crate::actors::{Committed, Parcel};
use crate::clock::now;
use crate::disk::{histogram, quantile_us, record};
use crate::flood::{Target, check, targets};
use crate::limits::OneRecord;
use crate::problem::Problem;
use crate::samples::Samples;
use crate::throughput::{ACTORS, settle};

/// Messages a second.
const RATE: u32 = 1_000;
/// How long before a send is due its thread stops sleeping and watches the clock: a sleep ends some 60 us late.
const WATCH: Duration = Duration::from_micros(120);
/// How many sends may be on their way; far more than a disk that stalls for a second needs.
const PENDING_MAX: usize = 100_000;

/// One run of the sends, between two halves of one of the commits.
pub(crate) async fn round(
    samples: &mut Samples,
    node: &Node,
    folder: &std::path::Path,
    length: Duration,
) -> Result<(), Problem> {
    settle(node).await?;
    let mut commits = OneRecord::open(&folder.join("one_record"))?;
    let mut paced = histogram();
    let mut busy = histogram();
    let half = length / 4;
    tokio::task::block_in_place(|| measure_commits(&mut commits, &mut paced, &mut busy, half))?;
    let sends = send_paced(node, length).await?;
    tokio::task::block_in_place(|| measure_commits(&mut commits, &mut paced, &mut busy, half))?;

    for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        samples.add(format!("latency.send_{name}"), "us", quantile_us(&sends, quantile));
    }
    samples.add("latency.lmdb_commit_p50", "us", quantile_us(&busy, 0.5));
    samples.add("latency.lmdb_commit_p99", "us", quantile_us(&busy, 0.99));
    samples.add("latency.lmdb_commit_at_1000_p50", "us", quantile_us(&paced, 0.5));
    let ratio = |commits| quantile_us(&sends, 0.5) / quantile_us(commits, 0.5);
    samples.add("latency.send_p50_in_lmdb_commits", "times", ratio(&busy));
    samples.add("latency.send_p50_in_lmdb_commits_at_1000", "times", ratio(&paced));
    Ok(())
}

/// Sends on a schedule, from a thread of its own, to actors that handle what they get.
async fn send_paced(node: &Node, length: Duration) -> Result<Histogram<u64>, Problem> {
    let (measured, durations) = mpsc::sync_channel::<Result<Duration, Problem>>(PENDING_MAX);
    let runtime = Handle::current();
    let targets = targets::<Committed>(node, ACTORS).await?;
    let pace = move || {
        let mut targets: Vec<_> = targets.into_iter().map(|target| (Arc::new(target.handle), target.next)).collect();
        for (due, number) in schedule(length) {
            let index = number % targets.len();
            let (handle, next) = &mut targets[index];
            let (handle, parcel, measured) = (Arc::clone(handle), Parcel::new(*next), measured.clone());
            *next += 1;
            runtime.spawn(async move {
                let sent = handle.send(parcel).await;
                // The receiver waits for every result, unless one before was an error.
                let _ = measured.try_send(sent.map(|_| due.elapsed()).map_err(Problem::new));
            });
        }
        targets
    };
    let pacing = tokio::task::spawn_blocking(pace);
    let mut sends = histogram();
    let collect = || {
        for duration in durations {
            record(&mut sends, duration?);
        }
        Ok::<_, Problem>(())
    };
    tokio::task::block_in_place(collect)?;
    let mut reached = Vec::new();
    for (handle, next) in pacing.await? {
        reached.push(Target { handle: (*handle).clone(), next });
    }
    node.drained().await?;
    check(&reached).await?;
    Ok(sends)
}

/// One moment after the other, each at its time.
fn schedule(length: Duration) -> impl Iterator<Item = (Instant, usize)> {
    let period = Duration::from_secs(1) / RATE;
    let start = now() + period;
    let count = u32::try_from(length.as_micros() / period.as_micros()).expect("a benchmark is short");
    (0..count).map(move |number| {
        let due = start + period * number;
        sleep_until(due);
        (due, number as usize)
    })
}

fn measure_commits(
    commits: &mut OneRecord,
    paced: &mut Histogram<u64>,
    busy: &mut Histogram<u64>,
    length: Duration,
) -> Result<(), Problem> {
    for (due, _) in schedule(length / 2) {
        commits.commit()?;
        record(paced, due.elapsed());
    }
    let start = now();
    while start.elapsed() < length / 2 {
        let begun = now();
        commits.commit()?;
        record(busy, begun.elapsed());
    }
    Ok(())
}

fn sleep_until(due: Instant) {
    let wait = due.saturating_duration_since(now());
    if wait > WATCH {
        #[expect(clippy::disallowed_methods, reason = "a schedule in real time is what is measured against")]
        std::thread::sleep(wait - WATCH);
    }
    while now() < due {
        std::hint::spin_loop();
    }
}
