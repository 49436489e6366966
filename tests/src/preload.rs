//! Small libraries in C that are loaded into child processes, between them and the system.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the library in the folder where it was compiled.
const LIBRARY: &str = "between.so";

/// Compiles a library into this folder.
///
/// # Panics
///
/// When it cannot be compiled: it needs a C compiler, as the store does.
pub(crate) fn compile(folder: &Path, source: &str) {
    let file = folder.join("between.c");
    std::fs::write(&file, source).expect("the folder can be written");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
        .args([&folder.join(LIBRARY), &file])
        .arg("-ldl")
        .output()
        .expect("there is a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

/// What a process needs to load the library that was compiled into this folder.
pub(crate) fn environment(folder: &Path) -> (&'static str, PathBuf) {
    ("LD_PRELOAD", folder.join(LIBRARY))
}
