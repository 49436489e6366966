//! The questions that wait for the state of one actor: volatile, answered in between the messages.

use std::collections::VecDeque;
use std::sync::Arc;

use super::question::Open;
use super::rules::alternation::Alternation;
use super::{Inner, Mailbox};

#[derive(Default)]
pub(super) struct Questions {
    waiting: VecDeque<Box<dyn Open>>,
    /// Whether one of them is next, or a message.
    alternation: Alternation,
}

impl Questions {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a question goes before a message that could be handled.
    pub(super) fn are_first(&self) -> bool {
        self.alternation.is_for_questions()
    }

    /// The next one, to be answered.
    pub(super) fn next(&mut self) -> Option<Box<dyn Open>> {
        let question = self.waiting.pop_front()?;
        self.alternation.answered();
        Some(question)
    }

    /// A message was taken.
    pub(super) fn message_delivered(&mut self) {
        self.alternation.delivered();
    }
}

impl Inner {
    /// A question to the state waits.
    pub(crate) fn ask(&mut self, question: Box<dyn Open>, mailbox: &Arc<Mailbox>) {
        self.questions.waiting.push_back(question);
        self.ring(mailbox);
    }

    /// Nobody is there to answer the questions that wait. To be lost ([`super::question::lose`]) when the mailbox is
    /// not locked.
    #[must_use]
    pub(crate) fn take_questions(&mut self) -> VecDeque<Box<dyn Open>> {
        std::mem::take(&mut self.questions.waiting)
    }
}
