//! What one group changes, as a plain value and as bytes.
//!
//! A batch is the only way that anything is written: applying it is deterministic, so it can be replayed after a
//! crash and shipped to a replica. Its bytes are specified in `docs/FORMAT.md`. Decoding is total: any bytes give a
//! batch or a reason, never a panic, and memory in proportion to the bytes at most.

use bytes::Bytes;

use crate::error::BatchError;
use crate::hash::Chain;
use crate::ids::{Group, Position, ShardId};
use crate::integers::{take_count, take_u32, take_u64, take_u128};
use crate::key::Key;
use crate::table::{KEY_BYTES_MIN, Schema};

/// One record set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The record.
    pub key: Key,
    /// What it becomes; `None` deletes it.
    pub value: Option<Bytes>,
}

/// What a group is made of: whole submissions that were committed together, folded. What they amount to is the same
/// wherever it is applied to the same records, so it can be shipped to a replica as it is.
///
/// Changes apply in their order. Setting a record overwrites it, deleting one that is not there does nothing, and
/// deleting a record of a queue deletes what its companion has under its key. What a group has made and deleted again
/// is not in it, so a batch may have no changes: it still holds the positions that were used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// The shard whose group it is; `None` where a program of format 5 or older has written it, whose journals had one.
    pub shard: Option<ShardId>,
    /// The number of the group, in its shard.
    pub group: Group,
    /// The first position that the group took, whatever took it. That of the group before is lower.
    pub first: Position,
    /// The last one: that of the ticket of its last submission.
    pub last: Position,
    /// What it follows on; `None` where a program of format 4 or older has written it.
    pub origin: Option<Origin>,
    /// What it changes.
    pub changes: Vec<Change>,
}

/// What a batch says before its changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) shard: Option<ShardId>,
    pub(crate) group: Group,
    first: Position,
    last: Position,
    pub(crate) origin: Option<Origin>,
    count: usize,
}

/// What a group follows on, so that it follows on nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The hash of all groups before it.
    pub before: Chain,
    /// The nonce of the [`Epoch`](crate::Epoch) that wrote it.
    pub run: u64,
}

/// The version of the batch format that this crate writes. It is about the layout: a new table needs no new one, since
/// the format of the store keeps programs away that do not know the table.
const VERSION: u8 = 3;
/// The one before, which is read: it says nothing of the shard.
const VERSION_WITHOUT_SHARD: u8 = 2;
/// The first one, which is read: it says nothing of what the group follows on either.
const VERSION_WITHOUT_ORIGIN: u8 = 1;
/// Version, shard, group, first and last position, origin, number of changes.
const HEADER_BYTES: usize = 1 + 16 + 8 + 8 + 8 + 16 + 4;
/// Set in the tag of a change that puts; the rest of the tag is the table.
const PUT: u8 = 0x80;
/// Tag and the shortest key: what the smallest change takes, a removal.
const CHANGE_BYTES_MIN: usize = 1 + KEY_BYTES_MIN;

/// Starts a batch at the end of `buffer`; `push` adds its changes, `finish` completes it.
pub(crate) struct Encoder<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
    count: u32,
}

impl<'a> Encoder<'a> {
    pub(crate) fn begin(
        buffer: &'a mut Vec<u8>,
        shard: ShardId,
        group: Group,
        first: Position,
        last: Position,
        origin: Origin,
    ) -> Self {
        let start = buffer.len();
        buffer.push(VERSION);
        buffer.extend_from_slice(&shard.0.to_be_bytes());
        buffer.extend_from_slice(&group.0.to_be_bytes());
        buffer.extend_from_slice(&first.0.to_be_bytes());
        buffer.extend_from_slice(&last.0.to_be_bytes());
        buffer.extend_from_slice(&origin.before.0.to_be_bytes());
        buffer.extend_from_slice(&origin.run.to_be_bytes());
        buffer.extend_from_slice(&0_u32.to_be_bytes());
        Self { buffer, start, count: 0 }
    }

    pub(crate) fn push(&mut self, change: &Change) {
        let put = if change.value.is_some() { PUT } else { 0 };
        self.buffer.push(put | change.key.table().number());
        self.buffer.extend_from_slice(change.key.bytes());
        if let Some(value) = &change.value {
            let len = u32::try_from(value.len())
                .expect("a submission is far below 4 GiB: checked at admission and in `Stage`");
            self.buffer.extend_from_slice(&len.to_be_bytes());
            self.buffer.extend_from_slice(value);
        }
        self.count += 1;
    }

    pub(crate) fn finish(self) {
        let count = self.start + HEADER_BYTES - 4;
        self.buffer[count..count + 4].copy_from_slice(&self.count.to_be_bytes());
    }
}

impl Header {
    /// Reads the header of a batch.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        Self::take(&mut &*bytes)
    }

    /// Takes it off the front.
    fn take(rest: &mut &[u8]) -> Result<Self, &'static str> {
        let version = take_u8(rest).ok_or("the batch is empty")?;
        if !matches!(version, VERSION | VERSION_WITHOUT_SHARD | VERSION_WITHOUT_ORIGIN) {
            return Err("the batch has an unknown version");
        }
        let shard = match version {
            VERSION => Some(ShardId(take_u128(rest).ok_or("the batch ends within its header")?)),
            _ => None,
        };
        let mut count = || take_count(rest).ok_or("the batch ends within its header, or a number in it is none");
        let (group, first, last) = (Group(count()?), Position(count()?), Position(count()?));
        let mut word = || take_u64(rest).ok_or("the batch ends within its header");
        let origin = match version {
            VERSION_WITHOUT_ORIGIN => None,
            _ => Some(Origin { before: Chain(word()?), run: word()? }),
        };
        let count = take_u32(rest).ok_or("the batch ends within its header")? as usize;
        if group.0 == 0 || first.0 == 0 || last < first {
            return Err("the positions of the batch are not in order");
        }
        if count > rest.len() / CHANGE_BYTES_MIN {
            return Err("the batch announces more changes than it can hold");
        }
        Ok(Self { shard, group, first, last, origin, count })
    }
}

impl Batch {
    /// Reads a batch that takes all of `bytes`. Its values share memory with them.
    ///
    /// # Errors
    ///
    /// What does not hold; never a panic, whatever the bytes are.
    pub fn decode(bytes: &Bytes, schema: &Schema) -> Result<Self, BatchError> {
        let mut rest: &[u8] = bytes;
        let Header { shard, group, first, last, origin, count } = Header::take(&mut rest)?;
        let mut changes = Vec::with_capacity(count);
        for _ in 0..count {
            changes.push(decode_change(bytes, schema, &mut rest)?);
        }
        if !rest.is_empty() {
            return Err("the batch goes on after its last change".into());
        }
        Ok(Self { shard, group, first, last, origin, changes })
    }
}

fn decode_change(bytes: &Bytes, schema: &Schema, rest: &mut &[u8]) -> Result<Change, BatchError> {
    const ENDS: &str = "the batch ends within a change";
    let tag = take_u8(rest).ok_or(ENDS)?;
    let table = schema.of_number(tag & !PUT).ok_or(BatchError::UnknownTable { number: tag & !PUT })?;
    let (key, after) = rest.split_at_checked(table.key_bytes()).ok_or(ENDS)?;
    *rest = after;
    let key = Key::decode(table, key).ok_or("a change has a malformed key")?;
    if tag & PUT == 0 {
        return Ok(Change { key, value: None });
    }
    let len = take_u32(rest).ok_or(ENDS)? as usize;
    let (value, after) = rest.split_at_checked(len).ok_or(ENDS)?;
    *rest = after;
    Ok(Change { key, value: Some(bytes.slice_ref(value)) })
}

fn take_u8(rest: &mut &[u8]) -> Option<u8> {
    let (&first, left) = rest.split_first()?;
    *rest = left;
    Some(first)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::declared;
    use crate::ids::COUNT_END;
    use crate::key::tests::any_key;

    pub(crate) fn any_change() -> impl Strategy<Value = Change> {
        (any_key(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)))
            .prop_map(|(key, value)| Change { key, value: value.map(Bytes::from) })
    }

    fn any_batch() -> impl Strategy<Value = Batch> {
        (1..COUNT_END, 1..COUNT_END - 1000, 0..1000_u64, proptest::collection::vec(any_change(), 0..20)).prop_map(
            |(group, first, more, changes)| Batch {
                shard: Some(ShardId(u128::from(group) << 64)),
                group: Group(group),
                first: Position(first),
                last: Position(first + more),
                origin: Some(Origin { before: Chain(group), run: first }),
                changes,
            },
        )
    }

    fn encode(batch: &Batch) -> Vec<u8> {
        let mut buffer = b"before".to_vec();
        let mut encoder = Encoder::begin(
            &mut buffer,
            batch.shard.unwrap(),
            batch.group,
            batch.first,
            batch.last,
            batch.origin.unwrap(),
        );
        batch.changes.iter().for_each(|change| encoder.push(change));
        encoder.finish();
        buffer.split_off(b"before".len())
    }

    fn decode(bytes: &Bytes) -> Result<Batch, BatchError> {
        Batch::decode(bytes, &declared::SCHEMA)
    }

    fn empty() -> Batch {
        let origin = Some(Origin { before: Chain(2), run: 3 });
        let (shard, changes) = (Some(ShardId(7)), Vec::new());
        Batch { shard, group: Group(1), first: Position(1), last: Position(1), origin, changes }
    }

    proptest! {
        #[test]
        fn batches_survive_encoding(batch in any_batch()) {
            prop_assert_eq!(decode(&encode(&batch).into()), Ok(batch));
        }

        #[test]
        fn a_shorter_or_longer_batch_is_refused(batch in any_batch(), cut in any::<proptest::sample::Index>()) {
            let mut bytes = encode(&batch);
            prop_assert!(decode(&bytes[..cut.index(bytes.len())].to_vec().into()).is_err());
            bytes.push(0);
            prop_assert!(decode(&bytes.into()).is_err());
        }

        #[test]
        fn no_bytes_make_decoding_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes.clone().into());
            if let Some(version) = bytes.first_mut() {
                *version = VERSION - *version % 3;
                let _ = decode(&bytes.into());
            }
        }

        #[test]
        fn a_flipped_bit_never_panics(batch in any_batch(), at in any::<proptest::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = encode(&batch);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let _ = decode(&bytes.into());
        }
    }

    /// A batch that removes records of one table alone is the shortest for its number of changes.
    #[test]
    fn a_removal_from_any_table_is_read() {
        for table in declared::SCHEMA.tables() {
            let key = Key::decode(table, &vec![0; table.key_bytes()]).unwrap();
            let changes = vec![Change { key, value: None }];
            let batch = Batch { changes, ..empty() };
            assert_eq!(decode(&encode(&batch).into()), Ok(batch));
        }
    }

    #[test]
    fn a_batch_of_an_older_build_is_read() {
        let mut bytes = encode(&empty());
        bytes[0] = VERSION_WITHOUT_SHARD;
        bytes.drain(1..17);
        assert_eq!(decode(&bytes.clone().into()), Ok(Batch { shard: None, ..empty() }));
        bytes[0] = VERSION_WITHOUT_ORIGIN;
        bytes.drain(HEADER_BYTES - 16 - 4 - 16..HEADER_BYTES - 16 - 4);
        assert_eq!(decode(&bytes.into()), Ok(Batch { shard: None, origin: None, ..empty() }));
    }

    #[test]
    fn a_huge_count_does_not_allocate() {
        let mut bytes = encode(&empty());
        bytes[HEADER_BYTES - 4..].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(decode(&bytes.into()), Err("the batch announces more changes than it can hold".into()));
    }
}
