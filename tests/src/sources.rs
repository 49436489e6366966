//! The files of the workspace, for tests that read them.

use std::path::{Path, PathBuf};

/// The root of the workspace.
///
/// # Panics
///
/// When this package is not a folder of a workspace.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is a folder of the workspace").to_path_buf()
}

/// Every Rust file below `folder`, but for what builds have left there.
///
/// # Panics
///
/// When a folder cannot be read.
#[must_use]
pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("what is in a folder can be listed").path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}
