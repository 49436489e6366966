//! Folding: of many changes in order, only what still matters. Pure.
//!
//! Two rules. The last change of a key wins. And since positions are given out once, a record of a queue that was
//! made within what is folded cannot exist outside of it: once it is deleted, nothing of it is left, neither record nor
//! tombstone, nor its companion. `GroupFold` does this for the changes of one group before they are
//! written; `Folded` holds the outcome of many groups, which is what the tables lack.
//!
//! Deleting a record of a queue deletes its companion as well, here and wherever changes are applied.

mod born;
mod folded;
mod group;
mod known;
mod queued;
mod rest;

pub(crate) use self::folded::Folded;
pub(crate) use self::group::GroupFold;
pub(crate) use self::known::Known;

#[cfg(test)]
pub(crate) mod tests;
