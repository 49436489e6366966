//! What the handles, the writer and the checkpointer of one store share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::checkpoints::Checkpoints;
use crate::admission::Admission;
use crate::error::CommitError;
use crate::files::Witness;
use crate::ids::Position;
use crate::limits::Limits;
use crate::overlay::Overlay;
use crate::queue::{Ending, Queue};
use crate::statistics::Counters;

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) queue: Queue,
    pub(crate) overlay: Overlay,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) counters: Counters,
    pub(crate) witness: Witness,
    durable: AtomicU64,
    on_progress: Box<dyn Fn() + Send + Sync>,
}

impl Shared {
    pub(crate) fn new(
        limits: Limits,
        admission: Arc<Admission>,
        queue: Queue,
        overlay: Overlay,
        durable: Position,
        witness: Witness,
        on_progress: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            limits,
            admission,
            queue,
            overlay,
            checkpoints: Checkpoints::default(),
            counters: Counters::default(),
            witness,
            durable: AtomicU64::new(durable.0),
            on_progress,
        }
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// Moves the watermark. The caller has seen the commit of everything up to `position`.
    pub(crate) fn publish(&self, position: Position) {
        let before = self.durable.swap(position.0, Ordering::Release);
        assert!(before < position.0, "the durable watermark only moves forward");
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
        formatter.debug_struct("Shared").field("durable", &self.durable()).finish_non_exhaustive()
    }
}
