//! What this thread has in flight: while code of the user's runs, its message or its mailbox stands in the thread's
//! slot, which survives the process, and the thread is marked, so that handles refuse to be used inside a turn.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use everpost_persistence::{Before, InFlight, Mark, Position, Slot, Slots};

use crate::base::inside::{self, Inside};
use crate::base::recurring::Recurring;

thread_local! {
    /// This thread's slot in the file of each node that it has worked for, newest last.
    static SLOTS: RefCell<Vec<(u64, Option<Slot>)>> = const { RefCell::new(Vec::new()) };
}

/// A thread that has worked for more nodes gives back the oldest slot; it is claimed again when needed.
const NODES_OF_A_THREAD: usize = 8;

/// The slots of one node.
#[derive(Debug)]
pub(crate) struct Marks {
    slots: Slots,
    /// Tells the nodes of one process apart: the random part of the boot epoch.
    node: u64,
}

impl Marks {
    pub(crate) fn new(slots: Slots, node: u64) -> Self {
        Self { slots, node }
    }

    /// The slots are another run's from here on, whatever still runs of this one.
    pub(crate) fn leave(&self) {
        self.slots.leave();
    }

    /// What threads have in flight now.
    pub(crate) fn now(&self) -> Vec<InFlight> {
        self.slots.in_flight()
    }

    /// Runs `handler` with `position` in flight at every poll and when it is dropped, and only then: between polls the
    /// thread works for others. It is left where it is pinned, and taken out of there at its end.
    pub(crate) async fn hold<F: Future>(&self, position: Position, handler: Pin<&mut Option<F>>) -> F::Output {
        let mut held = Held { marks: self, position, handler };
        std::future::poll_fn(|context| held.poll(context)).await
    }

    /// Runs `code` with this in flight.
    pub(crate) fn with<T>(&self, mark: Mark, code: impl FnOnce() -> T) -> T {
        let _marked = Marked::set(self, mark);
        code()
    }
}

/// A handler that runs, or was cut off.
struct Held<'a, F> {
    marks: &'a Marks,
    position: Position,
    handler: Pin<&'a mut Option<F>>,
}

impl<F: Future> Held<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let _marked = Marked::set(self.marks, Mark::Record(self.position));
        let handler = self.handler.as_mut().as_pin_mut().expect("it is there until it has ended");
        let polled = handler.poll(context);
        if polled.is_ready() {
            self.handler.set(None);
        }
        polled
    }
}

impl<F> Drop for Held<'_, F> {
    fn drop(&mut self) {
        if self.handler.is_some() {
            // What it has on its stack ends here.
            let _marked = Marked::set(self.marks, Mark::Record(self.position));
            self.handler.set(None);
        }
    }
}

/// Puts back the marks of before when it is dropped, also when the code panics; not when the process dies.
struct Marked {
    node: u64,
    before: Option<Before>,
    _inside: inside::Mark,
}

impl Marked {
    fn set(marks: &Marks, mark: Mark) -> Self {
        let inside = inside::Mark::set(Inside::Turn);
        // A thread that is ending has no slot any more.
        let slot = SLOTS.try_with(|own| slot_of(&mut own.borrow_mut(), marks).map(|slot| slot.set(mark)));
        Self { node: marks.node, before: slot.unwrap_or_default(), _inside: inside }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        let Some(before) = self.before else { return };
        let _ = SLOTS.try_with(|own| {
            if let Some((_, Some(slot))) = own.borrow_mut().iter_mut().find(|(node, _)| *node == self.node) {
                slot.put_back(before);
            }
        });
    }
}

/// Threads come and go.
static UNWATCHED: Recurring = Recurring::new();

/// The thread's slot for this node; claimed on first use. None when all are taken: such a thread works unwatched.
fn slot_of<'a>(own: &'a mut Vec<(u64, Option<Slot>)>, marks: &Marks) -> Option<&'a mut Slot> {
    let index = match own.iter().position(|(node, _)| *node == marks.node) {
        Some(index) => index,
        None => {
            if own.len() == NODES_OF_A_THREAD {
                own.remove(0);
            }
            let slot = marks.slots.claim();
            if slot.is_none()
                && let Some(times) = UNWATCHED.met("too many threads")
            {
                tracing::warn!(
                    times,
                    event = "too many threads",
                    "more threads than slots: a message that kills the process from this thread is not found"
                );
            }
            own.push((marks.node, slot));
            own.len() - 1
        }
    };
    own[index].1.as_mut()
}
