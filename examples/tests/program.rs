//! Programs of this package as processes.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// No run in these tests takes nearly as long, on any disk.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

const BUILT: &str = "the program was built: `cargo test` does that unless it is told to run one test binary only";

pub(crate) fn demonstration() -> Command {
    Command::new(env!("CARGO_BIN_EXE_demonstration"))
}

pub(crate) fn access_log() -> Command {
    example("access_log")
}

pub(crate) fn orders() -> Command {
    example("orders")
}

pub(crate) fn work_queue() -> Command {
    example("work_queue")
}

/// Cargo builds the examples for the tests of a package, next to the folder of the tests.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().unwrap();
    let target: PathBuf = test.parent().and_then(|deps| deps.parent()).unwrap().into();
    let mut command = Command::new(target.join("examples").join(name));
    command.env_remove("RUST_LOG");
    command
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    ends_within(spawn(command), DEADLINE).expect("it ends before the deadline")
}

pub(crate) fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect(BUILT)
}

/// Waits for the end of a program; kills it with SIGKILL if that does not come in time.
pub(crate) fn ends_within(child: Child, time: Duration) -> Option<Output> {
    let running = Running::new(child);
    running.ends_within(time).or_else(|| running.kill())
}

/// A program whose end is waited for on a thread of its own, which keeps what it says. Dropping it kills it.
pub(crate) struct Running {
    id: Pid,
    ended: Receiver<Output>,
}

impl Running {
    pub(crate) fn new(child: Child) -> Self {
        let id = Pid::from_child(&child);
        let (sender, ended) = mpsc::channel();
        // Whoever has stopped waiting is not told.
        std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()).ok());
        Self { id, ended }
    }

    /// Waits for the end, and returns it if it comes in time.
    pub(crate) fn ends_within(&self, time: Duration) -> Option<Output> {
        match self.ended.recv_timeout(time) {
            Ok(output) => Some(output),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the thread that waits has failed, or the end was seen before")
            }
        }
    }

    /// Waits for the end, which must come before the deadline.
    pub(crate) fn ends(&self) -> Output {
        self.ends_within(DEADLINE).expect("it ends before the deadline")
    }

    /// Kills it with SIGKILL, and waits until it is gone. It may have ended at this very moment; then it counts as
    /// ended.
    pub(crate) fn kill(self) -> Option<Output> {
        let killed = kill_process(self.id, Signal::KILL);
        let output = self.ended.recv().unwrap();
        (killed.is_err() || output.status.code().is_some()).then_some(output)
    }

    /// Asks it to end, and waits for that.
    pub(crate) fn interrupt(self, signal: Signal) -> Output {
        kill_process(self.id, signal).unwrap();
        self.ends()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.try_recv() == Err(TryRecvError::Empty) {
            // It may end at this very moment.
            let _ = kill_process(self.id, Signal::KILL);
            let _ = self.ended.recv();
        }
    }
}

/// The first line with `part` in it that a program writes, which it must do before the deadline. What follows is thrown
/// away. None when it ends without.
pub(crate) fn line_with(part: &'static str, from: impl Read + Send + 'static) -> Option<String> {
    let (sender, found) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(from).lines().map(Result::unwrap);
        sender.send(lines.find(|line| line.contains(part))).unwrap();
        lines.for_each(drop);
    });
    found.recv_timeout(DEADLINE).expect("it writes that line, or ends, before the deadline")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The exit code 2, one line on standard error, nothing on standard output.
#[track_caller]
pub(crate) fn assert_refused(output: &Output, because: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(because), "{said}");
    assert_eq!(text(&output.stdout), "");
}
