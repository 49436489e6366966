//! What was measured on.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use crate::problem::Problem;

/// The machine, as far as it decides the figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    memory_bytes: u64,
    kernel: String,
    /// Of the disk that is measured.
    file_system: String,
    device: String,
}

impl Machine {
    pub(crate) fn describe(data: &Path) -> Result<Self, Problem> {
        let (file_system, device) = mount_of(data)?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            processor: value_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            memory_bytes: memory_bytes().unwrap_or_default(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system,
            device,
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, memory_bytes, kernel, file_system, device } = self;
        let memory = memory_bytes >> 20;
        write!(f, "{cores} cores ({processor}), {memory} MiB of memory, Linux {kernel}, {file_system} on {device}")
    }
}

/// A folder that is removed when it is dropped: in `data_dir`, which is made if need be, or on the disk of the working
/// folder.
pub(crate) fn scratch_folder(data_dir: Option<&Path>) -> Result<TempDir, Problem> {
    let parent = data_dir.map_or_else(data_folder, |folder| Ok(folder.to_path_buf()))?;
    let named = |error| Problem::new(format!("{}: {error}", parent.display()));
    fs::create_dir_all(&parent).map_err(named)?;
    tempfile::Builder::new().prefix("everpost-benches-").tempdir_in(&parent).map_err(named)
}

/// A folder on the disk of the working folder: the temporary folder where that is on the same disk (on many systems it
/// is memory), the working folder itself where it is not.
fn data_folder() -> Result<PathBuf, Problem> {
    let (here, temporary) = (std::env::current_dir()?, std::env::temp_dir());
    let same = fs::metadata(&temporary)
        .is_ok_and(|temporary| fs::metadata(&here).is_ok_and(|here| here.dev() == temporary.dev()));
    Ok(if same { temporary } else { here })
}

/// File system and device of a folder; overlays and subvolumes may hide them.
fn mount_of(folder: &Path) -> Result<(String, String), Problem> {
    let device = fs::metadata(folder)?.dev();
    let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let found = mounts.lines().find_map(|line| parse_mount(line, &device));
    Ok(found.unwrap_or_else(|| ("unknown".into(), device)))
}

/// A line of `mountinfo`: the third field is the device; after a dash come file system and source.
fn parse_mount(line: &str, device: &str) -> Option<(String, String)> {
    let (mount, rest) = line.split_once(" - ")?;
    if mount.split(' ').nth(2)? != device {
        return None;
    }
    let mut rest = rest.split(' ');
    Some((rest.next()?.to_owned(), rest.next()?.to_owned()))
}

fn memory_bytes() -> Option<u64> {
    let total = value_of("/proc/meminfo", "MemTotal")?;
    Some(total.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The first `key: value` of a file of lines.
pub(crate) fn value_of(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_device() {
        let line = "29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard";
        assert_eq!(parse_mount(line, "254:0"), Some(("ext4".into(), "/dev/vda".into())));
        assert_eq!(parse_mount(line, "254:1"), None);
    }
}
