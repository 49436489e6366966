//! The report of an upgrade check: what a build can read of a store, by kind. It counts what it is told, and knows no
//! store.

use std::collections::BTreeMap;
use std::fmt;

/// What a build can read of what a store holds; made by
/// [`NodeBuilder::check_upgrade`](crate::NodeBuilder::check_upgrade). Printed, it is a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpgradeReport {
    kinds: BTreeMap<StoredKind, UpgradeCounts>,
}

/// Records of one kind: what is stored of which actor type, under which name and version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct StoredKind {
    /// What it is.
    pub stored: Stored,
    /// The type of its actor; empty when the record does not say so any more.
    pub actor_type: String,
    /// The name of the type of the message or state; empty as above.
    pub name: String,
    /// The version of its fields; zero as above.
    pub version: u16,
}

/// What a record of a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stored {
    /// A message that waits to be handled.
    Waiting,
    /// The state of an actor.
    State,
    /// A message that was given up on.
    DeadLetter,
    /// A message that a timer will send to an actor of this node.
    Timer,
}

/// How many records of one kind a build can read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeCounts {
    /// They have the version of the build.
    pub as_they_are: usize,
    /// They have an older one, and its upgrade reads them.
    pub upgraded: usize,
    /// They cannot be read: waiting messages, and those that timers send, would become dead letters or refuse the
    /// start, and states would make their actors wait.
    pub unreadable: usize,
    /// The first that cannot be read, in the order of the store.
    pub first_unreadable: Option<UnreadableRecord>,
}

/// A record that a build cannot read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnreadableRecord {
    /// Which it is: the position of a message, the address of a state, the name of a timer.
    pub place: String,
    /// Why it cannot be read.
    pub error: String,
}

/// How a record can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    AsItIs,
    Upgraded,
}

impl UpgradeReport {
    /// Whether the build can read everything, dead letters included.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.unreadable() == 0
    }

    /// The kinds of records in the store, with how many of each can be read.
    pub fn kinds(&self) -> impl Iterator<Item = (&StoredKind, &UpgradeCounts)> {
        self.kinds.iter()
    }

    /// Counts a record.
    pub(crate) fn count(&mut self, kind: StoredKind, place: impl FnOnce() -> String, reading: Result<Reading, String>) {
        let counts = self.kinds.entry(kind).or_default();
        match reading {
            Ok(Reading::AsItIs) => counts.as_they_are += 1,
            Ok(Reading::Upgraded) => counts.upgraded += 1,
            Err(error) => {
                counts.unreadable += 1;
                counts.first_unreadable.get_or_insert_with(|| UnreadableRecord { place: place(), error });
            }
        }
    }

    fn unreadable(&self) -> usize {
        self.kinds.values().map(|counts| counts.unreadable).sum()
    }
}

impl StoredKind {
    pub(crate) fn new(stored: Stored, actor_type: &str, name: &str, version: u16) -> Self {
        Self { stored, actor_type: actor_type.to_owned(), name: name.to_owned(), version }
    }

    /// The kind of a record that does not say any more what it is.
    pub(crate) fn unknown(stored: Stored) -> Self {
        Self::new(stored, "", "", 0)
    }

    fn cells(&self, counts: &UpgradeCounts) -> [String; COLUMNS] {
        let known = |text: &str| if text.is_empty() { "?".to_owned() } else { text.to_owned() };
        let version = if self.name.is_empty() { "?".to_owned() } else { self.version.to_string() };
        let UpgradeCounts { as_they_are, upgraded, unreadable, .. } = counts;
        [
            self.stored.to_string(),
            known(&self.actor_type),
            known(&self.name),
            version,
            as_they_are.to_string(),
            upgraded.to_string(),
            unreadable.to_string(),
        ]
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::State => "state",
            Self::DeadLetter => "dead letter",
            Self::Timer => "timer",
        })
    }
}

const COLUMNS: usize = 7;
const HEADINGS: [&str; COLUMNS] = ["stored", "actor type", "name", "version", "as it is", "upgraded", "unreadable"];
/// The columns before this one are words, those from here on numbers.
const FIRST_NUMBER: usize = 3;

impl fmt::Display for UpgradeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kinds.is_empty() {
            return write!(f, "nothing is stored that a build has to read");
        }
        let rows: Vec<_> = self.kinds.iter().map(|(kind, counts)| (kind.cells(counts), counts)).collect();
        let mut widths = HEADINGS.map(str::len);
        for (cells, _) in &rows {
            for (width, cell) in widths.iter_mut().zip(cells) {
                *width = (*width).max(cell.len());
            }
        }
        write_row(f, widths, HEADINGS)?;
        for (cells, counts) in &rows {
            write_row(f, widths, cells.each_ref().map(String::as_str))?;
            if let Some(UnreadableRecord { place, error }) = &counts.first_unreadable {
                writeln!(f, "    {place}: {error}")?;
            }
        }
        match self.unreadable() {
            0 => write!(f, "everything can be read"),
            1 => write!(f, "1 record cannot be read"),
            many => write!(f, "{many} records cannot be read"),
        }
    }
}

fn write_row(f: &mut fmt::Formatter<'_>, widths: [usize; COLUMNS], cells: [&str; COLUMNS]) -> fmt::Result {
    for (column, (width, cell)) in widths.into_iter().zip(cells).enumerate() {
        let gap = if column == 0 { "" } else { "  " };
        if column < FIRST_NUMBER {
            write!(f, "{gap}{cell:<width$}")?;
        } else {
            write!(f, "{gap}{cell:>width$}")?;
        }
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_an_aligned_table() {
        let mut report = UpgradeReport::default();
        assert_eq!(report.to_string(), "nothing is stored that a build has to read");
        let deposit = || StoredKind::new(Stored::Waiting, "account", "deposit", 1);
        report.count(deposit(), String::new, Ok(Reading::Upgraded));
        report.count(StoredKind::new(Stored::State, "account", "balance", 12), String::new, Ok(Reading::AsItIs));
        assert!(report.is_clean());
        assert_eq!(
            report.to_string(),
            "stored   actor type  name     version  as it is  upgraded  unreadable\n\
             waiting  account     deposit        1         0         1           0\n\
             state    account     balance       12         1         0           0\n\
             everything can be read"
        );
        for position in [7, 8] {
            report.count(deposit(), || format!("position {position}"), Err("no upgrade".into()));
        }
        report.count(StoredKind::unknown(Stored::DeadLetter), || "position 9".into(), Err("of no version".into()));
        assert!(!report.is_clean());
        assert_eq!(
            report.to_string(),
            "stored       actor type  name     version  as it is  upgraded  unreadable\n\
             waiting      account     deposit        1         0         1           2\n    \
             position 7: no upgrade\n\
             state        account     balance       12         1         0           0\n\
             dead letter  ?           ?              ?         0         0           1\n    \
             position 9: of no version\n\
             3 records cannot be read"
        );
    }
}
