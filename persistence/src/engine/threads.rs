//! The threads of a store, from start to end: the writer, the checkpointer, and those that read for tasks. If one of
//! them panics, the store has failed; what a thread panics of while it reads is told to whoever reads, and it goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::checkpointer::{self, Upkeep};
use super::shared::Shared;
use super::writer::Writer;
use crate::error::{CommitError, OpenError};
use crate::files::Folder;
use crate::ids::Position;
use crate::log::Log;
use crate::queue::Ending;
use crate::slots::Promise;
use crate::tables::Tables;

/// What a store has while it runs.
#[derive(Debug)]
pub(crate) struct Running {
    writer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    /// The threads hold it too, so that the folder is unlocked only when everything in it is closed.
    folder: Arc<Folder>,
}

impl Running {
    pub(crate) fn start<L: Log + Send + 'static>(
        folder: Folder,
        shared: &Arc<Shared>,
        log: L,
        tables: Tables,
        upkeep: Upkeep,
        last: Position,
        promise: Promise,
    ) -> Result<Self, OpenError> {
        let folder = Arc::new(folder);
        let readers = start_readers(shared, &folder)?;
        let checkpointer = spawn("everpost-checkpointer", {
            let shared = Arc::clone(shared);
            move || {
                guard(&shared, "checkpointer", || checkpointer::run(&shared, &tables, upkeep));
            }
        });
        let checkpointer = checkpointer.inspect_err(|_| shared.reads.end())?;
        let writer = spawn("everpost-writer", {
            let (shared, folder) = (Arc::clone(shared), Arc::clone(&folder));
            move || {
                write(&shared, Writer::new(Arc::clone(&shared), log, last, promise), checkpointer);
                drop(folder);
            }
        });
        let writer = writer.inspect_err(|_| {
            shared.checkpoints.abandon();
            shared.reads.end();
        })?;
        Ok(Self { writer, readers, folder })
    }

    /// Ends the threads, waits for them, and closes the files.
    pub(crate) fn end(self, shared: &Shared, ending: Ending) {
        shared.queue.end(ending);
        if ending == Ending::Abandon {
            shared.checkpoints.abandon();
        }
        if self.writer.thread().id() == thread::current().id() {
            // The last handle was dropped within `on_progress`: this thread ends soon after that returns, and the
            // rest with it.
            shared.reads.end();
            drop(shared.overlay.close());
            return;
        }
        // A panic is caught in the thread, and has become the failure of the store.
        let _ = self.writer.join();
        shared.reads.end();
        // Whoever is told what was read may drop the last handle there: that thread ends right after it.
        let others = self.readers.into_iter().filter(|reader| reader.thread().id() != thread::current().id());
        for reader in others {
            let _ = reader.join();
        }
        if let Some(tables) = shared.overlay.close() {
            tables.close();
        }
        drop(self.folder);
    }
}

/// Starts the threads that read for tasks; all of them or none.
fn start_readers(shared: &Arc<Shared>, folder: &Arc<Folder>) -> Result<Vec<JoinHandle<()>>, OpenError> {
    let start = |_| {
        let (shared, folder) = (Arc::clone(shared), Arc::clone(folder));
        spawn("everpost-reader", move || {
            let read = || {
                shared.reads.run(&shared.overlay);
                Ok(())
            };
            if guard(&shared, "reader", read).is_none() {
                // Nobody is to wait for what was not read.
                shared.reads.end();
            }
            drop(folder);
        })
    };
    (0..shared.reads.threads()).map(start).collect::<Result<_, _>>().inspect_err(|_| shared.reads.end())
}

/// The life of the writer's thread: write, and after a clean end let the checkpointer finish and mark it.
fn write(shared: &Arc<Shared>, mut writer: Writer<impl Log>, checkpointer: JoinHandle<()>) {
    let ending = guard(shared, "writer", || writer.run());
    // Nothing that is submitted from here on would be written.
    shared.queue.shut(true);
    shared.admission.close();
    match ending {
        Some(Ending::Clean) => shared.checkpoints.finish(),
        _ => shared.checkpoints.abandon(),
    }
    // A panic is caught in the thread, and has become the failure of the store.
    let _ = checkpointer.join();
    if ending == Some(Ending::Clean) && shared.admission.failure().is_none() {
        guard(shared, "writer", || writer.finish());
    }
    drop(writer);
    // Whoever waits for something that will never be durable learns it now.
    let _ = catch_unwind(AssertUnwindSafe(|| shared.announce()));
}

/// Runs a part of a thread; an error or a panic becomes the failure of the store.
fn guard<R>(shared: &Shared, thread: &'static str, part: impl FnOnce() -> Result<R, CommitError>) -> Option<R> {
    let outcome = catch_unwind(AssertUnwindSafe(part)).unwrap_or(Err(CommitError::Panicked { thread }));
    outcome.map_err(|error| shared.fail(error)).ok()
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map_err(OpenError::no_thread)
}
