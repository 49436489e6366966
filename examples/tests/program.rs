//! Programs of this package as processes.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// No run in these tests takes nearly as long, on any disk.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

const BUILT: &str = "the program was built: `cargo test` does that unless it is told to run one test binary only";

pub(crate) fn demonstration() -> Command {
    Command::new(env!("CARGO_BIN_EXE_demonstration"))
}

/// Cargo builds the examples for the tests of a package, next to the folder of the tests.
pub(crate) fn access_log() -> Command {
    let test = std::env::current_exe().unwrap();
    let target: PathBuf = test.parent().and_then(|deps| deps.parent()).unwrap().into();
    let mut command = Command::new(target.join("examples").join("access_log"));
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
    let id = rustix::process::Pid::from_child(&child);
    let (sender, ended) = mpsc::channel();
    let waiting = std::thread::spawn(move || sender.send(child.wait_with_output().unwrap()).unwrap());
    let output = match ended.recv_timeout(time) {
        Ok(output) => Some(output),
        Err(RecvTimeoutError::Timeout) => {
            // It may have ended at this very moment; then it counts as ended.
            let killed = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            let output = ended.recv().unwrap();
            (killed.is_err() || output.status.code().is_some()).then_some(output)
        }
        Err(RecvTimeoutError::Disconnected) => panic!("the thread that waits has failed"),
    };
    waiting.join().unwrap();
    output
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
