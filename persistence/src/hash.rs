//! Hashes of what is stored as a whole. They tell apart what damage and mistakes leave, not what somebody makes on
//! purpose.

/// Every bit of the result depends on every bit of `number`: the finalizer of `SplitMix64` (Steele, Lea, Flood 2014).
pub(crate) const fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// A hash of every group up to one: logs that have the same there have the same history. That of none is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chain(pub u64);

impl Chain {
    /// Together with the next chunk, of which this is the checksum.
    pub(crate) const fn with(self, checksum: u32) -> Self {
        Self(mixed(self.0 ^ checksum as u64))
    }
}
