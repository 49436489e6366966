//! An actor that gets an ask now and then, and how long the answers take meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use everpost::{ActorHandle, Node};
use hdrhistogram::Histogram;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::subject::{Onlooker, Ping};
use crate::clock::{now, pass};
use crate::disk::{histogram, record};
use crate::problem::Problem;

/// From one ask to the next: 500 a second, which is next to no load.
const PERIOD: Duration = Duration::from_millis(2);
/// How many asks may be on their way; more than a run of a minute has.
const PENDING_MAX: usize = 100_000;

/// Asks on a schedule until it is ended.
pub(super) struct Bystander {
    enough: Arc<AtomicBool>,
    pacing: JoinHandle<Result<Histogram<u64>, Problem>>,
}

impl Bystander {
    pub(super) fn watch(node: &Node) -> Self {
        let (handle, enough) = (node.actor::<Onlooker>("onlooker"), Arc::new(AtomicBool::new(false)));
        let (told, runtime) = (Arc::clone(&enough), Handle::current());
        Self { enough, pacing: tokio::task::spawn_blocking(move || pace(&handle, &told, &runtime)) }
    }

    /// How long each ask took, from the moment at which it was due.
    pub(super) async fn end(self) -> Result<Histogram<u64>, Problem> {
        self.enough.store(true, Ordering::Relaxed);
        self.pacing.await?
    }
}

/// From a thread of its own, and no ask waits for the one before it: what is slow delays nothing but itself.
fn pace(handle: &ActorHandle<Onlooker>, enough: &AtomicBool, runtime: &Handle) -> Result<Histogram<u64>, Problem> {
    let (measured, durations) = mpsc::sync_channel(PENDING_MAX);
    let mut due = now();
    while !enough.load(Ordering::Relaxed) {
        due += PERIOD;
        pass(due.saturating_duration_since(now()));
        let (handle, measured) = (handle.clone(), measured.clone());
        runtime.spawn(async move {
            let done = handle.ask(Ping).await;
            // The receiver waits for every result, unless one before was an error.
            let _ = measured.try_send(done.map(|_| due.elapsed()));
        });
    }
    drop(measured);
    let mut taken = histogram();
    for duration in durations {
        record(&mut taken, duration?);
    }
    Ok(taken)
}
