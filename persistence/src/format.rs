//! The versions of everything that `docs/FORMAT.md` describes. A store of an older one is brought up to the newest when
//! it is opened.

/// The version that this crate writes, as far as it goes by this crate; tables may have brought a newer one.
pub(crate) const FORMAT_VERSION: u32 = 6;
/// The one that brought the sums over the tables.
pub(crate) const FORMAT_SUMS: u32 = 5;
/// The oldest one that is read.
pub(crate) const FORMAT_VERSION_OLDEST: u32 = 1;
