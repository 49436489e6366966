//! From the return of a node that was killed to the next message that reaches the other: SIGKILL under a steady flow.

use std::time::Duration;

use serde::Serialize;

use super::order::Order;
use super::pair::{Pair, Restart, Side};
use crate::clock::pass;
use crate::problem::Problem;
use crate::samples::Samples;

/// How long the receiver is away, besides not at all.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Outages {
    /// Shorter than the time in which the sender finds out.
    pub(super) short: Duration,
    /// Longer: the sender has given up the old connection, and tries less and less often to make a new one.
    pub(super) long: Duration,
}

/// Kills the receiver for each length of time, and the sender for none.
pub(super) fn round(samples: &mut Samples, pair: &mut Pair, outages: Outages) -> Result<(), Problem> {
    kill_receiver(samples, pair, "receiver", Duration::ZERO)?;
    kill_receiver(samples, pair, "receiver_after_short_outage", outages.short)?;
    kill_receiver(samples, pair, "receiver_after_long_outage", outages.long)?;
    kill_sender(samples, pair)
}

fn kill_receiver(samples: &mut Samples, pair: &mut Pair, name: &str, outage: Duration) -> Result<(), Problem> {
    begin_flow(pair)?;
    pair.order::<Duration>(Side::Sender, &Order::FirstOfFlow)?;
    pair.kill(Side::Receiver)?;
    pair.order::<()>(Side::Sender, &Order::MarkFlow)?;
    pass(outage);
    let restart = pair.spawn(Side::Receiver)?;
    record(samples, pair, name, &restart)
}

fn kill_sender(samples: &mut Samples, pair: &mut Pair) -> Result<(), Problem> {
    begin_flow(pair)?;
    pair.order::<Duration>(Side::Sender, &Order::FirstOfFlow)?;
    pair.kill(Side::Sender)?;
    let restart = pair.spawn(Side::Sender)?;
    begin_flow(pair)?;
    record(samples, pair, "sender", &restart)?;
    // The new process knows nothing of what the actors have got.
    pair.order(Side::Sender, &Order::Prepare)
}

/// Each flow has actors of its own, so that what was on its way when a sender was killed is not counted as lost.
fn begin_flow(pair: &mut Pair) -> Result<(), Problem> {
    let name = format!("flow-{}", pair.next_number());
    pair.order(Side::Sender, &Order::BeginFlow { name })
}

/// Waits for the first message, then ends the flow and looks whether all of it was handled, once and in order.
fn record(samples: &mut Samples, pair: &mut Pair, name: &str, restart: &Restart) -> Result<(), Problem> {
    let first: Duration = pair.order(Side::Sender, &Order::FirstOfFlow)?;
    pair.order::<()>(Side::Sender, &Order::EndFlow)?;
    pair.order::<()>(Side::Receiver, &Order::Drain)?;
    pair.order::<()>(Side::Sender, &Order::Check)?;
    let mut add = |figure: &str, since| {
        samples.add(format!("reconnect.{name}{figure}"), "s", first.saturating_sub(since).as_secs_f64());
    };
    add("", restart.spawned);
    add(".after_start", restart.started);
    Ok(())
}
