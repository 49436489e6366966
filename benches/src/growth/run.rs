//! What a load costs, from its first message until all are handled and in the tables.

use std::time::{Duration, Instant};

use everpost::{Node, NodeStatistics};

use super::order::Figures;
use super::quantity::Quantity;
use crate::clock::{now, per_second, processor_time};
use crate::memory::peak_bytes;
use crate::problem::Problem;
use crate::throughput::settle;

/// How often it is looked whether all are handled.
const LOOK: Duration = Duration::from_millis(1);
/// How long nothing may be handled.
const STALL: Duration = Duration::from_secs(60);

/// A load under way.
pub(super) struct Run {
    start: Instant,
    processor: Duration,
    handled: u64,
}

/// What it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    processor: Duration,
    elapsed: Duration,
    messages: u64,
}

impl Run {
    pub(super) fn begin(node: &Node) -> Self {
        Self { start: now(), processor: processor_time(), handled: node.statistics().handled }
    }

    /// Waits until exactly so many messages are handled. What the tables cost is in it: they are written behind.
    pub(super) async fn end(self, node: &Node, messages: u64) -> Result<Cost, Problem> {
        all_handled(node, self.handled + messages).await?;
        let elapsed = self.start.elapsed();
        settle(node).await?;
        let processor = processor_time() - self.processor;
        // After a while in which more would have come.
        all_handled(node, self.handled + messages).await?;
        Ok(Cost { processor, elapsed, messages })
    }
}

impl Cost {
    /// Of messages that were counted by somebody else.
    pub(super) fn new(processor: Duration, elapsed: Duration, messages: u64) -> Self {
        Self { processor, elapsed, messages }
    }

    pub(super) fn processor_us(&self) -> f64 {
        self.processor.as_secs_f64() * 1e6 / self.messages as f64
    }

    pub(super) fn rate(&self) -> f64 {
        per_second(self.messages, self.elapsed)
    }

    /// What each series has of it, with the memory that the process had at most so far.
    pub(super) fn figures(&self) -> Result<Figures, Problem> {
        let peak_mib = peak_bytes()? as f64 / f64::from(1 << 20);
        Ok(vec![
            (Quantity::Processor, self.processor_us()),
            (Quantity::Rate, self.rate()),
            (Quantity::PeakRss, peak_mib),
        ])
    }
}

/// Waits until the node has handled so many messages since it was started; an error if it has handled more, given up on
/// one or does not go on.
pub(super) async fn all_handled(node: &Node, messages: u64) -> Result<(), Problem> {
    let (mut last, mut moved) = (0, now());
    loop {
        let NodeStatistics { handled, failed, dead_lettered, .. } = node.statistics();
        if failed > 0 || dead_lettered > 0 || handled > messages {
            return Err(Problem::new(format!(
                "{handled} messages were handled, {failed} turns failed and {dead_lettered} messages were given up on, \
                 where {messages} messages were to be handled"
            )));
        }
        if handled == messages {
            return Ok(());
        }
        if handled > last {
            (last, moved) = (handled, now());
        } else if moved.elapsed() > STALL {
            return Err(Problem::new(format!(
                "{handled} of {messages} messages were handled, and then none for {STALL:?}"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth::subject::{PAYLOAD_BYTES, Push, Subject};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_message_that_is_not_next_makes_an_error_of_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let node = Node::builder("run", folder.path()).actor(Subject).start().await.unwrap();
        let actor = node.actor::<Subject>("0");
        let run = Run::begin(&node);
        actor.send(Push::new(0, PAYLOAD_BYTES)).await.unwrap();
        run.end(&node, 1).await.unwrap();
        let run = Run::begin(&node);
        actor.send(Push::new(2, PAYLOAD_BYTES)).await.unwrap();
        let problem = run.end(&node, 1).await.unwrap_err().to_string();
        assert!(problem.contains("1 turns failed"), "{problem}");
        node.stop().await.unwrap();
    }
}
