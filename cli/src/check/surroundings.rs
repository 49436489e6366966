//! Whether a node finds what it needs on this machine: a folder that it can write to, and its address.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::Path;

use everpost::NodeFile;
use everpost_transport::wrong_family;
use rustix::process::{Resource, getrlimit};

use super::report::Report;

/// What a node takes of address space beside the maps of its store: the program, its memory and the stacks of its
/// threads.
const BESIDE_MAPS_BYTES: u64 = 512 << 20;
/// The files of the store, sockets, and what the program opens itself.
const FILES_MIN: u64 = 64;
/// Those of the runtime, which has some for what blocks, and of the store.
const THREADS_MIN: u64 = 64;

pub(super) fn check(file: &NodeFile, report: &mut Report) {
    check_data(&file.data, report);
    check_listen(file, report);
    check_peers(file, report);
    check_limits(file, report);
}

/// Whether packets can leave for each peer, as far as addresses say.
fn check_peers(file: &NodeFile, report: &mut Report) {
    for (name, peer) in &file.peers {
        let addresses: Vec<_> = peer.addresses.iter().filter(|address| address.port() != 0).collect();
        if addresses.is_empty() {
            report.warning("peers", format!("`{name}` has no address with a port, so it must connect to this node"));
            continue;
        }
        let wrong = addresses.iter().filter_map(|address| Some((address, wrong_family(file.listen, **address)?)));
        let wrong: Vec<_> = wrong.collect();
        let Some((address, why)) = wrong.first() else { continue };
        if wrong.len() < addresses.len() {
            report.warning("peers", format!("`{name}` is not reached at {address}: {why}"));
        } else {
            report.problem("peers", format!("`{name}` is not reached: {address}: {why}"));
        }
    }
}

/// Whether the limits of this process would do for a node, which has them too if it is started from the same place.
fn check_limits(file: &NodeFile, report: &mut Report) {
    let store = &file.node.store;
    let needed = store.journal_map_bytes.saturating_add(store.tables_map_bytes).saturating_add(BESIDE_MAPS_BYTES);
    if let Some(limit) = getrlimit(Resource::As).current.filter(|limit| *limit < needed) {
        report.problem(
            "limits",
            format!(
                "{limit} bytes of address space (RLIMIT_AS, `ulimit -v`), and the maps of the store take {needed} with \
                 the program; raise that limit, or lower `store.journal_map_bytes` and `store.tables_map_bytes`"
            ),
        );
    }
    for (resource, least, what) in [
        (Resource::Nofile, FILES_MIN, "open files (RLIMIT_NOFILE, `ulimit -n`)"),
        (Resource::Nproc, THREADS_MIN, "threads of its user (RLIMIT_NPROC, `ulimit -u`)"),
    ] {
        if let Some(limit) = getrlimit(resource).current.filter(|limit| *limit < least) {
            report.problem("limits", format!("{limit} {what}, and a node needs {least} at least; raise that limit"));
        }
    }
}

/// A file without a name is made in the folder, or in the one that it would be made in, and vanishes at once.
fn check_data(data: &Path, report: &mut Report) {
    let path = data.display();
    let full = std::path::absolute(data).unwrap_or_else(|_| data.to_path_buf());
    let existing = full.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(&full);
    let writable = match fs::metadata(existing) {
        Ok(metadata) if !metadata.is_dir() => Err(io::Error::from(io::ErrorKind::NotADirectory)),
        Ok(_) => tempfile::tempfile_in(existing).map(drop),
        Err(error) => Err(error),
    };
    match writable {
        Ok(()) if existing == full => report.ok("data", format!("{path} can be written")),
        Ok(()) => report.ok("data", format!("{path} will be made at the first start")),
        Err(error) => {
            let folder = existing.display();
            let what = if existing == full { String::new() } else { format!(", so {path} cannot be made") };
            report.problem(
                "data",
                format!("{folder} cannot be written: {error}{what}; change `data` or its permissions"),
            );
        }
    }
}

fn check_listen(file: &NodeFile, report: &mut Report) {
    let listen = file.listen;
    match UdpSocket::bind(listen) {
        Ok(_) => report.ok("listen", format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            report.warning("listen", format!("{listen} is in use: if not by this node, change `listen`"));
        }
        Err(error) => report.problem("listen", format!("{listen} cannot be used: {error}; change `listen`")),
    }
}
