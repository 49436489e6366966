//! What LMDB says of a tree, in a meta page or as the value of a named one.

use super::raw::{u16_at, u64_at};

/// The root of an empty tree.
const NO_PAGE: u64 = u64::MAX;
/// More levels LMDB could not go down.
const DEPTH_MAX: u16 = 32;

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
