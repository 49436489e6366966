//! How large the commit of a turn is, what of it is large, and when a state comes near the limit. Pure.

use std::fmt;

/// The bytes that a turn submits, by what they are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CommitBytes {
    pub(crate) state: usize,
    pub(crate) messages: usize,
    pub(crate) timers: usize,
    pub(crate) reply: usize,
}

/// How near a state has come to the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nearness {
    Half,
    FourFifths,
}

impl CommitBytes {
    /// Whether it is the state that makes a commit of more than `limit` too large, so that most messages would fail
    /// that change it: there is hardly room beside it, which was warned of. Otherwise it is this message, which does
    /// more than others.
    pub(crate) fn is_because_of_state(&self, limit: usize) -> bool {
        nearness(self.state, limit) == Some(Nearness::FourFifths)
    }
}

impl fmt::Display for CommitBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { state, messages, timers, reply } = self;
        write!(
            f,
            "the messages that it sends have {messages} bytes, its timers {timers}, its reply {reply}, the state \
             {state}"
        )
    }
}

/// How near a state of this size is, if it is near.
pub(crate) fn nearness(bytes: usize, bytes_max: usize) -> Option<Nearness> {
    let (bytes, bytes_max) = (bytes as u128, bytes_max as u128);
    if bytes * 5 >= bytes_max * 4 {
        Some(Nearness::FourFifths)
    } else if bytes * 2 >= bytes_max {
        Some(Nearness::Half)
    } else {
        None
    }
}

impl fmt::Display for Nearness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Half => "half",
            Self::FourFifths => "four fifths",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_state_is_near_from_half_of_the_limit_on() {
        for (bytes, expected) in
            [(49, None), (50, Some(Nearness::Half)), (79, Some(Nearness::Half)), (80, Some(Nearness::FourFifths))]
        {
            assert_eq!(nearness(bytes, 100), expected);
        }
        assert_eq!(nearness(usize::MAX, usize::MAX), Some(Nearness::FourFifths));
    }

    proptest! {
        #[test]
        fn a_state_that_is_at_fault_was_warned_of(state: u32, messages: u32, timers: u32, reply: u32, limit: u32) {
            let [state, messages, timers, reply, limit] = [state, messages, timers, reply, limit].map(|n| n as usize);
            let commit = CommitBytes { state, messages, timers, reply };
            prop_assume!(state + messages + timers + reply > limit);
            let at_fault = commit.is_because_of_state(limit);
            prop_assert!(at_fault || state <= limit, "what never fits is at fault");
            prop_assert!(!at_fault || nearness(state, limit).is_some(), "it was warned of");
            prop_assert!(at_fault || messages + timers + reply > limit / 5, "the message does much");
        }
    }
}
