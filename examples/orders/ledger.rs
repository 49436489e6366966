//! The ledger of the provider: a file to which a line is added for each call, by one process at a time.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::protocol::{Call, Entry};

#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    decided: HashMap<String, Record>,
}

/// A line of the ledger.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    call: Call,
    accepted: bool,
    /// It was decided before, and nothing was done now.
    again: bool,
}

impl Ledger {
    /// Opens it when no other process has it open any more.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.lock()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may have been cut off by a kill; then nobody was told of it.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        let mut decided = HashMap::new();
        for line in text[..whole].lines() {
            let record: Record = serde_json::from_str(line)?;
            decided.entry(record.call.key.clone()).or_insert(record);
        }
        Ok(Self { file, decided })
    }

    /// What was decided when a call with this key came first; `accept` decides when this is the first.
    pub(crate) fn enter(&mut self, call: &Call, accept: impl FnOnce() -> bool) -> io::Result<bool> {
        let record = match self.decided.get(&call.key) {
            Some(before) if before.call != *call => return Err(io::Error::other("another call has this key")),
            Some(before) => Record { again: true, ..before.clone() },
            None => Record { call: call.clone(), accepted: accept(), again: false },
        };
        let accepted = record.accepted;
        let mut line = serde_json::to_string(&record)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())?;
        self.decided.entry(call.key.clone()).or_insert(record);
        Ok(accepted)
    }

    /// How much money was taken and not given back.
    pub(crate) fn balance(&self) -> u64 {
        let sum = |entry| {
            let records = self.decided.values().filter(move |record| record.accepted && record.call.entry == entry);
            records.map(|record| record.call.cents).sum::<u64>()
        };
        sum(Entry::Charge).saturating_sub(sum(Entry::Refund))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once_and_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("ledger");
        let call = |key: &str, entry| Call { key: key.to_owned(), order: 1, entry, cents: 7 };
        let mut ledger = Ledger::open(&path).expect("it can be made");
        assert!(ledger.enter(&call("a", Entry::Charge), || true).expect("it can be written"));
        assert!(ledger.enter(&call("a", Entry::Charge), || false).expect("it can be written"), "it is decided");
        assert!(!ledger.enter(&call("b", Entry::Charge), || false).expect("it can be written"));
        assert_eq!(ledger.balance(), 7);
        drop(ledger);
        let text = std::fs::read_to_string(&path).expect("it is there");
        std::fs::write(&path, format!("{text}{{\"key\":")).expect("it can be written");
        let mut ledger = Ledger::open(&path).expect("it can be read");
        assert!(!ledger.enter(&call("b", Entry::Charge), || true).expect("it can be written"), "it is decided");
        assert!(ledger.enter(&call("a", Entry::Refund), || true).is_err(), "the key is another call's");
        assert_eq!(ledger.balance(), 7);
        assert!(ledger.enter(&call("c", Entry::Refund), || true).expect("it can be written"));
        assert_eq!(ledger.balance(), 0);
    }
}
