//! Durations and byte sizes as people write them. Both have one number and one unit: `"1500ms"`, `"64MiB"`.
//!
//! Written here instead of taken from a crate: the crates for durations accept months, years and sums, which invite
//! values that no setting of a node can have, and know nothing of byte sizes.

use std::time::Duration;

/// Units of time in milliseconds, longest first.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Units of size in bytes, largest first.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Nothing in a node waits longer, and clocks can add it without an overflow.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads `"30s"`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    amount(text, &TIMES).map(Duration::from_millis).filter(|duration| *duration <= DURATION_MAX)
}

/// Writes `30s`, in the longest unit that loses nothing.
pub(super) fn duration_text(duration: Duration) -> String {
    shown(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &TIMES, "ms")
}

/// Reads `"64MiB"`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    amount(text, &SIZES)
}

/// Writes `64MiB`, in the largest unit that loses nothing.
pub(super) fn bytes_text(bytes: u64) -> String {
    shown(bytes, &SIZES, "B")
}

fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn shown(amount: u64, units: &[(&str, u64)], smallest: &str) -> String {
    match units.iter().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", amount / factor),
        None => format!("{amount}{smallest}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_have_one_number_and_one_unit() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("5 m"), Some(Duration::from_secs(300)));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("0B"), Some(0));
        for wrong in
            ["", "30", "s", "-1s", "1.5s", "1h30m", "30 seconds", "99999999999999999999s", "8761h", "+1s", "١s"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["", "64", "64MB", "64mib", "MiB", "-1B", "0x10B", "16777216TiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(size: u64, milliseconds in 0u64..=31_536_000_000) {
            prop_assert_eq!(bytes(&bytes_text(size)), Some(size));
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(duration(&duration_text(time)), Some(time));
        }
    }
}
