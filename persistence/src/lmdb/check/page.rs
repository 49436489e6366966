//! One page of a tree, and the nodes in it.

use super::raw::{BRANCH, HEADER_BYTES, Header, LEAF, u16_at, u32_at, u64_at};
use super::tree::Tree;

const _: () = assert!(size_of::<usize>() == 8, "a store needs a 64-bit system: LMDB's pages are others elsewhere");

/// Before the key of a node.
const NODE_BYTES: usize = 8;

/// The value lies on pages of its own.
const BIG: u16 = 0x01;
/// The value is a tree.
const TREE: u16 = 0x02;

/// LMDB takes no longer keys.
const KEY_BYTES_MAX: usize = 511;

/// A page of a tree whose nodes lie within it, without a gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Page<'b> {
    bytes: &'b [u8],
    pub(super) is_branch: bool,
    pub(super) nodes: usize,
}

/// What is under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'b> {
    /// Bytes beside the key.
    Here(&'b [u8]),
    /// So many bytes, from this page on.
    Pages { first: u64, bytes: u32 },
    /// What is said of a tree.
    Tree(&'b [u8]),
}

impl<'b> Page<'b> {
    pub(super) fn decode(bytes: &'b [u8], number: u64) -> Result<Self, &'static str> {
        let header = Header::of(bytes);
        if header.page != number {
            return Err("it is another page");
        }
        let is_branch = match header.flags {
            BRANCH => true,
            LEAF => false,
            _ => return Err("it is no page of a tree"),
        };
        let (lower, upper) = (usize::from(header.lower), usize::from(header.upper));
        if lower < HEADER_BYTES || !lower.is_multiple_of(2) || lower > upper || upper > bytes.len() {
            return Err("its bounds do not fit");
        }
        let page = Self { bytes, is_branch, nodes: (lower - HEADER_BYTES) / 2 };
        let least = if is_branch { 2 } else { 1 };
        if page.nodes < least {
            return Err("it has too few nodes");
        }
        let mut taken = 0;
        for index in 0..page.nodes {
            let size = page.node_bytes(index, upper)?;
            taken += size.next_multiple_of(2);
        }
        if taken != bytes.len() - upper {
            return Err("its nodes do not fill what they are to fill");
        }
        Ok(page)
    }

    /// The bytes of a node, once it is known to lie on the page.
    fn node_bytes(&self, index: usize, upper: usize) -> Result<usize, &'static str> {
        let at = self.offset(index);
        if at < upper || !at.is_multiple_of(2) || at + NODE_BYTES > self.bytes.len() {
            return Err("a node is not where nodes are");
        }
        let node = &self.bytes[at..];
        let key = usize::from(u16_at(node, 6));
        let value = match (self.is_branch, u16_at(node, 4)) {
            (true, _) => 0,
            (false, 0) => self.value_bytes(index),
            (false, TREE) => Tree::BYTES,
            (false, BIG) => size_of::<u64>(),
            _ => return Err("a node has flags that were never asked for"),
        };
        if key > KEY_BYTES_MAX || (key == 0 && !(self.is_branch && index == 0)) {
            return Err("a key has a length that none has");
        }
        let all = NODE_BYTES + key + value;
        if value > self.bytes.len() || at + all > self.bytes.len() {
            return Err("a node is longer than its page");
        }
        if !self.is_branch && u16_at(node, 4) == TREE && self.value_bytes(index) != value {
            return Err("a tree has a length that none has");
        }
        Ok(all)
    }

    pub(super) fn key(&self, index: usize) -> &'b [u8] {
        let node = &self.bytes[self.offset(index)..];
        &node[NODE_BYTES..NODE_BYTES + usize::from(u16_at(node, 6))]
    }

    /// The page below a node of a branch.
    pub(super) fn child(&self, index: usize) -> u64 {
        let node = &self.bytes[self.offset(index)..];
        u64::from(u32_at(node, 0)) | u64::from(u16_at(node, 4)) << 32
    }

    /// The value of a node of a leaf.
    pub(super) fn value(&self, index: usize) -> Value<'b> {
        let node = &self.bytes[self.offset(index)..];
        let value = &node[NODE_BYTES + usize::from(u16_at(node, 6))..];
        match u16_at(node, 4) {
            BIG => Value::Pages { first: u64_at(value, 0), bytes: u32_at(node, 0) },
            TREE => Value::Tree(&value[..Tree::BYTES]),
            _ => Value::Here(&value[..self.value_bytes(index)]),
        }
    }

    fn value_bytes(&self, index: usize) -> usize {
        u32_at(self.bytes, self.offset(index)) as usize
    }

    fn offset(&self, index: usize) -> usize {
        usize::from(u16_at(self.bytes, HEADER_BYTES + 2 * index))
    }
}
