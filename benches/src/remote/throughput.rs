//! Messages a second from a send on one node to a committed turn on the other, and what a message costs on either side.

use clap::ValueEnum;

use super::order::{Kind, Order, Usage};
use super::pair::{Pair, Side};
use crate::clock::{machine_time, per_second};
use crate::problem::Problem;
use crate::samples::Samples;

/// What is sent to whom: 1,000 actors that handle what is durable, or at once, with so many messages on their way to
/// the disk of their node at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Run {
    #[value(name = "committed_window_1000")]
    CommittedWindow1000,
    #[value(name = "committed_window_10000")]
    CommittedWindow10000,
    #[value(name = "pipelined_window_1000")]
    PipelinedWindow1000,
    #[value(name = "pipelined_window_10000")]
    PipelinedWindow10000,
}

impl Run {
    fn kind_and_window(self) -> (Kind, usize) {
        match self {
            Self::CommittedWindow1000 => (Kind::Committed, 1_000),
            Self::CommittedWindow10000 => (Kind::Committed, 10_000),
            Self::PipelinedWindow1000 => (Kind::Pipelined, 1_000),
            Self::PipelinedWindow10000 => (Kind::Pipelined, 10_000),
        }
    }
}

/// One run of each kind, with the same two processes in all rounds.
pub(super) fn round(samples: &mut Samples, pair: &mut Pair, runs: &[Run], messages: u64) -> Result<(), Problem> {
    for run in runs {
        let value = run.to_possible_value().expect("no run is skipped");
        let name = value.get_name();
        let (kind, window) = run.kind_and_window();
        settle(pair)?;
        let before = usage(pair)?;
        let start = machine_time();
        pair.order::<()>(Side::Sender, &Order::Flood { kind, messages, window })?;
        pair.order::<()>(Side::Receiver, &Order::Drain)?;
        let elapsed = machine_time() - start;
        let after = usage(pair)?;
        pair.order::<()>(Side::Sender, &Order::Check)?;

        samples.add(format!("throughput.{name}"), "messages/s", per_second(messages, elapsed));
        let sides = ["sender", "receiver"].into_iter().zip(before.into_iter().zip(after));
        for (side, (before, after)) in sides {
            let mut add =
                |figure: &str, unit, value| samples.add(format!("throughput.{name}.{side}.{figure}"), unit, value);
            let processor = (after.processor - before.processor).as_secs_f64() * 1e6;
            add("processor", "us/message", processor / messages as f64);
            add("journal", "bytes/message", (after.journal_bytes - before.journal_bytes) as f64 / messages as f64);
            let groups = after.groups - before.groups;
            add("groups", "commits/s", per_second(groups, elapsed));
        }
    }
    Ok(())
}

/// Lets both stores catch up, so that one measurement does not pay for the one before it.
pub(super) fn settle(pair: &mut Pair) -> Result<(), Problem> {
    pair.order::<()>(Side::Sender, &Order::Settle)?;
    pair.order(Side::Receiver, &Order::Settle)
}

fn usage(pair: &mut Pair) -> Result<[Usage; 2], Problem> {
    Ok([pair.order(Side::Sender, &Order::Usage)?, pair.order(Side::Receiver, &Order::Usage)?])
}
