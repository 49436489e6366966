//! What is measured at a point: names and units.

use serde::{Deserialize, Serialize};

/// One figure of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Quantity {
    /// Time on the processors for each message, of all threads, until the tables have it.
    Processor,
    /// Messages a second, from the first send until the last is handled.
    Rate,
    /// The most memory that the measured process had, files that it has mapped included.
    PeakRss,
    /// An ask a few hundred times a second, of a node that has nothing else to do: median.
    IdleP50,
    /// The slowest hundredth of them.
    IdleP99,
    /// The same ask while others are under a paced load: median.
    P50,
    /// The slowest hundredth of them.
    P99,
    /// `P99` in times of `IdleP99`.
    P99ToIdle,
    /// The same ask while others are under as much load as the node takes: median.
    FullP50,
    /// The slowest hundredth of them.
    FullP99,
    /// `FullP99` in times of `IdleP99`.
    FullP99ToIdle,
    /// As `Processor`, of asks under a key that is known.
    KnownProcessor,
    /// As `Rate`, of asks under a key that is known.
    KnownRate,
    /// `KnownProcessor` in times of `Processor`.
    KnownToNew,
    /// How long a start takes.
    Started,
    /// What a mailbox takes of the memory of a node that was started and has handled nothing yet.
    MailboxMemory,
    /// From the beginning of a start until everything that it found is handled.
    Handled,
    /// What the disk does without Everpost, right before the point.
    Syncs,
}

impl Quantity {
    /// The last part of its figure's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Rate => "rate",
            Self::PeakRss => "peak_rss",
            Self::IdleP50 => "idle_p50",
            Self::IdleP99 => "idle_p99",
            Self::P50 => "bystander_p50",
            Self::P99 => "bystander_p99",
            Self::P99ToIdle => "bystander_p99_to_idle",
            Self::FullP50 => "bystander_full_p50",
            Self::FullP99 => "bystander_full_p99",
            Self::FullP99ToIdle => "bystander_full_p99_to_idle",
            Self::KnownProcessor => "known_processor",
            Self::KnownRate => "known_rate",
            Self::KnownToNew => "known_to_new",
            Self::Started => "started",
            Self::MailboxMemory => "memory",
            Self::Handled => "handled",
            // As the baseline of the disk calls it.
            Self::Syncs => "fdatasync_before",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Processor | Self::KnownProcessor => "us/message",
            Self::Rate | Self::KnownRate => "messages/s",
            Self::PeakRss => "MiB",
            Self::IdleP50 | Self::IdleP99 | Self::P50 | Self::P99 | Self::FullP50 | Self::FullP99 => "us",
            Self::P99ToIdle | Self::FullP99ToIdle | Self::KnownToNew => "times",
            Self::Started | Self::Handled => "s",
            Self::MailboxMemory => "bytes/mailbox",
            Self::Syncs => "syncs/s",
        }
    }

    /// The head of its column.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Processor => "us/message",
            Self::Rate => "messages/s",
            Self::PeakRss => "peak MiB",
            Self::IdleP50 => "idle p50 us",
            Self::IdleP99 => "idle p99 us",
            Self::P50 => "p50 us",
            Self::P99 => "p99 us",
            Self::P99ToIdle => "p99/idle",
            Self::FullP50 => "full p50 us",
            Self::FullP99 => "full p99 us",
            Self::FullP99ToIdle => "full p99/idle",
            Self::KnownProcessor => "known us/message",
            Self::KnownRate => "known/s",
            Self::KnownToNew => "known/new",
            Self::Started => "started s",
            Self::MailboxMemory => "bytes/mailbox",
            Self::Handled => "handled s",
            Self::Syncs => "syncs/s",
        }
    }

    /// Whether it is compared with the first of its series: what is a ratio already is not, nor what there is to
    /// compare with.
    pub(super) fn is_compared(self) -> bool {
        let ratios = [Self::P99ToIdle, Self::FullP99ToIdle, Self::KnownToNew];
        let baselines = [Self::IdleP50, Self::IdleP99, Self::Syncs];
        !ratios.contains(&self) && !baselines.contains(&self)
    }
}
