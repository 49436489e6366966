//! What memory this process takes, as the kernel counts it.

use serde::{Deserialize, Serialize};

use crate::machine::value_of;
use crate::problem::Problem;

/// Memory of this process.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Heaps and stacks.
    pub(crate) anonymous_bytes: u64,
    /// Pages of files, the maps of the store among them: the kernel takes them back when it wants to.
    pub(crate) file_bytes: u64,
}

impl Memory {
    /// What is resident now, after free memory was given back.
    pub(crate) fn resident() -> Result<Self, Problem> {
        trim();
        Ok(Self { anonymous_bytes: status_bytes("RssAnon")?, file_bytes: status_bytes("RssFile")? })
    }
}

/// The most that was resident so far, pages of files included.
pub(crate) fn peak_bytes() -> Result<u64, Problem> {
    status_bytes("VmHWM")
}

fn status_bytes(key: &str) -> Result<u64, Problem> {
    let unreadable = || Problem::new(format!("/proc/self/status does not say `{key}` in kB"));
    let value = value_of("/proc/self/status", key).ok_or_else(unreadable)?;
    let kilobytes: u64 = value.strip_suffix("kB").and_then(|value| value.trim().parse().ok()).ok_or_else(unreadable)?;
    Ok(kilobytes * 1024)
}

/// Gives free memory of the heap back: what is freed and kept for later is not what a message costs.
fn trim() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the heap has no safe door")]
    // SAFETY: it takes a number, touches free memory only, and may be called from any thread at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
