//! Which limit of the process is behind what the system refuses. It says "out of memory" of address space, and "try
//! again" of threads.

use std::fmt;
use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// A limit that the system has for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProcessLimit {
    /// Of address space, in bytes. The maps of a store take it whole, whatever is in them.
    AddressSpace,
    /// Of files that are open at a time.
    OpenFiles,
    /// Of the threads of all processes of a user.
    Threads,
}

/// The limits that may have made the system refuse something, as they are set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessLimits(Vec<(ProcessLimit, u64)>);

impl ProcessLimits {
    /// Those behind an error; none when the process has no limit that would explain it.
    pub(crate) fn behind(error: &io::Error) -> Option<Self> {
        let suspects: &[ProcessLimit] = match Errno::from_io_error(error)? {
            Errno::NOMEM => &[ProcessLimit::AddressSpace],
            Errno::MFILE => &[ProcessLimit::OpenFiles],
            // A thread has a stack, which takes address space.
            Errno::AGAIN => &[ProcessLimit::Threads, ProcessLimit::AddressSpace],
            _ => return None,
        };
        let set: Vec<_> = suspects.iter().filter_map(|limit| Some((*limit, limit.value()?))).collect();
        (!set.is_empty()).then_some(Self(set))
    }

    /// Which they are, each with how much the process may have.
    #[must_use]
    pub fn limits(&self) -> &[(ProcessLimit, u64)] {
        &self.0
    }
}

impl ProcessLimit {
    /// None when there is no limit.
    fn value(self) -> Option<u64> {
        let resource = match self {
            Self::AddressSpace => Resource::As,
            Self::OpenFiles => Resource::Nofile,
            Self::Threads => Resource::Nproc,
        };
        getrlimit(resource).current
    }
}

/// What the process may have, and what to do.
impl fmt::Display for ProcessLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (limit, value)) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "; and " };
            let (what, name, remedy) = match limit {
                ProcessLimit::AddressSpace => (
                    "bytes of address space",
                    "RLIMIT_AS, `ulimit -v`",
                    ", or lower `journal_map_bytes` and `tables_map_bytes` of the store, which are address space",
                ),
                ProcessLimit::OpenFiles => ("open files", "RLIMIT_NOFILE, `ulimit -n`", ""),
                ProcessLimit::Threads => ("threads of its user", "RLIMIT_NPROC, `ulimit -u`", ""),
            };
            write!(f, "{between}this process may have {value} {what} ({name}): raise that limit{remedy}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_with_its_setting_and_what_has_none_is_not() {
        let limits = ProcessLimits(vec![(ProcessLimit::Threads, 7), (ProcessLimit::AddressSpace, 1024)]);
        let words = limits.to_string();
        for part in
            ["7 threads of its user (RLIMIT_NPROC", "1024 bytes of address space (RLIMIT_AS", "tables_map_bytes"]
        {
            assert!(words.contains(part), "{words}");
        }
        // Every process has a limit of files.
        let files = ProcessLimits::behind(&Errno::MFILE.into()).unwrap();
        assert!(files.to_string().contains("RLIMIT_NOFILE"), "{files}");
        assert_eq!(ProcessLimits::behind(&Errno::ACCESS.into()), None);
    }
}
