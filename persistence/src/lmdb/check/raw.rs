//! The header that every page has, and the numbers on it.

/// Before everything else on a page.
pub(super) const HEADER_BYTES: usize = 16;

pub(super) const BRANCH: u16 = 0x01;
pub(super) const LEAF: u16 = 0x02;
pub(super) const OVERFLOW: u16 = 0x04;
pub(super) const META: u16 = 0x08;

/// What a page says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) page: u64,
    pub(super) flags: u16,
    pub(super) lower: u16,
    pub(super) upper: u16,
    /// How many pages an overflow page begins; it stands where others have their bounds.
    pub(super) pages: u32,
}

impl Header {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            page: u64_at(bytes, 0),
            flags: u16_at(bytes, 10),
            lower: u16_at(bytes, 12),
            upper: u16_at(bytes, 14),
            pages: u32_at(bytes, 12),
        }
    }
}

/// Numbers are as the machine has them: a store is read where it was written, or on a machine like it.
macro_rules! number_at {
    ($name:ident, $number:ty) => {
        #[expect(clippy::host_endian_bytes, reason = "LMDB writes them as the machine has them")]
        pub(super) fn $name(bytes: &[u8], at: usize) -> $number {
            let bytes = bytes[at..].first_chunk();
            <$number>::from_ne_bytes(*bytes.expect("lengths are looked at before"))
        }
    };
}

number_at!(u16_at, u16);
number_at!(u32_at, u32);
number_at!(u64_at, u64);
