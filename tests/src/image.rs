//! A file system of its own, in a file, whose power can be cut: it needs root, a loop device and a program that makes
//! it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::wait::eventually;

/// Sparse; more than a store of the tests and its headroom take, and as much as the pickiest file system wants.
const IMAGE_BYTES: u64 = 512 << 20;

/// A file system, mounted. Unmounted and deleted when it is dropped.
#[derive(Debug)]
pub struct Image {
    folder: TempDir,
    is_mounted: bool,
}

impl Image {
    /// Makes and mounts one of this kind: `ext4`, say.
    ///
    /// # Errors
    ///
    /// What is missing.
    ///
    /// # Panics
    ///
    /// When the file cannot be made.
    pub fn new(kind: &str) -> Result<Self, String> {
        let mut image = Self { folder: crate::folder(), is_mounted: false };
        let file = std::fs::File::create(image.file()).expect("the folder can be written");
        file.set_len(IMAGE_BYTES).expect("a sparse file can be made");
        std::fs::create_dir(image.mount_point()).expect("the folder can be written");
        run(&format!("mkfs.{kind}"), &["-q".as_ref(), &image.file()])?;
        image.mount()?;
        Ok(image)
    }

    /// The folder where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Unmounts it and mounts it again, which repairs what a cut of the power has left. Nobody may have it open.
    ///
    /// # Panics
    ///
    /// When it cannot be unmounted or mounted.
    pub async fn mount_again(&mut self) {
        // Another test may be starting a process, which has a copy of every open file until it runs.
        eventually("it is unmounted", || run("umount", &[&self.mount_point()]).is_ok()).await;
        self.is_mounted = false;
        self.mount().unwrap_or_else(|error| panic!("{error}"));
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o".as_ref(), "loop".as_ref(), &self.file(), &self.mount_point()])?;
        self.is_mounted = true;
        Ok(())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.is_mounted {
            // The loop device goes with the mount.
            let _ = run("umount", &["--lazy".as_ref(), &self.mount_point()]);
        }
    }
}

fn run(program: &str, arguments: &[&Path]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
