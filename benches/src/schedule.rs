//! A schedule of absolute times, kept from a thread of its own: who is late because of what came before is late.

use std::time::{Duration, Instant};

use crate::clock::{now, pass};

/// Moments a second.
const RATE: u32 = 1_000;
/// How long before a moment the thread stops sleeping and watches the clock: a sleep ends some 60 us late.
const WATCH: Duration = Duration::from_micros(120);

/// One moment after the other, each at its time.
pub(crate) fn schedule(length: Duration) -> impl Iterator<Item = (Instant, usize)> {
    let period = Duration::from_secs(1) / RATE;
    let start = now() + period;
    let count = u32::try_from(length.as_micros() / period.as_micros()).expect("a benchmark is short");
    (0..count).map(move |number| {
        let due = start + period * number;
        sleep_until(due);
        (due, number as usize)
    })
}

fn sleep_until(due: Instant) {
    let wait = due.saturating_duration_since(now());
    if wait > WATCH {
        pass(wait - WATCH);
    }
    while now() < due {
        std::hint::spin_loop();
    }
}
