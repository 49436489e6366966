//! The child as its parent sees it: a process that takes commands, reports, and can be killed.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::options::Plant;
use crate::problem::Problem;
use crate::protocol::{Command, Report, WINDOW};

/// How long a child may be silent when an answer is due. Far more than a slow disk takes: only a child that hangs is.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// How much of what the child wrote to standard error is kept.
const STDERR_BYTES_MAX: usize = 16 * 1024;
/// Room for a command, or an event, for each transfer on its way and a few others: no sender ever waits for long.
const QUEUE: usize = WINDOW as usize + 64;

/// What the parent waits for.
#[derive(Debug)]
pub(crate) enum Event {
    Report(Report),
    /// The child's output has ended, and the child with it.
    Ended,
    /// The user or the system asks to stop.
    Interrupted,
}

/// How children are started, and where their reports arrive.
#[derive(Debug)]
pub(crate) struct Launcher {
    pub(crate) data_dir: PathBuf,
    pub(crate) plant: Option<Plant>,
    pub(crate) events: Receiver<Event>,
    /// For those who cause events.
    pub(crate) cause: SyncSender<Event>,
}

/// A running child. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process<'a> {
    child: Child,
    commands: SyncSender<Command>,
    events: &'a Receiver<Event>,
    /// The end of the child's output has been seen.
    ended: bool,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Launcher {
    pub(crate) fn new(data_dir: &Path, plant: Option<Plant>) -> Self {
        let (cause, events) = mpsc::sync_channel(QUEUE);
        Self { data_dir: data_dir.to_path_buf(), plant, events, cause }
    }

    /// Starts a child and waits until its node runs; also says how many messages it found waiting.
    pub(crate) fn start(&self) -> Result<(Process<'_>, u64), Problem> {
        let mut process = self.spawn().map_err(|error| Problem::surroundings("no child can be started", error))?;
        match process.report()? {
            Report::Ready { replayed } => Ok((process, replayed)),
            Report::NotStarted { reason } => Err(Problem::Surroundings(reason)),
            other => Err(Problem::Child(format!("the child began with {other:?}"))),
        }
    }

    fn spawn(&self) -> io::Result<Process<'_>> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        // In one word, since a folder may begin with a dash.
        let mut data_dir = OsString::from("--data-dir=");
        data_dir.push(&self.data_dir);
        command.arg("--as-child").arg(data_dir);
        match self.plant {
            Some(Plant::Lose) => drop(command.args(["--plant", "lose"])),
            Some(Plant::Duplicate) => drop(command.args(["--plant", "duplicate"])),
            None => {}
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("NO_COLOR", "1");
        // Ctrl-C is for the parent, which ends the child.
        let mut child = command.process_group(0).spawn()?;
        let (commands, queue) = mpsc::sync_channel(QUEUE);
        if let Some(stdin) = child.stdin.take() {
            std::thread::spawn(move || write_commands(stdin, &queue));
        }
        if let Some(stdout) = child.stdout.take() {
            let cause = self.cause.clone();
            std::thread::spawn(move || read_reports(stdout, &cause));
        }
        let stderr = child.stderr.take().map(|stderr| std::thread::spawn(move || read_stderr(stderr)));
        Ok(Process { child, commands, events: &self.events, ended: false, stderr })
    }
}

impl Process<'_> {
    /// Gives a command. A child that is gone is noticed by whoever waits for its reports.
    pub(crate) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Waits for the next report.
    pub(crate) fn report(&mut self) -> Result<Report, Problem> {
        match self.events.recv_timeout(SILENCE_MAX) {
            Ok(Event::Report(report)) => Ok(report),
            Ok(Event::Interrupted) => Err(Problem::Interrupted),
            Ok(Event::Ended) => {
                self.ended = true;
                let status = self.wait()?;
                Err(Problem::Child(format!("the child ended by itself ({status}); it said:\n{}", self.said())))
            }
            Err(_) => Err(Problem::Child(format!("the child has said nothing for {SILENCE_MAX:?}"))),
        }
    }

    /// Asks for everything to be handled.
    pub(crate) fn drain(&mut self) -> Result<(), Problem> {
        self.tell(Command::Drain);
        match self.report()? {
            Report::Drained => Ok(()),
            other => Err(Problem::Child(format!("the child was told to drain and said {other:?}"))),
        }
    }

    /// Ends the child in order.
    pub(crate) fn stop(mut self) -> Result<(), Problem> {
        self.tell(Command::Stop);
        let reports = self.rest()?;
        let status = self.wait()?;
        if status.success() && reports.is_empty() {
            return Ok(());
        }
        Err(Problem::Child(format!(
            "the child was told to stop; it said {reports:?} and ended with {status}:\n{}",
            self.said()
        )))
    }

    /// Kills the child with SIGKILL. What it reported before it died counts, and is returned.
    pub(crate) fn kill(mut self) -> Result<Vec<Report>, Problem> {
        self.child.kill().map_err(|error| Problem::surroundings("the child cannot be killed", error))?;
        self.wait()?;
        self.rest()
    }

    /// The reports up to the end of the child's output.
    fn rest(&mut self) -> Result<Vec<Report>, Problem> {
        let mut reports = Vec::new();
        loop {
            match self.events.recv_timeout(SILENCE_MAX) {
                Ok(Event::Report(report)) => reports.push(report),
                Ok(Event::Interrupted) => return Err(Problem::Interrupted),
                Ok(Event::Ended) => {
                    self.ended = true;
                    return Ok(reports);
                }
                Err(_) => return Err(Problem::Child(format!("the child has not ended within {SILENCE_MAX:?}"))),
            }
        }
    }

    fn wait(&mut self) -> Result<ExitStatus, Problem> {
        self.child.wait().map_err(|error| Problem::surroundings("the child cannot be waited for", error))
    }

    /// The end of what the child wrote to standard error.
    fn said(&mut self) -> String {
        let bytes = self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // Nothing is left to be done if this fails: the child ends with its input.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Ends when nobody gives commands any more, which ends the child's input, or when the child is gone.
fn write_commands(stdin: ChildStdin, commands: &Receiver<Command>) {
    let mut stdin = BufWriter::new(stdin);
    while let Ok(command) = commands.recv() {
        let mut next = Some(command);
        while let Some(command) = next {
            if serde_json::to_writer(&mut stdin, &command).is_err() || stdin.write_all(b"\n").is_err() {
                return;
            }
            next = commands.try_recv().ok();
        }
        if stdin.flush().is_err() {
            return;
        }
    }
}

fn read_reports(stdout: ChildStdout, cause: &SyncSender<Event>) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    while stdout.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
        // A line without its end was cut off by a kill.
        let report = if line.ends_with(b"\n") { serde_json::from_slice(&line).ok() } else { None };
        if let Some(report) = report
            && cause.send(Event::Report(report)).is_err()
        {
            return;
        }
        line.clear();
    }
    let _ = cause.send(Event::Ended);
}

fn read_stderr(mut stderr: ChildStderr) -> Vec<u8> {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(bytes) = stderr.read(&mut buffer)
        && bytes > 0
    {
        said.extend_from_slice(&buffer[..bytes]);
        let excess = said.len().saturating_sub(STDERR_BYTES_MAX);
        said.drain(..excess);
    }
    said
}
