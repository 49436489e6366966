//! What is restarted when a child ends, as OTP has it.

/// Whose end brings down whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Nobody else.
    OneForOne,
    /// Everybody.
    OneForAll,
    /// Those that were started after it.
    RestForOne,
}

/// Whether a child is started again when it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Always: it is not supposed to end.
    Permanent,
    /// When it has failed: an error, a panic, or not ready in time. One that was done stays so, unless its group starts
    /// it again together with others.
    Transient,
    /// Never, not even together with others.
    Temporary,
}
