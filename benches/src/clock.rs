//! The clock. A benchmark is the one place that reads it directly.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A clock that all processes of the machine share, and that nobody sets.
pub(crate) fn machine_time() -> Duration {
    since_zero(clock_gettime(ClockId::Monotonic))
}

/// Time on the processors that this process has taken so far, over all threads.
pub(crate) fn processor_time() -> Duration {
    since_zero(clock_gettime(ClockId::ProcessCPUTime))
}

/// How many a second.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a measurement lets time pass")]
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

fn since_zero(time: Timespec) -> Duration {
    let (seconds, nanoseconds) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.expect("these clocks are not negative"), nanoseconds.expect("below a second"))
}
