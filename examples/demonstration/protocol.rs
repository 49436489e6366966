//! What parent and child say to each other: one JSON value a line, over the child's standard input and output. The end
//! of the input tells the child that its parent is done, or dead.

use serde::{Deserialize, Serialize};

use crate::bank::{AccountBook, TellerBook};
use crate::transfer::Transfer;

/// How many transfers may be sent and not acknowledged. Also the room of every queue between the two processes, so that
/// none of them ever holds back a thread of the parent.
pub(crate) const WINDOW: u64 = 4096;

/// From the parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Send this to the teller.
    Transfer {
        transfer: Transfer,
        /// It may have been sent before.
        again: bool,
    },
    /// Say when everything is handled.
    Drain,
    /// Show the books of this many accounts.
    Show { accounts: u32 },
    /// Stop the node and end.
    Stop,
}

/// From the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The node runs; so many messages were waiting in its store.
    Ready { replayed: u64 },
    /// The node does not run.
    NotStarted { reason: String },
    /// All transfers up to this one are durable.
    Accepted { number: u64 },
    /// Everything is handled.
    Drained,
    /// The books as they are stored.
    Books(Books),
}

/// All that the judge needs from the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) teller: TellerBook,
    pub(crate) accounts: Vec<AccountBook>,
    /// Messages that were given up on.
    pub(crate) dead_letters: u64,
}

impl Books {
    /// The sum of all balances, in cents.
    pub(crate) fn balance(&self) -> i64 {
        self.accounts.iter().map(|account| account.cents).sum()
    }

    /// Turns that have left their mark in the books.
    pub(crate) fn handled(&self) -> u64 {
        let turns = |account: &AccountBook| account.debits.count + account.credits.count;
        self.teller.handled + self.accounts.iter().map(turns).sum::<u64>()
    }
}
