//! Priorities: which of the messages that wait in one mailbox is handled first.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How urgent a message is. Within one mailbox and one priority, messages are handled first in, first out; a higher
/// priority goes before a lower one, but never for ever: a lower one that was passed by 64 times in a row is next.
///
/// A message that failed and waits for its next attempt holds back its own priority and those below it, so that what is
/// more urgent goes on. Priorities order one mailbox only; actors run beside each other in any case.
///
/// ```no_run
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)] struct Stop;
/// # struct Engine;
/// # impl Actor for Engine {
/// #     const TYPE: &'static str = "engine"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Stop>(); }
/// # }
/// # impl Handler<Stop> for Engine {
/// #     async fn handle(&self, _: &mut Durable<i64>, _: Stop, _: &mut Turn<'_>) -> Result<(), Failure> { Ok(()) }
/// # }
/// # async fn f(node: Node) -> Result<(), SendError<Stop>> {
/// node.actor::<Engine>("main").send(Stop).priority(Priority::Urgent).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Priority {
    /// After everything else.
    Low,
    /// What a message has that does not say.
    #[default]
    Normal,
    /// Before what is normal.
    High,
    /// Before everything else.
    Urgent,
}

impl Priority {
    pub(crate) const COUNT: usize = 4;
    /// The most urgent first.
    pub(crate) const DESCENDING: [Self; Self::COUNT] = [Self::Urgent, Self::High, Self::Normal, Self::Low];

    /// The number in an envelope; never reused.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Normal => 0,
            Self::High => 1,
            Self::Urgent => 2,
            Self::Low => 3,
        }
    }

    /// What a number in an envelope means. One that this build does not know is normal: it orders, and loses nothing.
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::High,
            2 => Self::Urgent,
            3 => Self::Low,
            _ => Self::Normal,
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_priorities_are_part_of_the_format() {
        let codes = Priority::DESCENDING.map(Priority::code);
        assert_eq!(codes, [2, 1, 0, 3]);
        assert_eq!(codes.map(Priority::from_code), Priority::DESCENDING);
        assert_eq!(Priority::from_code(200), Priority::Normal);
        assert!(Priority::DESCENDING.is_sorted_by(|a, b| a > b));
    }
}
