//! The chunks of a group, put together again.

use bytes::Bytes;

use crate::hash::Chain;

/// The chunks of one group so far.
#[derive(Default)]
pub(super) struct Collected {
    bytes: Vec<u8>,
    checksums: Vec<u32>,
    pub(super) parts: u32,
    pub(super) total: u32,
}

impl Collected {
    pub(super) fn add(&mut self, total: u32, checksum: u32, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.checksums.push(checksum);
        self.total = total;
        self.parts += 1;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.parts == self.total
    }

    /// The batch, and what is the chain of all groups up to it.
    pub(super) fn take(&mut self, before: Chain) -> (Bytes, Chain) {
        let Self { bytes, checksums, .. } = std::mem::take(self);
        (bytes.into(), checksums.into_iter().fold(before, Chain::with))
    }
}
