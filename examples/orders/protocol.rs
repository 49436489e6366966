//! What the program and the provider say to each other: one JSON value a line, one request a connection.

use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Call(Call),
    /// How much money was taken and not given back?
    Balance,
}

/// Takes money for an order, or gives it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The same key is the same call, however often it comes.
    pub(crate) key: String,
    pub(crate) order: u64,
    pub(crate) entry: Entry,
    pub(crate) cents: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Charge,
    Refund,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    Decided { accepted: bool },
    Balance { cents: u64 },
}
