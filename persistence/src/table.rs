//! The tables: their names, and the order in which they are gone through.

/// The longest encoded key: that of replies and requests.
pub(crate) const KEY_BYTES_MAX: usize = 34;

/// The tables that a caller can read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// [`Key::Inbox`](crate::Key::Inbox).
    Inbox,
    /// [`Key::Mailbox`](crate::Key::Mailbox).
    Mailboxes,
    /// [`Key::Attempts`](crate::Key::Attempts).
    Attempts,
    /// [`Key::DeadLetter`](crate::Key::DeadLetter).
    DeadLetters,
    /// [`Key::Reply`](crate::Key::Reply).
    Replies,
    /// [`Key::Outbox`](crate::Key::Outbox).
    Outbox,
    /// [`Key::Received`](crate::Key::Received).
    Received,
    /// [`Key::Acknowledged`](crate::Key::Acknowledged).
    Acknowledged,
    /// [`Key::Peer`](crate::Key::Peer).
    Peers,
    /// [`Key::Timer`](crate::Key::Timer).
    Timers,
    /// [`Key::Request`](crate::Key::Request).
    Requests,
    /// [`Key::Supervision`](crate::Key::Supervision).
    Supervision,
    /// [`Key::Note`](crate::Key::Note).
    Notes,
}

impl Table {
    /// All tables, in the order of their keys.
    pub const ALL: [Self; 13] = [
        Self::Inbox,
        Self::Mailboxes,
        Self::Attempts,
        Self::DeadLetters,
        Self::Replies,
        Self::Outbox,
        Self::Received,
        Self::Acknowledged,
        Self::Peers,
        Self::Timers,
        Self::Requests,
        Self::Supervision,
        Self::Notes,
    ];

    /// The name of the table in the store.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Mailboxes => "mailboxes",
            Self::Attempts => "attempts",
            Self::DeadLetters => "dead_letters",
            Self::Replies => "replies",
            Self::Outbox => "outbox",
            Self::Received => "received",
            Self::Acknowledged => "acknowledged",
            Self::Peers => "peers",
            Self::Timers => "timers",
            Self::Requests => "requests",
            Self::Supervision => "supervision",
            Self::Notes => "notes",
        }
    }

    /// The number of the table on disk: never reused, new ones are added.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Inbox => 1,
            Self::Mailboxes => 2,
            Self::Attempts => 3,
            Self::DeadLetters => 4,
            Self::Replies => 5,
            Self::Outbox => 6,
            Self::Received => 7,
            Self::Acknowledged => 8,
            Self::Peers => 9,
            Self::Timers => 10,
            Self::Requests => 11,
            Self::Supervision => 12,
            Self::Notes => 13,
        }
    }

    /// The table with this number.
    pub(crate) fn of_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.tag() == tag)
    }

    /// Whether its keys begin with a partition.
    pub(crate) const fn is_partitioned(self) -> bool {
        !matches!(self, Self::DeadLetters | Self::Peers | Self::Notes)
    }

    /// The length of each encoded key of the table.
    pub(crate) const fn key_bytes(self) -> usize {
        match self {
            Self::Inbox | Self::Attempts | Self::Outbox => 10,
            Self::Mailboxes | Self::Timers | Self::Supervision => 18,
            Self::DeadLetters => 8,
            Self::Replies | Self::Requests => KEY_BYTES_MAX,
            Self::Received | Self::Acknowledged => 26,
            Self::Peers => 16,
            Self::Notes => 4,
        }
    }

    /// The length of the shortest encoded key, over all tables.
    pub(crate) const KEY_BYTES_MIN: usize = {
        let mut min = KEY_BYTES_MAX;
        let mut at = 0;
        while at < Self::ALL.len() {
            let bytes = Self::ALL[at].key_bytes();
            min = if bytes < min { bytes } else { min };
            at += 1;
        }
        min
    };
}
