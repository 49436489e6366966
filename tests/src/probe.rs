//! What a test sees of running handlers, and how it holds them: gates that handlers reach and wait at.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::sync::watch;

use crate::protocol::{Event, emit};
use crate::wait::soon;

/// Shared between a test and the actors of its node.
#[derive(Debug)]
pub struct Probe {
    seen: watch::Sender<Seen>,
    gates: Mutex<HashMap<u32, Arc<Semaphore>>>,
    /// In a child process: every gate is open, or closed until it is opened.
    open: bool,
    /// In a child process: tell the parent what is seen.
    echo: bool,
}

/// What handlers have shown so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How often each gate was reached.
    pub reached: HashMap<u32, usize>,
    /// In the order in which they were made.
    pub notes: Vec<Note>,
}

/// What a handler knows of its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The whole address.
    pub address: String,
    /// The sender's address, or nothing.
    pub sender: Option<String>,
    /// The message's id.
    pub message: String,
    /// Its number in the store's order.
    pub sequence: u64,
    /// Counted from 1.
    pub attempt: u32,
    /// The key for the label `charge`.
    pub idempotency_key: String,
    /// The key for the label `refund`.
    pub other_key: String,
}

impl Seen {
    /// How often `gate` was reached.
    #[must_use]
    pub fn times(&self, gate: u32) -> usize {
        self.reached.get(&gate).copied().unwrap_or_default()
    }

    /// The notes of one address.
    #[must_use]
    pub fn of(&self, address: &str) -> Vec<Note> {
        self.notes.iter().filter(|note| note.address == address).cloned().collect()
    }
}

impl Probe {
    /// A probe of a test in this process; its gates are closed.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with(false, false))
    }

    /// The probe of a child process, which tells its parent everything.
    #[must_use]
    pub fn echoing(open: bool) -> Arc<Self> {
        Arc::new(Self::with(open, true))
    }

    fn with(open: bool, echo: bool) -> Self {
        Self { seen: watch::Sender::new(Seen::default()), gates: Mutex::default(), open, echo }
    }

    /// Lets everyone through `gate`, now and later.
    pub fn open(&self, gate: u32) {
        self.gate(gate).close();
    }

    /// Lets one handler through `gate`.
    pub fn let_one_through(&self, gate: u32) {
        self.gate(gate).add_permits(1);
    }

    /// Waits until what was seen satisfies `condition`, and returns it.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn wait_for(&self, what: &str, condition: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        soon(what, seen.wait_for(condition)).await.expect("the probe lives").clone()
    }

    /// Waits until `gate` was reached `times` times.
    pub async fn reached(&self, gate: u32, times: usize) {
        let what = format!("gate {gate} is reached {times} times");
        self.wait_for(&what, |seen| seen.times(gate) >= times).await;
    }

    /// What was seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// A handler has come to `gate`.
    pub fn reach(&self, gate: u32) {
        self.seen.send_modify(|seen| *seen.reached.entry(gate).or_default() += 1);
        if self.echo {
            emit(&Event::Reached(gate));
        }
    }

    pub(crate) fn note(&self, note: Note) {
        if self.echo {
            emit(&Event::Noted(note.clone()));
        }
        self.seen.send_modify(|seen| seen.notes.push(note));
    }

    /// A handler waits at `gate`.
    pub async fn pass(&self, gate: u32) {
        if !self.open {
            // An error says that the gate is open for good.
            if let Ok(permit) = self.gate(gate).acquire().await {
                permit.forget();
            }
        }
    }

    pub(crate) fn is_open(&self, gate: u32) -> bool {
        self.open || self.gate(gate).is_closed()
    }

    pub(crate) fn spin(&self, gate: u32) {
        let gate = self.gate(gate);
        while !self.open && !gate.is_closed() {
            std::hint::spin_loop();
        }
    }

    fn gate(&self, gate: u32) -> Arc<Semaphore> {
        let mut gates: MutexGuard<'_, _> = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(gate).or_insert_with(|| Arc::new(Semaphore::new(0))))
    }
}
