//! What the handles and the threads of one store share.

use std::fmt;
use std::sync::Arc;
use std::thread::available_parallelism;

use super::checkpoints::Checkpoints;
use super::watermarks::Watermarks;
use crate::admission::Admission;
use crate::error::CommitError;
use crate::files::Witness;
use crate::limits::Limits;
use crate::overlay::Overlay;
use crate::queue::{Ending, Queue};
use crate::reads::Reads;
use crate::statistics::Counters;

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) queue: Queue,
    pub(crate) overlay: Overlay,
    pub(crate) reads: Reads,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) counters: Counters,
    pub(crate) witness: Witness,
    pub(crate) watermarks: Watermarks,
    on_progress: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    pub(crate) fn new(
        limits: Limits,
        admission: Arc<Admission>,
        queue: Queue,
        overlay: Overlay,
        watermarks: Watermarks,
        witness: Witness,
        on_progress: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            limits,
            admission,
            queue,
            overlay,
            reads: Reads::new(available_parallelism().map_or(1, usize::from)),
            checkpoints: Checkpoints::default(),
            counters: Counters::default(),
            witness,
            watermarks,
            on_progress,
        }
    }

    pub(crate) fn announce(&self) {
        (self.on_progress)();
    }

    /// Poisons the store, and wakes everyone who would wait for ever.
    pub(crate) fn fail(&self, error: CommitError) {
        if matches!(error, CommitError::Displaced { .. }) {
            self.witness.keep_open();
        }
        self.admission.fail(error);
        self.queue.end(Ending::Abandon);
        self.checkpoints.abandon();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").field("watermarks", &self.watermarks).finish_non_exhaustive()
    }
}
