//! Ctrl-C and its relatives end the demonstration in order: the child first, then the temporary folder.

use std::io;
use std::sync::mpsc::SyncSender;

use tokio::signal::unix::{SignalKind, signal};

use crate::process::Event;

/// Turns the first signal into an event. The second finds a program that is ending already.
pub(crate) fn watch(cause: SyncSender<Event>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate, mut hang_up) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
        });
        // A full queue has its reader awake; a reader that is gone needs no telling.
        let _ = cause.send(Event::Interrupted);
    });
    Ok(())
}
