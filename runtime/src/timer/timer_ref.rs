//! How people name a timer.

use crate::timer::TimerId;

/// Which timer is meant: the one of a name, or that of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerRef<'a> {
    /// The name that it was set under, on this node.
    Name(&'a str),
    /// What setting it has returned.
    Id(TimerId),
}

impl<'a> From<&'a str> for TimerRef<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a String> for TimerRef<'a> {
    fn from(name: &'a String) -> Self {
        Self::Name(name)
    }
}

impl From<TimerId> for TimerRef<'_> {
    fn from(timer: TimerId) -> Self {
        Self::Id(timer)
    }
}
