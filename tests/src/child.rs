//! A node in a process of its own, which may be killed at any moment. The child is the test binary itself, told by an
//! environment variable to run a node instead of tests.

mod serve;

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ChildStdin, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;

pub use self::serve::serve;
use crate::disk::Disk;
use crate::protocol::{CHECK_VARIABLE, Command, Event, MARK, PRETTY_VARIABLE, Setup, VARIABLE};
use crate::wait::{DEADLINE, eventually};
use crate::wall::Wall;

/// How many events may be on their way; a child that is not read waits.
const EVENTS_MAX: usize = 1024;

/// The test that a child process runs: it must call [`serve`](serve()) and nothing else.
const ENTRY: &str = "child::entry";

/// A running child. Killed when it is dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Event>,
    /// Heard while waiting for the node to run: what recovery sets off may come before that.
    early: VecDeque<Event>,
    stderr: Stderr,
}

/// What becomes of what a child writes to its standard error, which is a pipe.
#[derive(Debug)]
enum Stderr {
    /// It is read.
    Read(JoinHandle<Vec<String>>),
    /// It is left in the pipe.
    Unread(ChildStderr),
    /// Nobody will read it any more.
    Gone,
}

impl Stderr {
    fn read(self) -> Self {
        match self {
            Self::Unread(pipe) => {
                Self::Read(std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).collect()))
            }
            other => other,
        }
    }
}

impl Child {
    /// Starts a child.
    ///
    /// # Panics
    ///
    /// When the system starts no process.
    #[must_use]
    pub fn start(setup: &Setup) -> Self {
        Self::start_with(setup, []).heard()
    }

    /// Starts a child that checks its store for an upgrade, and ends.
    ///
    /// # Panics
    ///
    /// As [`Child::start`].
    #[must_use]
    pub fn checking(setup: &Setup) -> Self {
        Self::start_with(setup, [(CHECK_VARIABLE, PathBuf::from("1"))]).heard()
    }

    /// Starts a child with less than it may have by default; `limit` is a command of the shell, like `ulimit -n 20`.
    ///
    /// # Panics
    ///
    /// As [`Child::start`].
    #[must_use]
    pub fn limited(setup: &Setup, limit: &str) -> Self {
        let mut shell = std::process::Command::new("bash");
        shell.arg("-c").arg(format!("{limit} && exec \"$0\" \"$@\"")).arg(own_program());
        Self::start_as(shell, setup, [])
    }

    fn start_with<const N: usize>(setup: &Setup, environment: [(&'static str, PathBuf); N]) -> Self {
        Self::start_as(std::process::Command::new(own_program()), setup, environment)
    }

    fn start_as<const N: usize>(
        mut program: std::process::Command,
        setup: &Setup,
        environment: [(&'static str, PathBuf); N],
    ) -> Self {
        let mut process = program
            .args([ENTRY, "--exact", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, serde_json::to_string(setup).expect("a setup can be encoded"))
            .env("RUST_LOG", if setup.logs { "everpost=debug" } else { "everpost=info" })
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process can be started");
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take().expect("it is piped"));
        let stderr = process.stderr.take().expect("it is piped");
        let (sender, events) = sync_channel(EVENTS_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // A child that is killed may leave half a line.
                let event = line.strip_prefix(MARK).and_then(|event| serde_json::from_str(event).ok());
                if let Some(event) = event
                    && sender.send(event).is_err()
                {
                    return;
                }
            }
        });
        Self { process, stdin, events, early: VecDeque::new(), stderr: Stderr::Unread(stderr) }
    }

    /// From here on its standard error is read.
    #[must_use]
    pub fn heard(mut self) -> Self {
        self.read_stderr();
        self
    }

    fn read_stderr(&mut self) {
        self.stderr = std::mem::replace(&mut self.stderr, Stderr::Gone).read();
    }

    /// Starts a child whose standard error has no reader any more, and waits until its node runs.
    ///
    /// # Panics
    ///
    /// When the node does not start.
    #[must_use]
    pub fn up_unheard(setup: &Setup) -> Self {
        let mut child = Self::start_with(setup, []);
        child.stderr = Stderr::Gone;
        child.once_up()
    }

    /// Starts a child whose standard error is a pipe that nobody reads, and waits until its node runs.
    ///
    /// # Panics
    ///
    /// When the node does not start.
    #[must_use]
    pub fn up_unread(setup: &Setup) -> Self {
        Self::start_with(setup, []).once_up()
    }

    /// Starts a child, and waits until its node runs.
    ///
    /// # Panics
    ///
    /// When the node does not start.
    #[must_use]
    pub fn up(setup: &Setup) -> Self {
        Self::start(setup).once_up()
    }

    /// As [`Child::up`], with logs as people read them.
    ///
    /// # Panics
    ///
    /// When the node does not start.
    #[must_use]
    pub fn up_pretty(setup: &Setup) -> Self {
        Self::start_with(setup, [(PRETTY_VARIABLE, PathBuf::from("1"))]).heard().once_up()
    }

    /// As [`Child::up`], with a wall clock of its own.
    ///
    /// # Panics
    ///
    /// When the node does not start.
    #[must_use]
    pub fn up_at(setup: &Setup, wall: &Wall) -> Self {
        Self::start_with(setup, wall.environment()).heard().once_up()
    }

    /// As [`Child::start`], with a disk that does as it is ordered.
    ///
    /// # Panics
    ///
    /// As [`Child::start`].
    #[must_use]
    pub fn start_on(setup: &Setup, disk: &Disk) -> Self {
        Self::start_with(setup, disk.environment())
    }

    fn once_up(self) -> Self {
        let mut child = self;
        let mut early = VecDeque::new();
        child.wait_for("the node starts", |event| {
            early.push_back(event.clone());
            matches!(event, Event::Up(_))
        });
        child.early = early;
        child
    }

    /// Tells the child something.
    ///
    /// # Panics
    ///
    /// When it does not listen.
    pub fn tell(&mut self, command: &Command) {
        let line = format!("{}\n", serde_json::to_string(command).expect("a command can be encoded"));
        let stdin = self.stdin.as_mut().expect("it was not taken");
        // A child that has just died of what it was told before does not listen any more; its death is what tests look
        // at.
        let _ = stdin.write_all(line.as_bytes());
    }

    /// The next event; none once the child has ended.
    ///
    /// # Panics
    ///
    /// When the child neither says anything nor ends; then with its logs.
    pub fn hear(&mut self) -> Option<Event> {
        if let Some(event) = self.early.pop_front() {
            return Some(event);
        }
        match self.events.recv_timeout(DEADLINE) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                panic!("the child said nothing for {DEADLINE:?}\n{}", self.stderr().join("\n"));
            }
        }
    }

    /// Waits for an event and returns it.
    ///
    /// # Panics
    ///
    /// When the child ends before it; then with what the child wrote to its standard error.
    pub fn wait_for(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        loop {
            match self.hear() {
                Some(event) if wanted(&event) => return event,
                Some(_) => {}
                None => panic!("{what}: the child has ended before\n{}", self.stderr().join("\n")),
            }
        }
    }

    /// Waits until the child does nothing: each of its threads sleeps, so that no handler is being polled. That a
    /// handler has said something does not tell that: its thread may have been interrupted before the end of that poll.
    ///
    /// # Panics
    ///
    /// When that takes too long, or the system does not say what its threads do.
    pub async fn idle(&self) {
        let threads = PathBuf::from(format!("/proc/{}/task", self.process.id()));
        eventually("every thread of the child sleeps", || {
            let mut threads = threads.read_dir().expect("the child runs");
            threads.all(|thread| is_asleep(&thread.expect("threads can be listed").path()))
        })
        .await;
    }

    /// The most memory that the child has had at a time so far, in bytes: that which is resident, mapped files
    /// included.
    ///
    /// # Panics
    ///
    /// When the system does not say.
    #[must_use]
    pub fn memory_peak(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the child runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("it is a number");
        kib * 1024
    }

    /// Kills the child with SIGKILL. What it said before can still be read.
    ///
    /// # Panics
    ///
    /// When the system does not let it.
    pub fn kill(&mut self) {
        self.process.kill().expect("a child can be killed");
        self.process.wait().expect("a child can be waited for");
    }

    /// Waits for the end of the child; returns everything that it still said.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn end(&mut self) -> (ExitStatus, Vec<Event>) {
        let events = std::iter::from_fn(|| self.hear()).collect();
        (self.process.wait().expect("a child can be waited for"), events)
    }

    /// Waits for `last`, or for the end of the child: then with its status. Returns what it said until then.
    ///
    /// # Panics
    ///
    /// When neither happens.
    pub fn end_or(&mut self, last: &Event) -> (Option<ExitStatus>, Vec<Event>) {
        let mut events = Vec::new();
        while let Some(event) = self.hear() {
            events.push(event);
            if events.last() == Some(last) {
                return (None, events);
            }
        }
        (Some(self.process.wait().expect("a child can be waited for")), events)
    }

    /// What the child wrote to its standard error; waits for its end.
    pub fn stderr(&mut self) -> Vec<String> {
        self.read_stderr();
        match std::mem::replace(&mut self.stderr, Stderr::Gone) {
            Stderr::Read(reader) => reader.join().unwrap_or_default(),
            Stderr::Unread(_) | Stderr::Gone => Vec::new(),
        }
    }
}

fn own_program() -> PathBuf {
    std::env::current_exe().expect("a test knows its own program")
}

/// Whether a thread sleeps, or has ended meanwhile. Its state follows its name, which is in brackets.
fn is_asleep(thread: &Path) -> bool {
    let Ok(stat) = std::fs::read_to_string(thread.join("stat")) else { return true };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
