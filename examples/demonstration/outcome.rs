//! The end: a table for people or one JSON object for programs.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::HumanCount;

/// The figures of a whole run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) handled: u64,
    pub(crate) replayed: u64,
    pub(crate) kills: u32,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) balance_before: i64,
    pub(crate) balance_after: i64,
    /// From the first transfer sent to the last message handled, with all the restarts in between.
    pub(crate) took: Duration,
    /// What does not hold; empty if all is well.
    pub(crate) breaches: Vec<String>,
}

impl Outcome {
    /// One JSON object; balances are in cents.
    pub(crate) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let outcome = serde_json::json!({
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "handled": self.handled,
            "replayed": self.replayed,
            "kills": self.kills,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "balance_before": self.balance_before,
            "balance_after": self.balance_after,
            "turns_per_second": self.turns_per_second(),
        });
        writeln!(out, "{outcome}")
    }

    /// An aligned table.
    pub(crate) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let count = |number: u64| HumanCount(number).to_string();
        let rows = [
            ("transfers sent", count(self.sent)),
            ("transfers acknowledged", count(self.acknowledged)),
            ("messages handled", count(self.handled)),
            ("messages replayed after kills", count(self.replayed)),
            ("kills", count(u64::from(self.kills))),
            ("messages lost", count(self.lost)),
            ("effects duplicated", count(self.duplicated)),
            ("sum of balances before", money(self.balance_before)),
            ("sum of balances after", money(self.balance_after)),
            ("messages per second", count(self.turns_per_second())),
        ];
        rows.iter().try_for_each(|(name, figure)| writeln!(out, "{name:<30} {figure:>16}"))
    }

    fn turns_per_second(&self) -> u64 {
        let micros = self.took.as_micros().max(1);
        u64::try_from(u128::from(self.handled) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}

fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", HumanCount(cents / 100), cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_readable() {
        assert_eq!(money(100_000_000), "1,000,000.00");
        assert_eq!(money(-5), "-0.05");
    }
}
