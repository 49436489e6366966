//! Reads for callers who must not wait for the disk: requests in a queue, and threads that take them in batches.
//!
//! A batch is read in one transaction of LMDB, which is short, since it pins the pages of its moment. Its requests are
//! answered only after that has ended: whoever is woken may be the last to hold the store, and end it right there.
//!
//! Every request gets an answer, whatever becomes of the thread that took it.

mod admit;
mod request;
mod rules;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

pub use self::admit::Admit;
pub(crate) use self::admit::AdmitAll;
use self::request::{Answer, Pending, Request};
use self::rules::{is_another_needed, share, threads};
use crate::error::ReadError;
use crate::key::Key;
use crate::overlay::Overlay;

/// What is to be read, and who reads it. As long as its callers make it, each of whom waits for one request.
#[derive(Debug)]
pub(crate) struct Reads {
    queue: Mutex<Queue>,
    /// For the threads.
    changed: Condvar,
    threads: usize,
}

#[derive(Default)]
struct Queue {
    requests: Vec<Box<dyn Request>>,
    /// Threads that wait until they are roused.
    asleep: usize,
    /// Threads that were roused and have not noticed yet.
    roused: usize,
    has_ended: bool,
}

impl Reads {
    /// On a machine with so many processors.
    pub(crate) fn new(processors: usize) -> Self {
        Self { queue: Mutex::default(), changed: Condvar::new(), threads: threads(processors) }
    }

    /// How many threads are to call [`run`](Self::run).
    pub(crate) const fn threads(&self) -> usize {
        self.threads
    }

    /// Reads records as of one moment, up to the first that `admit` refuses by its size.
    ///
    /// Cancel safe: when it is dropped nobody is told, and `admit` is dropped on one of the threads.
    pub(crate) async fn read<A>(&self, keys: Vec<Key>, admit: A) -> Answer<A>
    where
        A: Admit + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.submit(Box::new(Pending::new(keys, admit, answer)))?;
        // Dropped without an answer by a thread that has panicked.
        answered.await.unwrap_or(Err(ReadError::Panicked))
    }

    /// The life of a thread: reads until the end.
    pub(crate) fn run(&self, overlay: &Overlay) {
        while let Some(mut batch) = self.next() {
            let read = catch_unwind(AssertUnwindSafe(|| read(overlay, &mut batch))).unwrap_or(Err(ReadError::Panicked));
            let otherwise = read.err().unwrap_or(ReadError::Panicked);
            for request in batch {
                // What a waker panics of is no fault of the others.
                let _ = catch_unwind(AssertUnwindSafe(|| request.answer(&otherwise)));
            }
        }
    }

    /// Takes no more requests, and ends the threads after those that they read. Who still waits is told so.
    pub(crate) fn end(&self) {
        let rest = {
            let mut queue = self.lock();
            queue.has_ended = true;
            std::mem::take(&mut queue.requests)
        };
        self.changed.notify_all();
        rest.into_iter().for_each(|request| request.answer(&ReadError::Closed));
    }

    fn submit(&self, request: Box<dyn Request>) -> Result<(), ReadError> {
        let is_another_needed = {
            let mut queue = self.lock();
            if queue.has_ended {
                return Err(ReadError::Closed);
            }
            queue.requests.push(request);
            let is_needed = is_another_needed(queue.requests.len(), self.threads - queue.asleep, queue.asleep);
            if is_needed {
                queue.asleep -= 1;
                queue.roused += 1;
            }
            is_needed
        };
        if is_another_needed {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The next requests for this thread; `None` at the end.
    fn next(&self) -> Option<Vec<Box<dyn Request>>> {
        let mut queue = self.lock();
        while queue.requests.is_empty() && !queue.has_ended {
            queue.asleep += 1;
            while queue.roused == 0 && !queue.has_ended {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.roused = queue.roused.saturating_sub(1);
        }
        let asked_for = queue.requests.iter().map(|request| request.keys().len());
        let share = share(asked_for, self.threads - queue.asleep);
        let is_last = queue.requests.is_empty();
        (!is_last).then(|| queue.requests.drain(..share).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a batch as of one moment.
fn read(overlay: &Overlay, batch: &mut [Box<dyn Request>]) -> Result<(), ReadError> {
    let tables;
    let (lookups, snapshot) = {
        let layers = overlay.read();
        tables = layers.tables()?.clone();
        let lookups: Vec<_> = batch.iter().map(|request| layers.look_up(request.keys())).collect();
        let is_complete = lookups.iter().all(|lookup| lookup.is_complete());
        let snapshot = if is_complete { None } else { Some(tables.snapshot()?) };
        (lookups, snapshot)
    };
    for (request, lookup) in batch.iter_mut().zip(lookups).filter(|(request, _)| !request.is_abandoned()) {
        // The code of one request is no fault of the others.
        let _ = catch_unwind(AssertUnwindSafe(|| request.read(lookup, snapshot.as_ref())));
    }
    Ok(())
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Queue").field("requests", &self.requests.len()).finish_non_exhaustive()
    }
}
