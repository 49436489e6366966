//! Why there is nothing to judge.

use std::fmt;

/// The demonstration could not be carried out.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The folder or the machine does not allow it: the caller can change that.
    Surroundings(String),
    /// The child did something that it must never do.
    Child(String),
    /// The user or the system asked to stop.
    Interrupted,
}

impl Problem {
    pub(crate) fn surroundings(what: &str, error: impl fmt::Display) -> Self {
        Self::Surroundings(format!("{what}: {error}"))
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Child(_) => 1,
            Self::Surroundings(_) => 2,
            Self::Interrupted => 130,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Surroundings(message) => f.write_str(&message.replace('\n', " ")),
            Self::Child(message) => f.write_str(message.trim_end()),
            Self::Interrupted => f.write_str("interrupted; nothing was judged"),
        }
    }
}
