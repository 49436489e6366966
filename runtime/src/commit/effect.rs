//! What a commit can do: a closed list. Each kind says for itself how much room it needs, what it locks, when it does
//! not hold any more, what it tells the store and what it changes in memory; a new feature is a new variant and a file
//! of its own.

mod arrival;
pub(crate) mod ask;
mod dead_letter;
mod mailbox;
mod outbox;
mod record;
mod request;
mod send;
mod state;
mod supervision;
mod timer;

use everpost_persistence::Stage;

pub(crate) use self::arrival::{Arrivals, Arriving};
pub(crate) use self::ask::Over;
pub(super) use self::dead_letter::AddedDeadLetter;
pub(crate) use self::dead_letter::{Added, Removed, Replayed};
pub(crate) use self::mailbox::{Acknowledged, Attempts, Done, Expired, Left, Postponed};
pub(crate) use self::outbox::{Delivered, Withdrawn};
pub(crate) use self::record::Record;
pub(crate) use self::request::{Answered, RequestsExpired};
pub(crate) use self::send::Send;
pub(crate) use self::state::StateChange;
pub(crate) use self::supervision::{Supervision, SupervisionChange, TypePaused};
pub(crate) use self::timer::{Fired, Firing, Timers};
use super::locks::Wanted;
use super::size::Size;
use super::transaction::{Refused, Step};

/// What an effect does in each phase of a commit. What it does not say it does not do.
trait Phases<'a>: Sized {
    /// Adds what it puts and removes.
    fn size(&self, _: &mut Size) {}

    /// Says which mailboxes and peers it touches.
    fn locks(&self, _: &mut Wanted<'a>) {}

    /// Whether it still holds. Nothing is changed yet, since another effect may not.
    fn check(&mut self, _: &mut Step<'_, 'a>) -> Result<(), Refused> {
        Ok(())
    }

    /// Takes out of memory what leaves, and decides what the store is told.
    fn take(&mut self, _: &mut Step<'_, 'a>) {}

    /// Tells the store. Nothing is looked up here: the store's queue is locked.
    fn stage(&mut self, _: &mut Stage<'_>) {}

    /// Puts into memory what has come in, and says what leaves when it is durable.
    fn apply(self, _: &mut Step<'_, 'a>) {}
}

impl<'a, E: Phases<'a>> Phases<'a> for Box<E> {
    fn size(&self, size: &mut Size) {
        (**self).size(size);
    }

    fn locks(&self, wanted: &mut Wanted<'a>) {
        (**self).locks(wanted);
    }

    fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
        (**self).check(step)
    }

    fn take(&mut self, step: &mut Step<'_, 'a>) {
        (**self).take(step);
    }

    fn stage(&mut self, stage: &mut Stage<'_>) {
        (**self).stage(stage);
    }

    fn apply(self, step: &mut Step<'_, 'a>) {
        (*self).apply(step);
    }
}

/// Makes the list, and hands each phase to the variant. What most turns do lies in it, and the rest in boxes.
macro_rules! effects {
    (
        often { $($(#[$often_doc:meta])* $often:ident($often_of:ty)),+ $(,)? }
        seldom { $($(#[$doc:meta])* $name:ident($of:ty)),+ $(,)? }
    ) => {
        /// One thing that a commit does.
        pub(crate) enum Effect<'a> {
            $($(#[$often_doc])* $often($often_of),)+
            $($(#[$doc])* $name(Box<$of>),)+
        }

        $(impl<'a> From<$often_of> for Effect<'a> {
            fn from(effect: $often_of) -> Self {
                Self::$often(effect)
            }
        })+

        $(impl<'a> From<$of> for Effect<'a> {
            fn from(effect: $of) -> Self {
                Self::$name(Box::new(effect))
            }
        })+

        impl<'a> Effect<'a> {
            #[inline]
            pub(super) fn size(&self, size: &mut Size) {
                match self {
                    $(Self::$often(effect) => effect.size(size),)+
                    $(Self::$name(effect) => effect.size(size),)+
                }
            }

            #[inline]
            pub(super) fn locks(&self, wanted: &mut Wanted<'a>) {
                match self {
                    $(Self::$often(effect) => effect.locks(wanted),)+
                    $(Self::$name(effect) => effect.locks(wanted),)+
                }
            }

            #[inline]
            pub(super) fn check(&mut self, step: &mut Step<'_, 'a>) -> Result<(), Refused> {
                match self {
                    $(Self::$often(effect) => effect.check(step),)+
                    $(Self::$name(effect) => effect.check(step),)+
                }
            }

            #[inline]
            pub(super) fn take(&mut self, step: &mut Step<'_, 'a>) {
                match self {
                    $(Self::$often(effect) => effect.take(step),)+
                    $(Self::$name(effect) => effect.take(step),)+
                }
            }

            #[inline]
            pub(super) fn stage(&mut self, stage: &mut Stage<'_>) {
                match self {
                    $(Self::$often(effect) => effect.stage(stage),)+
                    $(Self::$name(effect) => effect.stage(stage),)+
                }
            }

            #[inline]
            pub(super) fn apply(self, step: &mut Step<'_, 'a>) {
                match self {
                    $(Self::$often(effect) => effect.apply(step),)+
                    $(Self::$name(effect) => effect.apply(step),)+
                }
            }
        }
    };
}

effects! {
    often {
        /// A message was handled, and leaves its mailbox.
        Done(Done<'a>),
        /// The state of an actor.
        State(StateChange<'a>),
        /// A message goes into a mailbox, or into the outbox.
        Send(Send<'a>),
    }
    seldom {
        /// A held message was acknowledged, and leaves its mailbox.
        Acknowledged(Acknowledged<'a>),
        /// A message was given up on, and leaves its mailbox.
        Left(Left<'a>),
        /// A message waits for its next attempt.
        Postponed(Postponed<'a>),
        /// What is known of the attempts at a message.
        Attempts(Attempts<'a>),
        /// Messages have expired, and leave their mailbox.
        Expired(Expired<'a>),
        /// Timers are set and cancelled.
        Timers(Timers),
        /// Timers have fired.
        Fired(Fired<'a>),
        /// What came of a message is kept, for whoever asks for it again.
        Answered(Answered),
        /// Idempotency keys are forgotten.
        RequestsExpired(RequestsExpired),
        /// What turns have asked goes, since they are over.
        Over(Over<'a>),
        /// A message becomes a dead letter.
        Added(Added<'a>),
        /// Dead letters are deleted.
        Removed(Removed),
        /// A dead letter is sent again.
        Replayed(Replayed<'a>),
        /// Messages of another node have arrived.
        Arrivals(Arrivals<'a>),
        /// Messages in the outbox have arrived where they were sent.
        Delivered(Delivered<'a>),
        /// Messages have expired in the outbox.
        Withdrawn(Withdrawn<'a>),
        /// How a supervised actor fares.
        Supervision(Supervision<'a>),
        /// An actor type is paused or resumed.
        TypePaused(TypePaused<'a>),
        /// A record that nothing in memory goes with: of a group, of a peer, of the node.
        Record(Record),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They wait in the futures of turns and sends, and are moved as values.
    #[test]
    fn effects_are_small() {
        assert!(size_of::<Effect<'_>>() <= 96, "{}", size_of::<Effect<'_>>());
    }
}
