//! What happens when there are as many dead letters as may be.

/// What happens to a message that is to be given up on while there are as many dead letters as may be
/// ([`NodeConfig::dead_letters_max`](crate::NodeConfig::dead_letters_max)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It stays in its mailbox, set aside so that others pass it, and is tried again every `backoff.cap` until there is
    /// room. Nothing is lost; what waits there counts against the bounds of its mailbox and of the node.
    #[default]
    HoldBack,
    /// It becomes a dead letter, and the one that was given up on first is deleted, with an alarm, and counted in
    /// [`NodeStatistics::dead_letters_dropped`](crate::NodeStatistics::dead_letters_dropped).
    DropOldest,
}
