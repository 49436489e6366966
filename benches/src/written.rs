//! Bytes on their way to the disk, counted in three places, since none of them tells all.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::machine::value_of;
use crate::problem::Problem;

/// A sector in the kernel's statistics of a device, whatever the device's own are.
const SECTOR_BYTES: u64 = 512;

/// How much was written so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// What this process has passed to write calls (`wchar`).
    pub(crate) by_calls: u64,
    /// What the pages hold that this process made dirty (`write_bytes`). A kernel that keeps files in large pages
    /// counts the whole page for any part of it.
    pub(crate) by_pages: u64,
    /// What the device was given to write, by all processes; absent where it is not the folder's own.
    pub(crate) by_device: Option<u64>,
}

impl Written {
    /// `folder` is on the device.
    pub(crate) fn read(folder: &Path) -> Result<Self, Problem> {
        Ok(Self {
            by_calls: counter("wchar")?,
            by_pages: counter("write_bytes")?,
            by_device: sectors(folder).map(|sectors| sectors * SECTOR_BYTES),
        })
    }
}

fn counter(name: &str) -> Result<u64, Problem> {
    let value = value_of("/proc/self/io", name).and_then(|value| value.parse().ok());
    value.ok_or_else(|| Problem::new(format!("/proc/self/io has no number `{name}`")))
}

/// Sectors written: the seventh number of the device's statistics.
fn sectors(folder: &Path) -> Option<u64> {
    let device = fs::metadata(folder).ok()?.dev();
    let path = format!("/sys/dev/block/{}:{}/stat", rustix::fs::major(device), rustix::fs::minor(device));
    fs::read_to_string(path).ok()?.split_whitespace().nth(6)?.parse().ok()
}
