//! The queries that wait for the state of one actor: volatile, answered in between the messages.

use std::collections::VecDeque;
use std::sync::Arc;

use super::query::Open;
use super::rules::alternation::Alternation;
use super::{Inner, Mailbox};

#[derive(Default)]
pub(super) struct Queries {
    waiting: VecDeque<Box<dyn Open>>,
    /// Whether one of them is next, or a message.
    alternation: Alternation,
}

impl Queries {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a query goes before a message that could be handled.
    pub(super) fn are_first(&self) -> bool {
        self.alternation.is_for_queries()
    }

    /// The next one, to be answered.
    pub(super) fn next(&mut self) -> Option<Box<dyn Open>> {
        let query = self.waiting.pop_front()?;
        self.alternation.answered();
        Some(query)
    }

    /// A message was taken.
    pub(super) fn message_delivered(&mut self) {
        self.alternation.delivered();
    }
}

impl Inner {
    /// A query to the state waits.
    pub(crate) fn add_query(&mut self, query: Box<dyn Open>, mailbox: &Arc<Mailbox>) {
        self.queries.waiting.push_back(query);
        self.ring(mailbox);
    }

    /// Nobody is there to answer the queries that wait. To be lost ([`super::query::lose`]) when the mailbox is
    /// not locked.
    #[must_use]
    pub(crate) fn take_queries(&mut self) -> VecDeque<Box<dyn Open>> {
        std::mem::take(&mut self.queries.waiting)
    }
}
