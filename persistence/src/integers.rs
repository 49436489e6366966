//! Big-endian integers, taken off the front of bytes that were read from the disk.

use crate::ids::COUNT_END;

/// Takes a big-endian integer off the front; `None`, and nothing taken, if there are too few bytes.
pub(crate) fn take_u16(rest: &mut &[u8]) -> Option<u16> {
    take(rest).map(u16::from_be_bytes)
}

/// As [`take_u16`].
pub(crate) fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    take(rest).map(u32::from_be_bytes)
}

/// As [`take_u16`].
pub(crate) fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    take(rest).map(u64::from_be_bytes)
}

/// As [`take_u16`].
pub(crate) fn take_u128(rest: &mut &[u8]) -> Option<u128> {
    take(rest).map(u128::from_be_bytes)
}

/// A number that a store counts, as [`take_u64`]; `None` also for one that no store comes to.
pub(crate) fn take_count(rest: &mut &[u8]) -> Option<u64> {
    take_u64(rest).filter(|count| *count < COUNT_END)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}
