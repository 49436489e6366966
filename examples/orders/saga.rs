//! The saga of one order: what follows from what has happened. Without clock, store and messages, so that it can be
//! read, and tested, by itself.
//!
//! ```text
//! new -> reserving -> charging -> settled: confirmed
//!            |            |
//!            |            +-> declined: give the pieces back -> settled: cancelled
//!            |            +-> too late: give the pieces back, and the money if it is taken yet -> settled: cancelled
//!            +-> out of stock, or too late -> settled: cancelled
//! ```
//!
//! An order that is too late goes on to its end: the provider may have taken the money, and nobody knows before it says
//! so.

use serde::{Deserialize, Serialize};

/// How far an order is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Saga {
    pub(crate) step: Step,
    /// Why it will not be confirmed.
    pub(crate) cancelled: Option<Reason>,
}

/// What it waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// To be placed.
    #[default]
    New,
    /// The answer of the stock.
    Reserving,
    /// The answer of the payment.
    Charging,
    /// The end of a refund.
    Refunding,
    /// Nothing more.
    Settled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    OutOfStock,
    Declined,
    TooLate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Placed,
    Reserved {
        granted: bool,
    },
    Charged {
        paid: bool,
    },
    Refunded,
    /// It has taken too long.
    Deadline,
}

/// What is to be done, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Reserve,
    Charge,
    Sell,
    /// The compensation of `Reserve`.
    Release,
    /// The compensation of `Charge`.
    Refund,
    StartClock,
    StopClock,
}

impl Saga {
    /// What follows. An event that does not belong to the step follows from nothing that was done, and does nothing: a
    /// deadline that fired just before it was cancelled, or an order that is placed again.
    pub(crate) fn on(&mut self, event: Event) -> &'static [Action] {
        let (step, cancelled, actions): (_, _, &'static [Action]) = match (self.step, event, self.cancelled) {
            (Step::New, Event::Placed, _) => (Step::Reserving, None, &[Action::Reserve, Action::StartClock]),
            (Step::Reserving, Event::Reserved { granted: true }, None) => (Step::Charging, None, &[Action::Charge]),
            (Step::Reserving, Event::Reserved { granted: true }, late) => (Step::Settled, late, &[Action::Release]),
            (Step::Reserving, Event::Reserved { granted: false }, late) => {
                (Step::Settled, late.or(Some(Reason::OutOfStock)), &[Action::StopClock])
            }
            (Step::Charging, Event::Charged { paid: true }, None) => {
                (Step::Settled, None, &[Action::Sell, Action::StopClock])
            }
            (Step::Charging, Event::Charged { paid: true }, late) => (Step::Refunding, late, &[Action::Refund]),
            (Step::Charging, Event::Charged { paid: false }, None) => {
                (Step::Settled, Some(Reason::Declined), &[Action::Release, Action::StopClock])
            }
            (Step::Charging, Event::Charged { paid: false }, late) => (Step::Settled, late, &[]),
            (Step::Refunding, Event::Refunded, late) => (Step::Settled, late, &[]),
            (Step::Reserving, Event::Deadline, None) => (Step::Reserving, Some(Reason::TooLate), &[]),
            (Step::Charging, Event::Deadline, None) => (Step::Charging, Some(Reason::TooLate), &[Action::Release]),
            (step, _, cancelled) => (step, cancelled, &[]),
        };
        (self.step, self.cancelled) = (step, cancelled);
        actions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows every way through the saga, with the deadline at every moment or never, and hands each end to `judge`
    /// with what was done on the way.
    fn every_way(saga: Saga, done: &[Action], clock_runs: bool, judge: &mut impl FnMut(Saga, &[Action])) {
        let answers: &[Event] = match saga.step {
            Step::New => &[Event::Placed],
            Step::Reserving => &[Event::Reserved { granted: true }, Event::Reserved { granted: false }],
            Step::Charging => &[Event::Charged { paid: true }, Event::Charged { paid: false }],
            Step::Refunding => &[Event::Refunded],
            Step::Settled => &[],
        };
        if answers.is_empty() {
            judge(saga, done);
        }
        let deadline = clock_runs.then_some(Event::Deadline);
        for event in answers.iter().copied().chain(deadline) {
            let mut next = saga;
            let mut done = done.to_vec();
            done.extend(next.on(event));
            let starts = done.contains(&Action::StartClock) && !done.contains(&Action::StopClock);
            let clock_runs = starts && event != Event::Deadline && (clock_runs || event == Event::Placed);
            every_way(next, &done, clock_runs, judge);
        }
    }

    #[test]
    fn on_every_way_money_and_pieces_go_together() {
        let mut ends = Vec::new();
        every_way(Saga::default(), &[], false, &mut |saga, done| {
            let count = |action| done.iter().filter(|other| **other == action).count();
            assert!(done.iter().all(|action| count(*action) == 1), "{saga:?} has done something twice: {done:?}");
            let is_confirmed = saga.cancelled.is_none();
            assert_eq!(count(Action::Sell), usize::from(is_confirmed), "{saga:?}: {done:?}");
            if is_confirmed {
                assert_eq!((count(Action::Charge), count(Action::Refund), count(Action::Release)), (1, 0, 0));
            }
            assert!(count(Action::Release) + count(Action::Sell) <= count(Action::Reserve));
            assert!(count(Action::Refund) <= count(Action::Charge));
            ends.push(saga.cancelled);
        });
        for end in [None, Some(Reason::OutOfStock), Some(Reason::Declined), Some(Reason::TooLate)] {
            assert!(ends.contains(&end), "{end:?} is not reached");
        }
    }

    #[test]
    fn what_comes_too_late_or_again_does_nothing() {
        let mut saga = Saga { step: Step::Settled, cancelled: None };
        for event in [Event::Placed, Event::Deadline, Event::Charged { paid: true }, Event::Refunded] {
            assert_eq!(saga.on(event), []);
            assert_eq!(saga, Saga { step: Step::Settled, cancelled: None });
        }
    }
}
