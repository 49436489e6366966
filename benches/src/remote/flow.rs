//! A steady flow of messages to the other node, through all that happens to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use everpost::Node;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::actors::Committed;
use crate::clock::machine_time;
use crate::flood::Target;
use crate::problem::Problem;

/// How many actors are sent to.
const ACTORS: usize = 100;
/// Between two messages.
const PERIOD: Duration = Duration::from_millis(1);
/// For how long a new message is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The flow. It goes on until it is ended, or until the process is.
pub(super) struct Flow {
    sending: JoinHandle<Result<Vec<Target<Committed>>, Problem>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    /// How often new messages began to count.
    mark: AtomicU64,
    /// When the first message since then was delivered.
    first: watch::Sender<Option<Duration>>,
}

impl Flow {
    pub(super) fn begin(node: &Node, name: &str) -> Self {
        let target = |key| Target { handle: node.actor(&format!("{name}-{key}")), next: 0 };
        let targets = (0..ACTORS).map(target).collect();
        let shared = Arc::new(Shared::default());
        Self { sending: tokio::spawn(send(targets, Arc::clone(&shared))), shared }
    }

    pub(super) fn mark(&self) {
        self.shared.mark.fetch_add(1, Ordering::SeqCst);
        self.shared.first.send_replace(None);
    }

    pub(super) async fn first(&self) -> Result<Duration, Problem> {
        let mut first = self.shared.first.subscribe();
        let found = timeout(PATIENCE, first.wait_for(Option::is_some)).await??;
        Ok(found.expect("it was waited for"))
    }

    /// What was sent to, when everything is delivered.
    pub(super) async fn end(self) -> Result<Vec<Target<Committed>>, Problem> {
        self.shared.ends.store(true, Ordering::SeqCst);
        self.sending.await?
    }
}

async fn send(mut targets: Vec<Target<Committed>>, shared: Arc<Shared>) -> Result<Vec<Target<Committed>>, Problem> {
    let mut deliveries = JoinSet::new();
    let mut ticks = tokio::time::interval(PERIOD);
    'all: loop {
        for target in &mut targets {
            if shared.ends.load(Ordering::SeqCst) {
                break 'all;
            }
            ticks.tick().await;
            let mark = shared.mark.load(Ordering::SeqCst);
            let parcel = target.next_parcel();
            let receipt = target.handle.send(parcel).submit().await.map_err(Problem::new)?;
            let shared = Arc::clone(&shared);
            deliveries.spawn(async move {
                receipt.delivered().await?;
                if shared.mark.load(Ordering::SeqCst) == mark {
                    let at = machine_time();
                    shared.first.send_if_modified(|first| first.is_none() && first.replace(at).is_none());
                }
                Ok::<_, Problem>(())
            });
            while let Some(delivered) = deliveries.try_join_next() {
                delivered??;
            }
        }
    }
    while let Some(delivered) = deliveries.join_next().await {
        delivered??;
    }
    Ok(targets)
}
