//! One request: what is read for a caller, and the way back to it.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::admit::Admit;
use crate::error::ReadError;
use crate::key::Key;
use crate::overlay::Lookup;
use crate::tables::Snapshot;

type Records = Vec<Option<Bytes>>;
/// What a caller is told: its records, and what has admitted them.
pub(super) type Answer<A> = Result<(Records, A), ReadError>;

/// What a thread does with a request: reads it, and answers it when nothing of the store is held any more.
pub(super) trait Request: Send {
    /// Nobody waits for it any more.
    fn is_abandoned(&self) -> bool;
    /// The records that are asked for.
    fn keys(&self) -> &[Key];
    /// Reads them, from what memory knows of them and the tables.
    fn read(&mut self, lookup: Lookup, snapshot: Option<&Snapshot<'_>>);
    /// Tells the caller what was read; if it was not, why.
    fn answer(self: Box<Self>, otherwise: &ReadError);
}

pub(super) struct Pending<A> {
    keys: Vec<Key>,
    admit: A,
    /// None before it was read, or when that has panicked.
    records: Option<Result<Records, ReadError>>,
    answer: oneshot::Sender<Answer<A>>,
}

impl<A: Admit> Pending<A> {
    pub(super) fn new(keys: Vec<Key>, admit: A, answer: oneshot::Sender<Answer<A>>) -> Self {
        Self { keys, admit, records: None, answer }
    }
}

impl<A: Admit> Request for Pending<A> {
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn keys(&self) -> &[Key] {
        &self.keys
    }

    fn read(&mut self, lookup: Lookup, snapshot: Option<&Snapshot<'_>>) {
        let Self { keys, admit, .. } = self;
        self.records = Some(lookup.records_while(keys, snapshot, &mut |bytes| admit.admits(bytes)));
    }

    fn answer(self: Box<Self>, otherwise: &ReadError) {
        let Self { admit, records, answer, .. } = *self;
        let records = records.unwrap_or_else(|| Err(otherwise.clone()));
        // A caller that is gone wants no answer.
        let _ = answer.send(records.map(|records| (records, admit)));
    }
}
