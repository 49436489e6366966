//! The two meta pages: where everything else begins. A commit writes one of them, in turn.

use super::raw::{HEADER_BYTES, Header, META, u32_at, u64_at};
use super::tree::Tree;

/// A meta page up to its last field.
pub(super) const META_BYTES: usize = HEADER_BYTES + 136;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// The keys of the list of free pages are numbers; no other flag is ever set by this crate.
const INTEGER_KEYS: u16 = 0x08;

/// What a commit has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) page_bytes: usize,
    pub(super) free: Tree,
    pub(super) main: Tree,
    pub(super) last_page: u64,
    /// The last one that was committed.
    pub(super) transaction: u64,
}

impl Meta {
    pub(super) fn decode(bytes: &[u8; META_BYTES], page: u64) -> Result<Self, &'static str> {
        let header = Header::of(bytes);
        if header.flags != META || header.page != page {
            return Err("it is no meta page");
        }
        let fields = &bytes[HEADER_BYTES..];
        if u32_at(fields, 0) != MAGIC || u32_at(fields, 4) != VERSION {
            return Err("it is no meta page of LMDB's version 1");
        }
        if u64_at(fields, 8) != 0 {
            return Err("a fixed address was never asked for");
        }
        let (free, main) = (&fields[24..72], &fields[72..120]);
        let page_bytes = u32_at(free, 0) as usize;
        if !page_bytes.is_power_of_two() || !(512..=65536).contains(&page_bytes) {
            return Err("its page size is none");
        }
        let meta = Self {
            page_bytes,
            free: Tree::decode(free, INTEGER_KEYS)?,
            main: Tree::decode(main, 0)?,
            last_page: u64_at(fields, 120),
            transaction: u64_at(fields, 128),
        };
        let pages = u64_at(fields, 16) / page_bytes as u64;
        if meta.last_page == 0 || meta.last_page >= pages {
            return Err("its last page is not within its map");
        }
        Ok(meta)
    }
}

/// The newest of both. Each commit has the number after the one before, and the even ones write the first page: two
/// that do not follow on each other are not what two commits left, so the newest may be lost.
pub(super) fn newest(first: Meta, second: Meta) -> Result<Meta, &'static str> {
    let (even, odd) = (first.transaction, second.transaction);
    if first.page_bytes != second.page_bytes {
        return Err("the two meta pages do not belong together");
    }
    match (even, odd) {
        // Made, and never written.
        (0, 0) => Ok(first),
        _ if even % 2 != 0 || odd % 2 != 1 || even.abs_diff(odd) != 1 => {
            Err("the two meta pages are not of two commits that follow on each other")
        }
        _ => Ok(if even > odd { first } else { second }),
    }
}
