//! Files that are written through a map of memory. A write that finds no block on the disk then ends the process with a
//! signal, so the blocks are there before. A file system that copies what is overwritten (btrfs) needs another block
//! for each write all the same, unless the file is one that is overwritten where it is.

use std::fs::File;

use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

/// Asks that a file be overwritten where it is; while it is empty, since later nobody listens. Most file systems do not
/// know the question, and do so anyway.
pub(crate) fn overwrite_in_place(file: &File) {
    if let Ok(flags) = ioctl_getflags(file) {
        let _ = ioctl_setflags(file, flags | IFlags::NOCOW);
    }
}
