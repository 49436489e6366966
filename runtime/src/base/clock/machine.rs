//! The clocks of the machine. Nothing else reads them.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{Micros, micros};

/// The wall clock, which anybody may set.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub(super) fn wall() -> Micros {
    Micros(micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// Microseconds since the machine was started, with the time for which it was suspended: a clock that nobody can set.
#[cfg(target_os = "linux")]
pub(super) fn since_boot() -> u64 {
    use rustix::time::{ClockId, clock_gettime};

    let now = clock_gettime(ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    seconds * 1_000_000 + nanos / 1_000
}

/// Which boot of which machine this is: `since_boot` of one can be compared.
#[cfg(target_os = "linux")]
pub(super) fn boot_id() -> Option<u128> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    u128::from_str_radix(&id.trim().replace('-', ""), 16).ok()
}

/// Each process begins anew.
#[cfg(not(target_os = "linux"))]
pub(super) fn boot_id() -> Option<u128> {
    None
}

/// Microseconds since the first call in this process.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]
pub(super) fn since_boot() -> u64 {
    static FIRST: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    micros(FIRST.get_or_init(std::time::Instant::now).elapsed())
}
