//! What this thread has in hand: while a handler is polled, its message stands in the thread's slot, which survives the
//! process, and the thread is marked, so that handles refuse to be used inside a turn.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;

use everpost_persistence::{Position, Slot, Slots};

use crate::inside::{Inside, Mark};

thread_local! {
    /// This thread's slot in the file of each node that it has worked for, newest last.
    static SLOTS: RefCell<Vec<(u64, Option<Slot>)>> = const { RefCell::new(Vec::new()) };
}

/// A thread that has worked for more nodes gives back the oldest slot; it is claimed again when needed.
const NODES_OF_A_THREAD: usize = 8;

/// The slots of one node.
#[derive(Debug)]
pub(crate) struct Hands {
    slots: Slots,
    /// Tells the nodes of one process apart: the random part of the boot epoch.
    node: u64,
}

impl Hands {
    pub(crate) fn new(slots: Slots, node: u64) -> Self {
        Self { slots, node }
    }

    /// Runs `handler` with `position` in hand at every poll, and only then: between polls the thread works for others.
    pub(crate) async fn hold<F: Future>(&self, position: Position, handler: F) -> F::Output {
        let mut handler = pin!(handler);
        std::future::poll_fn(|context| {
            let _held = Held::take(self, position);
            handler.as_mut().poll(context)
        })
        .await
    }
}

/// Clears the marks at the end of a poll, also when the handler panics; not when the process dies.
struct Held {
    node: u64,
    _inside: Mark,
}

impl Held {
    fn take(hands: &Hands, position: Position) -> Self {
        let inside = Mark::set(Inside::Turn);
        SLOTS.with_borrow_mut(|own| {
            if let Some(slot) = slot_of(own, hands) {
                slot.set(position);
            }
        });
        Self { node: hands.node, _inside: inside }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        SLOTS.with_borrow_mut(|own| {
            if let Some((_, Some(slot))) = own.iter_mut().find(|(node, _)| *node == self.node) {
                slot.clear();
            }
        });
    }
}

/// The thread's slot for this node; claimed on first use. None when all are taken: such a thread works unwatched.
fn slot_of<'a>(own: &'a mut Vec<(u64, Option<Slot>)>, hands: &Hands) -> Option<&'a mut Slot> {
    let index = match own.iter().position(|(node, _)| *node == hands.node) {
        Some(index) => index,
        None => {
            if own.len() == NODES_OF_A_THREAD {
                own.remove(0);
            }
            let slot = hands.slots.claim();
            if slot.is_none() {
                tracing::warn!(
                    event = "too many threads",
                    "more threads than slots: a message that kills the process from this thread is not found"
                );
            }
            own.push((hands.node, slot));
            own.len() - 1
        }
    };
    own[index].1.as_mut()
}
