//! Where lines go: to standard error, by a thread of its own. Whoever writes a line neither fails nor waits for a
//! reader that is slow, has stopped or has gone: what does not fit is counted, and told in one line when there is room
//! again.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::base::caught::caught;

/// How many bytes may wait to be written: some thousand lines.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How long a line is waited for. Far more than it takes: the line is with the system then, whatever becomes of the
/// process. Once that was too little nobody waits any more before the reader goes on.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a descriptor that does not block is left alone when it is full.
const FULL_FOR: Duration = Duration::from_millis(10);

/// Takes lines. The thread ends when this is dropped, and what it had taken is written.
#[derive(Debug)]
pub(super) struct Output {
    shared: Arc<Shared>,
    writer: ThreadId,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    /// Rung when there is something to write.
    filled: Condvar,
    /// Rung when something was written, or could not be.
    written: Condvar,
}

/// Pure: what waits, and how far the thread has come.
#[derive(Debug, Default)]
struct Lines {
    /// Whole lines.
    waiting: Vec<u8>,
    /// How many lines were taken in since the beginning.
    taken_in: u64,
    /// How many of them the thread is done with.
    done: u64,
    /// Lines that found no room or could not be written, and were not told of yet.
    left_out: u64,
    /// The thread has not come back for longer than anybody waits.
    is_stuck: bool,
    is_closed: bool,
}

impl Output {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        let thread =
            thread::Builder::new().name("everpost-logs".to_owned()).spawn(move || writing.run(&mut io::stderr()))?;
        Ok(Self { shared, writer: thread.thread().id() })
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.filled.notify_one();
    }
}

impl<'a> MakeWriter<'a> for Output {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { output: self, is_waited_for: true }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        // There are many of the others, and what comes after them is waited for.
        Line { output: self, is_waited_for: *metadata.level() <= Level::INFO }
    }
}

/// Takes one line, which is written with one call.
pub(super) struct Line<'a> {
    output: &'a Output,
    is_waited_for: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // What the thread itself has to say it must not wait for.
        let waits = self.is_waited_for && thread::current().id() != self.output.writer;
        self.output.shared.take(line, waits);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn take(&self, line: &[u8], waits: bool) {
        let mut lines = self.lock();
        let Some(number) = lines.take(line) else { return };
        self.filled.notify_one();
        if waits && !lines.is_stuck {
            let is_on_its_way = |lines: &mut Lines| lines.done < number && !lines.is_stuck;
            let waited = self.written.wait_timeout_while(lines, PATIENCE, is_on_its_way);
            let (mut lines, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            lines.is_stuck |= waited.timed_out();
        }
    }

    fn run(&self, output: &mut impl Write) {
        let mut writing = Vec::new();
        loop {
            writing.clear();
            let until = {
                let nothing = |lines: &mut Lines| lines.waiting.is_empty() && !lines.is_closed;
                let lines = self.filled.wait_while(self.lock(), nothing);
                let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut lines.waiting, &mut writing);
                lines.taken_in
            };
            if writing.is_empty() {
                return;
            }
            // Of a panic nobody could be told: whoever tells waits for this thread.
            let lost = caught(|| write_all(output, &writing)).unwrap_or_else(|_| lines_of(&writing));
            let left_out = self.lock().written(until, lost);
            self.written.notify_all();
            if left_out > 0 {
                let _ = caught(|| {
                    tracing::error!(
                        lines = left_out,
                        event = "log lines left out",
                        "nobody has read standard error, or it could not be written"
                    );
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// The number of the line, if there is room for it.
    fn take(&mut self, line: &[u8]) -> Option<u64> {
        if self.waiting.len() + line.len() > WAITING_BYTES_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.waiting.extend_from_slice(line);
        self.taken_in += 1;
        Some(self.taken_in)
    }

    /// The thread has written all lines up to that number, but so many. Returns how many are to be told of as left out:
    /// now that something can be written.
    fn written(&mut self, until: u64, lost: u64) -> u64 {
        self.done = until;
        self.is_stuck = false;
        self.left_out = self.left_out.saturating_add(lost);
        if lost == 0 { std::mem::take(&mut self.left_out) } else { 0 }
    }
}

/// Writes lines; returns how many of them could not be.
fn write_all(output: &mut impl Write, mut lines: &[u8]) -> u64 {
    while !lines.is_empty() {
        match output.write(lines) {
            Ok(0) => break,
            Ok(written) => lines = &lines[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever started the process has set it so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(FULL_FOR),
            Err(_) => break,
        }
    }
    lines_of(lines)
}

fn lines_of(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panics at the first line.
    struct Brittle {
        written: Vec<u8>,
        panics: bool,
    }

    impl Write for Brittle {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!std::mem::take(&mut self.panics), "it was told to");
            self.written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Whoever wrote a line after that would have waited, and it would never have been written.
    #[test]
    fn a_panic_of_a_write_costs_its_lines_and_no_others() {
        let told = |shared: &Shared| {
            let lines = shared.lock();
            (lines.done, lines.left_out)
        };
        let (shared, mut brittle) = (Shared::default(), Brittle { written: Vec::new(), panics: true });
        // So it returns when all lines are written.
        shared.lock().is_closed = true;
        shared.take(b"one\n", false);
        shared.run(&mut brittle);
        assert_eq!(told(&shared), (1, 1));
        shared.take(b"two\n", false);
        shared.run(&mut brittle);
        assert_eq!(told(&shared), (2, 0));
        assert_eq!(brittle.written, b"two\n");
    }

    /// Writes little at a time, and fails when it is told to.
    #[derive(Default)]
    struct Narrow {
        written: Vec<u8>,
        errors: Vec<io::ErrorKind>,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(error) = self.errors.pop() {
                return Err(error.into());
            }
            let some = bytes.len().min(3);
            self.written.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_fit_is_counted_and_told_when_something_was_written() {
        let mut lines = Lines::default();
        let large = vec![b'x'; WAITING_BYTES_MAX - 4];
        assert_eq!((lines.take(&large), lines.take(b"four"), lines.take(b"more")), (Some(1), Some(2), None));
        lines.waiting.clear();
        assert_eq!(lines.written(2, 1), 0, "it could not be written");
        assert_eq!(lines.take(b"again"), Some(3));
        assert_eq!((lines.written(3, 0), lines.written(3, 0)), (2, 0));
    }

    #[test]
    fn a_descriptor_that_is_full_for_a_moment_loses_nothing_and_one_that_fails_what_is_left() {
        let mut narrow =
            Narrow { errors: vec![io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock], ..Narrow::default() };
        assert_eq!(write_all(&mut narrow, b"one\ntwo\n"), 0);
        assert_eq!(narrow.written, b"one\ntwo\n");
        narrow.errors = vec![io::ErrorKind::BrokenPipe];
        assert_eq!(write_all(&mut narrow, b"three\nfour\n"), 2);
    }
}
