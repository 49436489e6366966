//! What grows, from where to where, and what is measured at each point.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// One thing that grows while all others are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(super) enum Series {
    /// Actors, each message to another one.
    Actors,
    /// Messages that wait for actors that are paused.
    Backlog,
    /// The bytes of a message.
    Message,
    /// The bytes of a state, written by each turn.
    State,
    /// The sends of a turn.
    FanOut,
    /// Timers that wait.
    Timers,
    /// Idempotency keys that are kept.
    Keys,
    /// Mailboxes with messages that a start finds.
    Start,
}

impl Series {
    pub(super) fn name(self) -> String {
        self.to_possible_value().expect("no series is skipped").get_name().to_owned()
    }

    /// For the head of its table: what the amounts are.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Actors => "actors",
            Self::Backlog => "messages that wait, paused",
            Self::Message => "bytes of a message",
            Self::State => "bytes of a state",
            Self::FanOut => "sends of a turn",
            Self::Timers => "timers that wait",
            Self::Keys => "idempotency keys kept",
            Self::Start => "mailboxes at a start",
        }
    }

    /// The amounts up to `most`. The first is always there, since the others are compared with it.
    pub(super) fn amounts(self, most: u64) -> Vec<u64> {
        let all: &[u64] = match self {
            Self::Actors => &[1, 10, 100, 1_000, 10_000, 100_000, 1_000_000],
            Self::Backlog => &[0, 1_000, 10_000, 100_000, 1_000_000, 5_000_000],
            Self::Message => &[16, 128, 1 << 10, 16 << 10, 128 << 10, 1 << 20],
            Self::State => &[8, 128, 1 << 10, 16 << 10, 128 << 10, 1 << 20],
            Self::FanOut => &[1, 10, 100, 1_000],
            Self::Timers | Self::Keys => &[0, 1_000, 10_000, 100_000, 1_000_000],
            Self::Start => &[1_000, 10_000, 100_000, 1_000_000],
        };
        let (first, others) = all.split_first().expect("no series is empty");
        let others = others.iter().copied().take_while(|amount| *amount <= most);
        std::iter::once(*first).chain(others).collect()
    }

    /// How many messages a start finds, whatever the number of their mailboxes: one in each where these are most.
    pub(super) fn messages_at_start(most: u64) -> u64 {
        *Self::Start.amounts(most).last().expect("no series is empty")
    }

    /// Whether a process of its own makes the store that is measured: so that everything in it is cold, and the memory
    /// is that of the measured process alone.
    pub(super) fn is_prepared(self) -> bool {
        matches!(self, Self::Actors | Self::Timers | Self::Keys | Self::Start)
    }

    /// What each of its points measures: a table for each list, a column for each quantity.
    pub(super) fn tables(self) -> &'static [&'static [Quantity]] {
        use Quantity::*;
        match self {
            Self::Actors => &[
                &[Processor, Rate, PeakRss, Syncs],
                &[IdleP50, IdleP99, P50, P99, P99ToIdle, FullP50, FullP99, FullP99ToIdle],
            ],
            Self::Backlog | Self::Message | Self::State | Self::FanOut | Self::Timers => {
                &[&[Processor, Rate, PeakRss, Syncs]]
            }
            Self::Keys => &[&[Processor, Rate, KnownProcessor, KnownRate, KnownToNew, PeakRss, Syncs]],
            Self::Start => &[&[Started, MailboxMemory, Handled, Processor, Rate, PeakRss, Syncs]],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_end_where_they_are_told_to_and_have_a_first() {
        assert_eq!(Series::Actors.amounts(1_000), [1, 10, 100, 1_000]);
        assert_eq!(Series::Backlog.amounts(u64::MAX), [0, 1_000, 10_000, 100_000, 1_000_000, 5_000_000]);
        assert_eq!(Series::Message.amounts(1), [16]);
        assert!(Series::value_variants().iter().all(|series| series.amounts(u64::MAX).is_sorted()));
    }

    #[test]
    fn a_start_finds_as_many_messages_in_each_mailbox() {
        assert_eq!([1, 35_000, u64::MAX].map(Series::messages_at_start), [1_000, 10_000, 1_000_000]);
        let amounts = Series::Start.amounts(u64::MAX);
        assert!(amounts.iter().all(|amount| Series::messages_at_start(u64::MAX).is_multiple_of(*amount)));
    }
}
