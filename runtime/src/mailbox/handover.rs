//! The message that a handler hands over to a holder: until the handler has ended, its failure is that of the message.

use everpost_persistence::Position;

use super::Inner;
use crate::base::clock::Steady;

/// A message that is held while its handler still runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handover {
    pub(crate) position: Position,
    pub(crate) attempt: u32,
    /// The hold was dropped without a decision: what became of the message is what becomes of the handler.
    pub(crate) is_dropped: bool,
}

impl Inner {
    /// The message in flight is held from here on, and its handler still runs.
    pub(crate) fn hand_over(&mut self, position: Position, attempt: u32, deadline: Steady) {
        self.messages.rules.hold(deadline);
        self.handover = Some(Handover { position, attempt, is_dropped: false });
    }

    /// The handler has ended.
    pub(crate) fn take_handover(&mut self) -> Option<Handover> {
        self.handover.take()
    }

    /// The hold of this delivery was dropped without a decision. True when its handler still runs, whose end says more.
    pub(crate) fn is_dropped_in_handler(&mut self, position: Position, attempt: u32) -> bool {
        let handing = self.handover.as_mut().filter(|held| held.position == position && held.attempt == attempt);
        handing.map(|handover| handover.is_dropped = true).is_some()
    }

    /// Whether a handler has this message: in flight, or handed over.
    pub(crate) fn is_with_handler(&self, position: Position) -> bool {
        let is_handed_over = self.handover.is_some_and(|held| held.position == position);
        is_handed_over || self.is_in_flight(position)
    }

    /// Whether this message is in flight.
    pub(crate) fn is_in_flight(&self, position: Position) -> bool {
        self.messages.rules.in_flight().is_some_and(|(in_flight, _)| in_flight == position)
    }
}
