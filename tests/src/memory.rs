//! How much memory a process takes: measured in a process of its own, where nothing else does.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Names the folder that a test which measures is to work in.
const VARIABLE: &str = "EVERPOST_TEST_MEASURED";
/// How often a peak is looked for. What is too short to be seen is no backlog.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// In the process that measures, the folder that it was given.
#[must_use]
pub fn measured() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

/// Runs `test`, by its whole name, once more in a process of its own, where [`measured`] says `folder`.
///
/// # Panics
///
/// When the test fails there; then with what it said.
pub fn measure(test: &str, folder: &Path, environment: impl IntoIterator<Item = (&'static str, PathBuf)>) {
    let program = std::env::current_exe().expect("a test knows its own program");
    let environment = environment.into_iter().map(|(name, value)| (name, OsString::from(value)));
    let output = Command::new(program)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, folder)
        .envs(environment)
        .output()
        .expect("a process can be started");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    eprintln!("{}", said(&output.stdout));
    assert!(output.status.success(), "{test}: {}\n{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "there is no test `{test}`");
}

/// The bytes that this process has in memory and on no disk: not what it has mapped of files.
///
/// # Panics
///
/// When the system does not say it.
#[must_use]
pub fn taken() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system tells of processes");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("it tells of memory");
    let kibibytes = line.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("it tells it in kibibytes") * 1024
}

/// The most that is taken while this lives.
#[derive(Debug)]
pub struct Peak {
    most: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    looking: Option<JoinHandle<()>>,
}

impl Peak {
    /// Looks from now on.
    #[must_use]
    pub fn watch() -> Self {
        let (most, is_over) = (Arc::new(AtomicU64::new(taken())), Arc::new(AtomicBool::new(false)));
        let looking = std::thread::spawn({
            let (most, is_over) = (Arc::clone(&most), Arc::clone(&is_over));
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    most.fetch_max(taken(), Ordering::Relaxed);
                    std::thread::park_timeout(LOOK_EVERY);
                }
            }
        });
        Self { most, is_over, looking: Some(looking) }
    }

    /// What it has seen.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.most.fetch_max(taken(), Ordering::Relaxed).max(taken())
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(looking) = self.looking.take() {
            looking.thread().unpark();
            // Looking does not panic where looking before has not.
            let _ = looking.join();
        }
    }
}
