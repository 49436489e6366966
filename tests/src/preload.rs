//! Small libraries in C that are loaded into a process before the system's own, to do something else in their place.

use std::path::Path;
use std::process::Command;

/// Compiles `source` to `library`.
///
/// # Panics
///
/// When it cannot be compiled: that needs a C compiler, as the store does.
pub(crate) fn compile(source: &str, library: &Path) {
    let file = library.with_extension("c");
    std::fs::write(&file, source).expect("the folder can be written");
    let compiled = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([library, &file])
        .arg("-ldl")
        .output()
        .expect("there is a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
