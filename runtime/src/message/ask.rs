//! Asks of turns, as errors name them.

use std::fmt;

/// An ask of a turn, as far as it is named in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordedAsk {
    /// The address that is asked.
    pub to: String,
    /// The name of the message.
    pub message: String,
    /// The version of its fields.
    pub version: u16,
}

impl fmt::Display for RecordedAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to {}", self.message, self.to)
    }
}

/// Another attempt of a turn has asked something else at the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AskDifference {
    /// Which ask of the turn it is, counted from 1.
    pub number: u32,
    /// What was asked before, and may have had its effect.
    pub before: RecordedAsk,
    /// What is asked now.
    pub now: RecordedAsk,
}

impl fmt::Display for AskDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, before, now } = self;
        write!(f, "ask {number} of this turn was {before} on an earlier attempt, and is {now} now")?;
        match (before.to == now.to && before.message == now.message, before.version == now.version) {
            (true, true) => f.write_str(" with another content"),
            (true, false) => write!(f, " in version {} instead of {}", now.version, before.version),
            (false, _) => Ok(()),
        }
    }
}
