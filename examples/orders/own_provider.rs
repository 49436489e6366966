//! A provider as a child process, for those who have none.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use everpost_examples::Problem;

/// A running provider. It ends with its input: when this is dropped, or when the program dies.
#[derive(Debug)]
pub(crate) struct OwnProvider {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl OwnProvider {
    /// Starts it, and waits until it listens, which it does when one that was there before has ended.
    pub(crate) fn start(ledger: &Path, seed: u64) -> Result<Self, Problem> {
        let program = std::env::current_exe().map_err(Problem::failure)?;
        // In one word, since a folder may begin with a dash.
        let mut file = OsString::from("--ledger=");
        file.push(ledger);
        let mut command = Command::new(program);
        command.arg("provider").arg(file).args(["--seed", &seed.to_string(), "--with-parent"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // Ctrl-C is for the parent.
        let mut child = command.process_group(0).spawn().map_err(Problem::failure)?;
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let address = line.trim_end().parse();
        match (read, address) {
            (Ok(_), Ok(address)) => Ok(Self { child, address }),
            _ => Err(Problem::usage("the provider does not start")),
        }
    }
}

impl Drop for OwnProvider {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Whatever it ends with, it has ended.
        let _ = self.child.wait();
    }
}
