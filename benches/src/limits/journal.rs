//! What LMDB does alone: one record a commit, in a growing order, old ones removed, as a journal does it.

use std::path::Path;
use std::time::Duration;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, PutFlags, WithoutTls};

use crate::actors::PAYLOAD_BYTES;
use crate::clock::{now, per_second};
use crate::problem::Problem;

/// Address space; what is held is far less.
const MAP_BYTES: usize = 4 << 30;
/// How many bytes of records stay, about as many as a store holds between two checkpoints.
const HELD_BYTES: usize = 16 << 20;
/// A record is kept in pieces that fill runs of 16 pages, so that freed runs fit the next ones: without it LMDB looks
/// for long runs of pages in vain, and the comparison would be with a worse journal than there is.
const PIECE_BYTES: usize = 65_536 - 16;

/// An environment in a folder that is removed with it.
struct Log {
    env: Env<WithoutTls>,
    records: Database<'static, Bytes, Bytes>,
    next: u64,
    first: u64,
}

/// Commits of one record of a message's size.
pub(crate) struct OneRecord(Log);

impl OneRecord {
    pub(crate) fn open(folder: &Path) -> Result<Self, Problem> {
        Log::open(folder).map(Self)
    }

    pub(crate) fn commit(&mut self) -> Result<(), Problem> {
        self.0.commit(&[0x5a; PAYLOAD_BYTES], HELD_BYTES / PAYLOAD_BYTES / 64)
    }
}

pub(super) fn commits_per_second(folder: &Path, bytes: usize, length: Duration) -> Result<f64, Problem> {
    let mut log = Log::open(folder)?;
    let record = vec![0x5a; bytes.max(1)];
    let held = (HELD_BYTES / record.len()).max(1);
    let fill = now();
    // The file has its size before the clock starts.
    while fill.elapsed() < length / 4 {
        log.commit(&record, held)?;
    }
    let start = now();
    let mut count = 0;
    while start.elapsed() < length {
        log.commit(&record, held)?;
        count += 1;
    }
    Ok(per_second(count, start.elapsed()))
}

impl Log {
    fn open(folder: &Path) -> Result<Self, Problem> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir(folder)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES);
        #[expect(unsafe_code, reason = "opening a memory map")]
        // SAFETY: the folder was made just now, and nothing else opens its files.
        let env = unsafe { options.open(folder) }?;
        let txn = env.write_txn()?;
        let created = env.create_databases_and_commit(txn, |opener, txn| {
            opener.create_database(txn, None).map(CommitOrAbort::<_, std::convert::Infallible>::Commit)
        });
        match created? {
            CommitOrAbort::Commit(records) => Ok(Self { env, records, next: 0, first: 0 }),
            CommitOrAbort::Abort(never) => match never {},
        }
    }

    /// Appends one record, and removes the oldest when there are more than `held`.
    fn commit(&mut self, record: &[u8], held: usize) -> Result<(), Problem> {
        let mut txn = self.env.write_txn()?;
        for (number, piece) in (0_u32..).zip(record.chunks(PIECE_BYTES)) {
            self.records.put_with_flags(&mut txn, PutFlags::APPEND, &key(self.next, number), piece)?;
        }
        if self.next - self.first >= held as u64 {
            for (number, _) in (0_u32..).zip(record.chunks(PIECE_BYTES)) {
                self.records.delete(&mut txn, &key(self.first, number))?;
            }
            self.first += 1;
        }
        txn.commit()?;
        self.next += 1;
        Ok(())
    }
}

fn key(record: u64, piece: u32) -> [u8; 12] {
    let mut key = [0; 12];
    key[..8].copy_from_slice(&record.to_be_bytes());
    key[8..].copy_from_slice(&piece.to_be_bytes());
    key
}
