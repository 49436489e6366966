//! Child processes: each is given orders and answers them, one line of JSON at a time, and ends when its input does.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A child process; it ends with its handle.
pub(crate) struct Running {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(program: &Path, arguments: &[OsString]) -> Result<Self, Problem> {
        let mut process = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().expect("the output was piped");
        Ok(Self { process, output: BufReader::new(output) })
    }

    /// Gives an order; what it answers is its next report.
    pub(crate) fn order(&mut self, order: &impl Serialize) -> Result<(), Problem> {
        let input = self.process.stdin.as_mut().expect("the input was piped");
        write_line(input, order)
    }

    /// Waits for a report.
    pub(crate) fn report<R: DeserializeOwned>(&mut self) -> Result<R, Problem> {
        match read_line(&mut self.output)? {
            Some(report) => Ok(report),
            None => {
                let status = self.process.wait()?;
                Err(Problem::new(format!("a child process ended without a report: {status}")))
            }
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) -> Result<(), Problem> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Lets it end cleanly.
    pub(crate) fn finish(mut self) -> Result<(), Problem> {
        drop(self.process.stdin.take());
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(Problem::new(format!("a child process failed: {status}"))) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless something went wrong before.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a child process: the next order; none when there are no more.
pub(crate) fn next_order<O: DeserializeOwned>() -> Result<Option<O>, Problem> {
    read_line(&mut std::io::stdin().lock())
}

/// In a child process: tells the parent.
pub(crate) fn report(report: &impl Serialize) -> Result<(), Problem> {
    write_line(&mut std::io::stdout().lock(), report)
}

/// In a child process: waits until the parent closes the pipe, by ending if need be.
pub(crate) fn wait_for_the_end() -> Result<(), Problem> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn read_line<T: DeserializeOwned>(input: &mut impl BufRead) -> Result<Option<T>, Problem> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
}

fn write_line(output: &mut impl Write, line: &impl Serialize) -> Result<(), Problem> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    output.write_all(&text)?;
    Ok(output.flush()?)
}
