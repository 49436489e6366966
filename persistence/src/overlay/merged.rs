//! Changes in memory over records of the tables, both in the order of a range.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::vec::IntoIter;

use bytes::Bytes;

use crate::error::ReadError;
use crate::key::Key;
use crate::tables::Entries;

/// What is found under a key.
pub(super) enum Found<'s> {
    /// A change in memory: a value, or that there is none.
    Changed(Option<Bytes>),
    /// What the tables have.
    Stored(&'s [u8]),
}

pub(super) struct Merged<'s> {
    changes: Peekable<IntoIter<(Key, Option<Bytes>)>>,
    records: Peekable<Entries<'s>>,
    is_backwards: bool,
}

impl<'s> Merged<'s> {
    pub(super) fn new(changes: Vec<(Key, Option<Bytes>)>, records: Entries<'s>, is_backwards: bool) -> Self {
        Self { changes: changes.into_iter().peekable(), records: records.peekable(), is_backwards }
    }
}

impl<'s> Iterator for Merged<'s> {
    type Item = Result<(Key, Found<'s>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_changed = match (self.changes.peek(), self.records.peek()) {
            (None, _) => false,
            (_, None) => true,
            (_, Some(Err(_))) => false,
            (Some((change, _)), Some(Ok((record, _)))) => match change.cmp(record) {
                Ordering::Equal => {
                    self.records.next();
                    true
                }
                order => order.is_lt() != self.is_backwards,
            },
        };
        if is_changed {
            return self.changes.next().map(|(key, value)| Ok((key, Found::Changed(value))));
        }
        self.records.next().map(|record| record.map(|(key, stored)| (key, Found::Stored(stored))))
    }
}
