//! How long each receipt level and each kind of query takes at 1,000 a second, from the moment at which it was due.

use std::time::Duration;

use super::order::{Level, Order, Taken};
use super::pair::{Pair, Side};
use super::throughput::settle;
use crate::problem::Problem;
use crate::samples::Samples;

const LEVELS: [(&str, Level); 5] = [
    ("accepted", Level::Accepted),
    ("delivered", Level::Delivered),
    ("processed", Level::Processed),
    ("ask", Level::Ask),
    ("query", Level::Query),
];

/// One run of each level.
pub(super) fn round(samples: &mut Samples, pair: &mut Pair, length: Duration) -> Result<(), Problem> {
    for (name, level) in LEVELS {
        settle(pair)?;
        let taken: Taken = pair.order(Side::Sender, &Order::Pace { level, length })?;
        pair.order::<()>(Side::Receiver, &Order::Drain)?;
        pair.order::<()>(Side::Sender, &Order::Check)?;
        for (quantile, value) in [("p50", taken.p50), ("p99", taken.p99), ("p999", taken.p999)] {
            samples.add(format!("latency.{name}_{quantile}"), "us", value);
        }
    }
    Ok(())
}
