//! The two meta pages: where everything else begins. A commit writes one of them, in turn.

use super::page::{HEADER_BYTES, Header, META, u16_at, u32_at, u64_at};

/// A meta page up to its last field.
pub(super) const META_BYTES: usize = HEADER_BYTES + 136;

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
/// The keys of the list of free pages are numbers; no other flag is ever set by this crate.
const INTEGER_KEYS: u16 = 0x08;
/// The root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
/// More levels LMDB could not go down.
const DEPTH_MAX: u16 = 32;

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

/// What is said of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tree {
    /// Levels, 0 for an empty tree.
    pub(super) depth: u16,
    pub(super) branch_pages: u64,
    pub(super) leaf_pages: u64,
    pub(super) overflow_pages: u64,
    pub(super) entries: u64,
    pub(super) root: u64,
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

impl Tree {
    /// The bytes of a tree, in a meta page or as the value of a named one.
    pub(super) const BYTES: usize = 48;

    pub(super) fn decode(bytes: &[u8], flags: u16) -> Result<Self, &'static str> {
        let tree = Self {
            depth: u16_at(bytes, 6),
            branch_pages: u64_at(bytes, 8),
            leaf_pages: u64_at(bytes, 16),
            overflow_pages: u64_at(bytes, 24),
            entries: u64_at(bytes, 32),
            root: u64_at(bytes, 40),
        };
        if u16_at(bytes, 4) != flags {
            return Err("a tree has flags that were never asked for");
        }
        if tree.depth > DEPTH_MAX {
            return Err("a tree has more levels than there can be");
        }
        let is_empty = tree.depth == 0;
        if is_empty != (tree.root == NO_PAGE) || is_empty != (tree.entries == 0) {
            return Err("a tree is empty and is not");
        }
        Ok(tree)
    }
}
