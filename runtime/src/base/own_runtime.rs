//! The tokio runtime of a node's own: what the node does by itself runs here, where no handler can starve it. Handlers
//! run on the runtime of the program, which is the one that has started the node: they may keep its threads for as long
//! as they like, and links live, timers fire, receipts come and a stop ends all the same.

use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::base::caught::caught;

/// For so many processors it has one thread.
const PROCESSORS_PER_THREAD: usize = 4;

/// Ends with all of its tasks when it is dropped.
#[derive(Debug)]
pub(crate) struct OwnRuntime {
    handle: Handle,
    /// Taken when it ends.
    runtime: Mutex<Option<Runtime>>,
}

impl OwnRuntime {
    pub(crate) fn start() -> io::Result<Self> {
        let processors = available_parallelism().map_or(1, usize::from);
        let threads = processors.div_ceil(PROCESSORS_PER_THREAD);
        probe(threads)?;
        let build =
            || Builder::new_multi_thread().worker_threads(threads).thread_name("everpost-node").enable_all().build();
        let runtime = caught(build).map_err(io::Error::other)??;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    pub(crate) const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Ends it with all of its tasks, and waits so long for those that do not come to an await. It blocks, and must not
    /// be called by a task.
    pub(crate) fn end(&self, within: Duration) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_timeout(within);
        }
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether there are so many threads: tokio panics where there are not, and leaves those that it has begun.
fn probe(threads: usize) -> io::Result<()> {
    let (ends, ended) = sync_channel::<()>(0);
    let ended = Arc::new(Mutex::new(ended));
    let spawn = |_| {
        let ended = Arc::clone(&ended);
        thread::Builder::new().spawn(move || drop(ended.lock().map(|ended| ended.recv())))
    };
    let probes: io::Result<Vec<_>> = (0..threads).map(spawn).collect();
    // All of them were there at the same time.
    drop(ends);
    for probe in probes? {
        // It does nothing that could panic.
        let _ = probe.join();
    }
    Ok(())
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Without waiting, since this may be one of its own threads.
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}
