//! Ctrl-C and its relatives.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::problem::Problem;

/// Notes the signals that ask the program to end, from the moment it is made.
#[derive(Debug)]
pub struct Interrupt([Signal; 3]);

impl Interrupt {
    /// Begins to note them.
    ///
    /// # Errors
    ///
    /// The system does not tell of signals.
    pub fn new() -> Result<Self, Problem> {
        let watch = |kind| signal(kind).map_err(Problem::failure);
        Ok(Self([watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?, watch(SignalKind::hangup())?]))
    }

    /// Completes at the first of them.
    pub async fn received(&mut self) {
        let Self([interrupt, terminate, hang_up]) = self;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
}
