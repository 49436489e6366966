//! What a node does on order.

use std::time::Duration;

use everpost::{ActorHandle, Node};
use serde::Serialize;
use serde_json::Value;

use super::flow::Flow;
use super::order::{Kind, Level, Order, Taken, Usage};
use crate::actors::{Committed, Counts, Parcel, Pipelined, TallyOf};
use crate::clock::{now, processor_time};
use crate::disk::quantile_us;
use crate::flood::{Target, Until, check, flood, targets};
use crate::latency::paced;
use crate::problem::Problem;
use crate::throughput::{ACTORS, settle};

/// Within what time two nodes that both run have a link.
const LINK_TIMEOUT: Duration = Duration::from_secs(30);

/// What orders work on. The receiver has no targets: it waits and counts.
pub(super) struct Worker {
    node: Node,
    peer: String,
    /// The actors at the other node, each with the number of its next message; empty until they are needed.
    committed: Vec<Target<Committed>>,
    pipelined: Vec<Target<Pipelined>>,
    flow: Option<Flow>,
    /// What the last flow was sent to.
    flown: Vec<Target<Committed>>,
}

impl Worker {
    pub(super) fn new(node: Node, peer: String) -> Self {
        Self { node, peer, committed: Vec::new(), pipelined: Vec::new(), flow: None, flown: Vec::new() }
    }

    pub(super) async fn obey(&mut self, order: Order) -> Result<Value, Problem> {
        match order {
            Order::Link => done(self.link().await?),
            Order::Prepare => {
                self.committed = targets(&self.node, ACTORS).await?;
                self.pipelined = targets(&self.node, ACTORS).await?;
                done(())
            }
            Order::Flood { kind, messages, window } => done(self.flood(kind, messages, window).await?),
            Order::Pace { level, length } => done(self.pace(level, length).await?),
            Order::BeginFlow { name } => {
                self.flow = Some(Flow::begin(&self.node, &name));
                done(())
            }
            Order::MarkFlow => {
                self.flow()?.mark();
                done(())
            }
            Order::FirstOfFlow => done(self.flow()?.first().await?),
            Order::EndFlow => {
                self.flow()?;
                if let Some(flow) = self.flow.take() {
                    self.flown = flow.end().await?;
                }
                done(())
            }
            Order::Drain => done(self.node.drained().await?),
            Order::Settle => done(settle(&self.node).await?),
            Order::Check => {
                check(&self.committed).await?;
                check(&self.pipelined).await?;
                done(check(&self.flown).await?)
            }
            Order::Usage => {
                let store = self.node.store_statistics();
                let (journal_bytes, groups) = (store.journal_bytes, store.groups);
                done(Usage { processor: processor_time(), journal_bytes, groups })
            }
        }
    }

    async fn link(&self) -> Result<(), Problem> {
        let start = now();
        while !self.node.is_linked_to(&self.peer) {
            if start.elapsed() > LINK_TIMEOUT {
                return Err(Problem::new(format!("no link to {} within {LINK_TIMEOUT:?}", self.peer)));
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn flood(&mut self, kind: Kind, messages: u64, window: usize) -> Result<(), Problem> {
        match kind {
            Kind::Committed => flood_all(&mut self.committed, messages, window).await?,
            Kind::Pipelined => flood_all(&mut self.pipelined, messages, window).await?,
        }
        Ok(self.node.drained().await?)
    }

    async fn pace(&mut self, level: Level, length: Duration) -> Result<Taken, Problem> {
        let act = move |target: &mut Target<Committed>| {
            let handle = target.handle.clone();
            let parcel = match level {
                Level::Query => None,
                _ => Some(target.next_parcel()),
            };
            reach(level, handle, parcel)
        };
        let (taken, targets) = paced(std::mem::take(&mut self.committed), length, act).await?;
        self.committed = targets;
        self.node.drained().await?;
        let quantile = |quantile| quantile_us(&taken, quantile);
        Ok(Taken { p50: quantile(0.5), p99: quantile(0.99), p999: quantile(0.999) })
    }

    fn flow(&self) -> Result<&Flow, Problem> {
        self.flow.as_ref().ok_or_else(|| Problem::new("there is no flow"))
    }
}

async fn flood_all<A: Counts>(targets: &mut Vec<Target<A>>, messages: u64, window: usize) -> Result<(), Problem> {
    *targets = flood(std::mem::take(targets), messages, window, Until::Delivered).await?;
    Ok(())
}

async fn reach(level: Level, handle: ActorHandle<Committed>, parcel: Option<Parcel>) -> Result<(), Problem> {
    let Some(parcel) = parcel else {
        handle.query(TallyOf).await?;
        return Ok(());
    };
    if let Level::Ask = level {
        return handle.ask(parcel).await.map_err(Problem::new);
    }
    let receipt = handle.send(parcel).submit().await.map_err(Problem::new)?;
    match level {
        Level::Accepted => receipt.accepted().await?,
        Level::Delivered => receipt.delivered().await?,
        _ => receipt.processed().await?,
    }
    Ok(())
}

fn done(answer: impl Serialize) -> Result<Value, Problem> {
    Ok(serde_json::to_value(answer)?)
}
