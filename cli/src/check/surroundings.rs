//! Whether a node finds what it needs on this machine: a folder that it can write to, and its address.

use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::Path;

use everpost::NodeFile;

use super::report::Report;

pub(super) fn check(file: &NodeFile, report: &mut Report) {
    check_data(&file.data, report);
    check_listen(file, report);
    let unreachable = file.peers.iter().filter(|(_, peer)| peer.addresses.iter().all(|address| address.port() == 0));
    for (name, _) in unreachable {
        report.warning("peers", format!("`{name}` has no address with a port, so it must connect to this node"));
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
