//! The same work by `ractor_cluster`, in the same rounds. It is a program of its own, in `ractor-cluster/`, that is
//! built when it is needed: its features change ractor for a whole build.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::problem::Problem;
use crate::process::Running;
use crate::samples::Samples;

/// Its folder.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ractor-cluster");
/// Its program.
const PROGRAM: &str = "everpost-benches-ractor-cluster";
/// How many casts may be on their way; with fewer it is slower, and without a limit too.
const WINDOW: usize = 10_000;
/// To one actor, which suits it best, and to as many as Everpost has.
const ACTORS: [usize; 2] = [1, 1_000];

/// The program, ready to be run.
pub(super) struct Comparison(PathBuf);

/// What its sender reports.
#[derive(Debug, Deserialize)]
struct Sent {
    casts_per_second: f64,
    sender_processor_us: f64,
    receiver_processor_us: f64,
    call_p50_us: f64,
    call_p99_us: f64,
    call_p999_us: f64,
}

impl Comparison {
    /// Builds it, beside this program.
    pub(super) fn build() -> Result<Self, Problem> {
        let target = target_folder()?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--release", "--locked", "--manifest-path"])
            .arg(Path::new(FOLDER).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target)
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(Problem::new(format!("cargo could not build {FOLDER}: {status}")));
        }
        Ok(Self(program_in(&target)))
    }

    /// What an earlier run has built.
    pub(super) fn built_before() -> Result<Self, Problem> {
        let program = program_in(&target_folder()?);
        if program.exists() {
            Ok(Self(program))
        } else {
            Err(Problem::new("a smoke run does not build it; a full run does"))
        }
    }

    /// One run with each number of actors.
    pub(super) fn round(&self, samples: &mut Samples, casts: u64, calling: Duration) -> Result<(), Problem> {
        for actors in ACTORS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let mut receiver = self.start("receive", &[("--port", port.into()), ("--actors", actors as u64)])?;
            receiver.report::<()>()?;
            let mut sender = self.start(
                "send",
                &[
                    ("--port", port.into()),
                    ("--actors", actors as u64),
                    ("--casts", casts),
                    ("--window", WINDOW as u64),
                    ("--milliseconds", u64::try_from(calling.as_millis())?),
                ],
            )?;
            let sent: Sent = sender.report()?;
            sender.finish()?;
            receiver.finish()?;
            let mut add = |figure: &str, unit, value| samples.add(format!("ractor_cluster.{figure}"), unit, value);
            add(&format!("cast_{actors}"), "messages/s", sent.casts_per_second);
            add(&format!("cast_{actors}.sender.processor"), "us/message", sent.sender_processor_us);
            add(&format!("cast_{actors}.receiver.processor"), "us/message", sent.receiver_processor_us);
            add(&format!("call_{actors}_p50"), "us", sent.call_p50_us);
            add(&format!("call_{actors}_p99"), "us", sent.call_p99_us);
            add(&format!("call_{actors}_p999"), "us", sent.call_p999_us);
        }
        Ok(())
    }

    fn start(&self, command: &str, options: &[(&str, u64)]) -> Result<Running, Problem> {
        let mut arguments = vec![OsString::from(command)];
        arguments.extend(options.iter().flat_map(|(name, value)| [(*name).into(), value.to_string().into()]));
        Running::start(&self.0, &arguments)
    }
}

/// A folder of its own within the one that this program was built in.
fn target_folder() -> Result<PathBuf, Problem> {
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent);
    let target = target.ok_or_else(|| Problem::new(format!("{} is in no folder of cargo", program.display())))?;
    Ok(target.join("ractor-cluster"))
}

fn program_in(target: &Path) -> PathBuf {
    target.join("release").join(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX))
}
