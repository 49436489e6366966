//! All trees of an environment, from their roots down, and the list of free pages.

use super::meta::Meta;
use super::page::{Page, Value};
use super::pages::{Flaw, Pages, Stop, VISITED_BYTES, Visit};
use super::raw::{HEADER_BYTES, Header, OVERFLOW, u64_at};
use super::tree::Tree;

/// No commit gives out and frees more pages, and their bits take 2 MiB.
const UNWRITTEN_PAGES_MAX: u64 = 1 << 24;

/// Checks everything that the newest commit refers to; shows `visit` each record of a named tree.
pub(super) fn walk(pages: &impl Pages, meta: &Meta, visit: &mut Visit<'_>) -> Result<(), Stop> {
    // Pages at the end that were given out and freed again by one commit are not in the file.
    let in_file = pages.bytes().map_err(Stop::Read)? / meta.page_bytes as u64;
    if meta.last_page > in_file.saturating_add(UNWRITTEN_PAGES_MAX) {
        return Err(flaw(0, "the file ends long before its last page"));
    }
    let mut walk =
        Walk { pages, meta, used: Used::new(meta.last_page), found: Found::default(), visit, name: Vec::new() };
    let free = walk.tree(&meta.free, Order::Number)?;
    let main = walk.tree(&meta.main, Order::Bytes)?;
    for (page, name, tree) in main.trees {
        let tree = tree.map_err(|reason| Stop::Flaw(Flaw { page, reason }))?;
        walk.name = name;
        if !walk.tree(&tree, Order::Bytes)?.trees.is_empty() {
            return Err(flaw(page, "a tree lies below a named one"));
        }
    }
    walk.name.clear();
    for list in free.values {
        walk.free(list)?;
    }
    match walk.used.missing() {
        Some(page) => Err(flaw(page, "nothing refers to it, and it is not free")),
        None => Ok(()),
    }
}

/// How keys are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Bytes,
    /// Numbers of transactions, in the list of free pages.
    Number,
}

struct Walk<'a, P> {
    pages: &'a P,
    meta: &'a Meta,
    used: Used,
    found: Found,
    visit: &'a mut Visit<'a>,
    /// That of the tree that is gone through; none for the two that have none.
    name: Vec<u8>,
}

/// What a walk through one tree has found.
#[derive(Debug, Default)]
struct Found {
    branch_pages: u64,
    leaf_pages: u64,
    overflow_pages: u64,
    entries: u64,
    /// Trees by name, and the page that says so.
    trees: Vec<(u64, Vec<u8>, Result<Tree, &'static str>)>,
    /// The lists of free pages.
    values: Vec<FreeList>,
}

/// Where a list of free pages is.
#[derive(Debug)]
enum FreeList {
    Here { page: u64, bytes: Vec<u8> },
    Pages { first: u64, bytes: u32 },
}

/// The keys between which those of a page lie: from the first on, below the second.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds<'k> {
    from: Option<&'k [u8]>,
    below: Option<&'k [u8]>,
}

impl<P: Pages> Walk<'_, P> {
    fn tree(&mut self, tree: &Tree, order: Order) -> Result<Found, Stop> {
        self.found = Found::default();
        if tree.depth > 0 {
            self.node(tree.root, tree.depth, order, Bounds::default())?;
        }
        let found = std::mem::take(&mut self.found);
        let counted = [found.branch_pages, found.leaf_pages, found.overflow_pages, found.entries];
        if counted != [tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries] {
            return Err(flaw(tree.root, "the tree below it is not as large as it is said to be"));
        }
        Ok(found)
    }

    /// A page of a tree with what is below it, `levels` of them with it.
    fn node(&mut self, number: u64, levels: u16, order: Order, bounds: Bounds<'_>) -> Result<(), Stop> {
        self.take(number)?;
        let mut bytes = vec![0; self.meta.page_bytes];
        self.read(number, &mut bytes)?;
        let page = Page::decode(&bytes, number).map_err(|reason| flaw(number, reason))?;
        if page.is_branch != (levels > 1) {
            return Err(flaw(number, "it is on the wrong level of its tree"));
        }
        self.keys_are_in_order(number, &page, order, bounds)?;
        if page.is_branch {
            self.found.branch_pages += 1;
            for index in 0..page.nodes {
                let from = if index == 0 { bounds.from } else { Some(page.key(index)) };
                let below = if index + 1 == page.nodes { bounds.below } else { Some(page.key(index + 1)) };
                self.node(page.child(index), levels - 1, order, Bounds { from, below })?;
            }
            return Ok(());
        }
        self.found.leaf_pages += 1;
        self.found.entries += page.nodes as u64;
        for index in 0..page.nodes {
            self.value(number, page.key(index), page.value(index), order)?;
        }
        Ok(())
    }

    fn keys_are_in_order(&self, number: u64, page: &Page<'_>, order: Order, bounds: Bounds<'_>) -> Result<(), Stop> {
        // What the first node of a branch says is not looked at: everything below the second is below it.
        let first = usize::from(page.is_branch);
        let mut last = bounds.from;
        for index in first..page.nodes {
            let key = page.key(index);
            if order == Order::Number && !self.is_transaction(key) {
                return Err(flaw(number, "there was no transaction of this number"));
            }
            let is_after = last.is_none_or(|last| match index == first && !page.is_branch {
                // The key that a branch has of it may be that of the first record, or a lower one.
                true => order.le(last, key),
                false => !order.le(key, last),
            });
            if !is_after {
                return Err(flaw(number, "its keys are not in order"));
            }
            last = Some(key);
        }
        match (last, bounds.below) {
            (Some(last), Some(below)) if order.le(below, last) => Err(flaw(number, "its keys are not in order")),
            _ => Ok(()),
        }
    }

    /// Whether a list of free pages can have this key. LMDB would give out the pages of any other twice.
    fn is_transaction(&self, key: &[u8]) -> bool {
        key.len() == size_of::<u64>() && (1..=self.meta.transaction).contains(&u64_at(key, 0))
    }

    fn value(&mut self, page: u64, key: &[u8], value: Value<'_>, order: Order) -> Result<(), Stop> {
        match (value, order) {
            (Value::Here(bytes), Order::Number) => {
                self.found.values.push(FreeList::Here { page, bytes: bytes.to_vec() })
            }
            (Value::Here(_), Order::Bytes) => {}
            (Value::Tree(bytes), Order::Bytes) => self.found.trees.push((page, key.to_vec(), Tree::decode(bytes, 0))),
            (Value::Tree(_), Order::Number) => return Err(flaw(page, "a list of free pages is a tree")),
            (Value::Pages { first, bytes }, _) => {
                self.overflow(first, bytes, order)?;
                if order == Order::Number {
                    self.found.values.push(FreeList::Pages { first, bytes });
                }
            }
        }
        if self.name.is_empty() { Ok(()) } else { self.show(key, value) }
    }

    /// Shows a record of a named tree, with the beginning of its value.
    fn show(&mut self, key: &[u8], value: Value<'_>) -> Result<(), Stop> {
        let mut beginning = [0; VISITED_BYTES];
        let shown = match value {
            Value::Here(bytes) => &bytes[..bytes.len().min(VISITED_BYTES)],
            Value::Tree(_) => &[],
            Value::Pages { first, bytes } => {
                let shown = &mut beginning[..VISITED_BYTES.min(bytes as usize)];
                self.read_at(first, HEADER_BYTES as u64, shown)?;
                shown
            }
        };
        (self.visit)(&self.name, key, shown).map_err(Stop::Record)
    }

    /// A value on pages of its own: only the first of them has a header.
    fn overflow(&mut self, first: u64, bytes: u32, order: Order) -> Result<(), Stop> {
        self.take(first)?;
        let mut header = [0; HEADER_BYTES];
        self.read(first, &mut header)?;
        let header = Header::of(&header);
        let needed = (HEADER_BYTES as u64 + u64::from(bytes)).div_ceil(self.meta.page_bytes as u64);
        let count = u64::from(header.pages);
        // LMDB writes a list of free pages twice in one commit, and leaves it the pages of the first, longer one.
        let fits = count == needed || (order == Order::Number && count > needed);
        if header.page != first || header.flags != OVERFLOW || !fits {
            return Err(flaw(first, "it is not the first page of a large value"));
        }
        for number in first + 1..first + count {
            self.take(number)?;
        }
        // The last byte of it is in the file: a file that ends before is one that LMDB would read beyond.
        self.read_at(first, HEADER_BYTES as u64 + u64::from(bytes) - 1, &mut [0])?;
        self.found.overflow_pages += count;
        Ok(())
    }

    /// The pages that are free, by one transaction.
    fn free(&mut self, list: FreeList) -> Result<(), Stop> {
        let (page, bytes) = match list {
            FreeList::Here { page, bytes } => (page, bytes),
            FreeList::Pages { first, bytes } => {
                let mut read = vec![0; bytes as usize];
                self.read_at(first, HEADER_BYTES as u64, &mut read)?;
                (first, read)
            }
        };
        let words = bytes.len() / size_of::<u64>();
        let count = if words > 0 { u64_at(&bytes, 0) } else { u64::MAX };
        // There may be room for more than there are.
        if count >= words as u64 {
            return Err(flaw(page, "a list of free pages is longer than its value"));
        }
        let mut last = u64::MAX;
        for index in 1..=count as usize {
            let number = u64_at(&bytes, index * size_of::<u64>());
            // LMDB looks for runs of pages in it as if it were sorted.
            if number >= last {
                return Err(flaw(page, "a list of free pages is not in order"));
            }
            last = number;
            self.take(number)?;
        }
        Ok(())
    }

    /// Notes that a page is in use; refuses one that is already, or that is none.
    fn take(&mut self, number: u64) -> Result<(), Stop> {
        self.used.take(number).map_err(|reason| flaw(number, reason))
    }

    fn read(&self, page: u64, bytes: &mut [u8]) -> Result<(), Stop> {
        self.read_at(page, 0, bytes)
    }

    /// Reads from so many bytes into a page on.
    fn read_at(&self, page: u64, within: u64, bytes: &mut [u8]) -> Result<(), Stop> {
        match self.pages.read(page * self.meta.page_bytes as u64 + within, bytes) {
            Ok(true) => Ok(()),
            Ok(false) => Err(flaw(page, "the file ends before it")),
            Err(error) => Err(Stop::Read(error)),
        }
    }
}

impl Order {
    fn le(self, one: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Bytes => one <= other,
            Self::Number => u64_at(one, 0) <= u64_at(other, 0),
        }
    }
}

/// Which pages something refers to: a bit for each.
struct Used {
    bits: Vec<u64>,
    last: u64,
}

impl Used {
    /// The meta pages are in use.
    fn new(last: u64) -> Self {
        let mut bits = vec![0; (last / 64 + 1) as usize];
        bits[0] = 0b11;
        Self { bits, last }
    }

    fn take(&mut self, page: u64) -> Result<(), &'static str> {
        if page > self.last {
            return Err("it is beyond the last page");
        }
        let (word, bit) = (&mut self.bits[(page / 64) as usize], 1 << (page % 64));
        if *word & bit != 0 {
            return Err("two things refer to it");
        }
        *word |= bit;
        Ok(())
    }

    /// The first page that nothing refers to.
    fn missing(&self) -> Option<u64> {
        let gap = self.bits.iter().position(|&word| word != u64::MAX)?;
        let page = gap as u64 * 64 + u64::from(self.bits[gap].trailing_ones());
        (page <= self.last).then_some(page)
    }
}

fn flaw(page: u64, reason: &'static str) -> Stop {
    Stop::Flaw(Flaw { page, reason })
}
