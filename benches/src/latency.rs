//! The latency of a durable send at a given rate, from the moment at which it was due, so that a send that is late
//! because the one before it was slow counts as slow too. Beside it what one commit of LMDB takes.

use std::sync::mpsc;
use std::time::Duration;

use everpost::{Actor, Node};
use hdrhistogram::Histogram;
use tokio::runtime::Handle;

use crate::actors::Committed;
use crate::clock::now;
use crate::disk::{histogram, quantile_us, record};
use crate::flood::{Target, check, targets};
use crate::limits::OneRecord;
use crate::problem::Problem;
use crate::samples::Samples;
use crate::schedule::schedule;
use crate::throughput::{ACTORS, settle};

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

/// Sends on a schedule to actors that handle what they get.
async fn send_paced(node: &Node, length: Duration) -> Result<Histogram<u64>, Problem> {
    let targets = targets::<Committed>(node, ACTORS).await?;
    let (sends, targets) = paced(targets, length, |target| {
        let (handle, parcel) = (target.handle.clone(), target.next_parcel());
        async move { handle.send(parcel).await.map(drop).map_err(Problem::new) }
    })
    .await?;
    node.drained().await?;
    check(&targets).await?;
    Ok(sends)
}

/// Does something for one target after the other on a schedule, from a thread of its own: how long each took, counted
/// from the moment at which it was due.
pub(crate) async fn paced<A, W>(
    mut targets: Vec<Target<A>>,
    length: Duration,
    act: impl Fn(&mut Target<A>) -> W + Send + 'static,
) -> Result<(Histogram<u64>, Vec<Target<A>>), Problem>
where
    A: Actor,
    W: Future<Output = Result<(), Problem>> + Send + 'static,
{
    let (measured, durations) = mpsc::sync_channel::<Result<Duration, Problem>>(PENDING_MAX);
    let runtime = Handle::current();
    let pace = move || {
        for (due, number) in schedule(length) {
            let index = number % targets.len();
            let (work, measured) = (act(&mut targets[index]), measured.clone());
            runtime.spawn(async move {
                let done = work.await;
                // The receiver waits for every result, unless one before was an error.
                let _ = measured.try_send(done.map(|()| due.elapsed()));
            });
        }
        targets
    };
    let pacing = tokio::task::spawn_blocking(pace);
    let mut taken = histogram();
    let collect = || {
        for duration in durations {
            record(&mut taken, duration?);
        }
        Ok::<_, Problem>(())
    };
    tokio::task::block_in_place(collect)?;
    Ok((taken, pacing.await?))
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
