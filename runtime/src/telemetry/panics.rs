//! Panics as lines of the log: they go where all lines go, so that a reader of standard error who has stopped holds up
//! nobody who panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::thread;

use crate::base::recurring::Recurring;
use crate::base::text::brief;

/// Panics that were met, by where they come from: a peer may be able to set off one again and again.
static PANICS: Recurring<String> = Recurring::new();

/// Tells of every panic from now on, of one place once a minute.
pub(super) fn tell() {
    panic::set_hook(Box::new(told));
}

fn told(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map_or_else(String::new, ToString::to_string);
    let Some(times) = PANICS.met(location.clone()) else { return };
    let thread = thread::current();
    let (thread, error) = (thread.name().unwrap_or_default(), brief(&panic.payload_as_str().unwrap_or_default()));
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    // Outside of any span: one may be in the middle of being written.
    tracing::error!(parent: None, thread, location, error, backtrace, times, event = "panic", "code has panicked");
}
