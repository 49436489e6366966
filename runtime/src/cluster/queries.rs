//! Volatile queries to a peer that are not answered yet.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::cluster::note::NoAnswer;

/// What a peer answers.
pub(crate) type Answer = Result<Vec<u8>, NoAnswer>;

/// The open queries, by their numbers. Bounded by the setting `queries_max`, over all peers.
#[derive(Debug, Default)]
pub(super) struct OpenQueries {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    /// The node has ended.
    closed: bool,
    by_number: HashMap<u64, oneshot::Sender<Answer>>,
}

impl OpenQueries {
    /// Adds a query; who has stopped waiting is forgotten on the way. None at the end of the node.
    pub(super) fn add(&self) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let (waiter, answer) = oneshot::channel();
        let mut open = self.lock();
        if open.closed {
            return None;
        }
        if open.by_number.len() == open.by_number.capacity() {
            open.by_number.retain(|_, waiter| !waiter.is_closed());
            // What is reserved is filled before they are looked for again.
            let waiting = open.by_number.len();
            open.by_number.reserve(waiting);
        }
        open.last += 1;
        let number = open.last;
        open.by_number.insert(number, waiter);
        Some((number, answer))
    }

    /// Whoever has stopped waiting is not told.
    pub(super) fn answered(&self, number: u64, answer: Answer) {
        if let Some(waiter) = self.lock().by_number.remove(&number) {
            let _ = waiter.send(answer);
        }
    }

    /// A query was not put.
    pub(super) fn withdraw(&self, number: u64) {
        self.lock().by_number.remove(&number);
    }

    /// No query will be answered any more.
    pub(super) fn lose(&self) {
        self.lock().by_number.clear();
    }

    /// No query will be answered any more, nor taken.
    pub(super) fn close(&self) {
        let mut open = self.lock();
        open.closed = true;
        open.by_number.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
