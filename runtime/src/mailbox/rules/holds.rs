//! Messages that are held: delivered, and waited for without keeping others from being delivered.

use everpost_persistence::Position;

use super::Rules;
use super::unusual::Held;
use crate::base::clock::Steady;

impl<B: Clone> Rules<B> {
    /// The message in flight is held by someone from here on, and the next one may be delivered.
    pub(crate) fn hold(&mut self, deadline: Steady) {
        let (position, body) = self.take_out();
        let attempt = Some(self.attempt(position));
        self.unusual_mut().held.insert(position, Held { body, deadline, attempt });
    }

    /// The body of a message that is held by this delivery. None when it was taken back.
    pub(crate) fn held(&self, position: Position, attempt: u32) -> Option<&B> {
        let held = self.unusual.as_deref()?.held.get(&position).filter(|held| held.attempt == Some(attempt))?;
        Some(&held.body)
    }

    /// Takes a held message back, which the holder cannot decide on any more. It stays among the held ones until it is
    /// discarded or set aside. None when that was done before; without `attempt` whichever delivery holds it.
    pub(crate) fn take_back(&mut self, position: Position, attempt: Option<u32>) -> Option<B> {
        let held = self.unusual.as_deref_mut()?.held.get_mut(&position)?;
        let is_holder = attempt.is_none_or(|attempt| held.attempt == Some(attempt));
        held.attempt.take_if(|_| is_holder)?;
        Some(held.body.clone())
    }

    /// The holder goes on: it is waited for until then. False when it holds the message no more.
    pub(crate) fn extend_hold(&mut self, position: Position, attempt: u32, deadline: Steady) -> bool {
        let held = self.unusual.as_deref_mut().and_then(|unusual| unusual.held.get_mut(&position));
        match held.filter(|held| held.attempt == Some(attempt)) {
            Some(held) => {
                held.deadline = deadline;
                true
            }
            None => false,
        }
    }

    /// The bodies of all messages that are held.
    pub(crate) fn all_held(&self) -> impl Iterator<Item = &B> {
        self.unusual.as_deref().into_iter().flat_map(|unusual| unusual.held.values().map(|held| &held.body))
    }

    pub(crate) fn is_held(&self, position: Position) -> bool {
        self.unusual.as_deref().is_some_and(|unusual| unusual.held.contains_key(&position))
    }

    /// Whether as many messages are held as may be.
    pub(crate) fn holds_are_full(&self) -> bool {
        self.unusual.as_deref().is_some_and(|unusual| unusual.held.len() >= self.holds_max)
    }
}
