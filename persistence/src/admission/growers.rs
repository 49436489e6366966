//! Turns that wait because they would make a full store fuller, and who of them goes next.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use crate::ids::Position;

/// What there is to grow into, and who waits for it.
pub(super) trait Room {
    /// Who waits.
    fn growers(&self) -> &Growers;

    /// By how much one turn may grow the store.
    fn room_to_grow(&self) -> usize;
}

/// Who waits.
#[derive(Debug, Default)]
pub(super) struct Growers {
    line: Mutex<Line>,
    /// Somebody waits.
    is_used: AtomicBool,
}

#[derive(Debug, Default)]
struct Line {
    numbers: u64,
    /// By message, and for one message, or none, by the order in which they came: the last one here goes first.
    waiting: BTreeMap<Place, Waiting>,
    /// Who goes now, but has not taken its room yet: nobody else does before that, or all of them would take the same
    /// room.
    going: Option<Place>,
}

type Place = (Position, Reverse<u64>);

#[derive(Debug)]
struct Waiting {
    growth: usize,
    waker: Option<Waker>,
}

/// A place in line. Dropped, it is left, and somebody else may go.
pub(super) struct Grower<'a, R: Room> {
    room: &'a R,
    place: Place,
}

impl Growers {
    /// Whether somebody waits who has to be woken. In the one order of all such steps, either this sees whoever waits,
    /// or they see what was changed before.
    fn is_used(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_used.load(Ordering::Relaxed)
    }

    /// Lets go whoever may, of those that wait.
    pub(super) fn wake_next(&self, room: &impl Room) {
        if !self.is_used() {
            return;
        }
        let room = room.room_to_grow();
        let waker = self.lock().next(room).and_then(|(_, waiting)| waiting.waker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn wake_all(&self) {
        let wakers: Vec<_> = self.lock().waiting.values_mut().filter_map(|waiting| waiting.waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Of those that need no more than this the one with the newest message: what a turn has sent is newer than what
    /// waited when it ran, and is handled before other turns send more. So chains of messages come to an end, where
    /// they make room, instead of all of them growing by a step.
    fn next(&mut self, room: usize) -> Option<(Place, &mut Waiting)> {
        if self.going.is_some() {
            return None;
        }
        let mut fitting = self.waiting.iter_mut().rev().filter(|(_, waiting)| waiting.growth <= room);
        fitting.next().map(|(place, waiting)| (*place, waiting))
    }
}

impl<'a, R: Room> Grower<'a, R> {
    /// Stands in line with a submission that grows the store by so much, of the turn of this message.
    pub(super) fn join(room: &'a R, position: Position, growth: usize) -> Self {
        let growers = room.growers();
        let mut line = growers.lock();
        line.numbers += 1;
        let place = (position, Reverse(line.numbers));
        line.waiting.insert(place, Waiting { growth, waker: None });
        growers.is_used.store(true, Ordering::Relaxed);
        Self { room, place }
    }

    /// Is woken from here on. Before it looks whether it may go: then it misses no change.
    pub(super) fn listen(&self, context: &Context<'_>) {
        if let Some(waiting) = self.room.growers().lock().waiting.get_mut(&self.place) {
            waiting.waker = Some(context.waker().clone());
        }
        fence(Ordering::SeqCst);
    }

    /// Whether nobody goes before it into the room that there is for one. Then nobody does until it has left the line.
    pub(super) fn goes(&self) -> bool {
        let room = self.room.room_to_grow();
        let mut line = self.room.growers().lock();
        if line.next(room).is_some_and(|(place, _)| place == self.place) {
            line.going = Some(self.place);
        }
        line.going == Some(self.place)
    }
}

impl<R: Room> Drop for Grower<'_, R> {
    fn drop(&mut self) {
        let growers = self.room.growers();
        let mut line = growers.lock();
        line.waiting.remove(&self.place);
        line.going.take_if(|going| *going == self.place);
        growers.is_used.store(!line.waiting.is_empty(), Ordering::Relaxed);
        drop(line);
        growers.wake_next(self.room);
    }
}

impl<R: Room> fmt::Debug for Grower<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Grower").field(&self.place).finish()
    }
}
