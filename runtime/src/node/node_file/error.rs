//! What is said when a node file cannot be used: one line that names the file, the place, the key and what to write.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a node file cannot be used. Nothing was opened or changed.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum NodeFileError {
    /// The file could not be read.
    #[error("{} cannot be read: {source}; check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}, {origin}: this is not TOML: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where it stops being TOML.
        origin: Origin,
        /// What is wrong.
        problem: String,
    },
    /// A key is unknown, missing, of a wrong type, or contradicts another.
    #[error("{}, {origin}: `{key}` {problem}; {advice}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Where the value comes from, or where a missing one belongs.
        origin: Origin,
        /// The key, with its sections: `limits.attempts_max`.
        key: String,
        /// What is wrong with it.
        problem: String,
        /// What to write instead.
        advice: String,
    },
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Origin {
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable, by its name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

/// What is wrong, before the file that it is in is added.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) origin: Origin,
    /// Empty for a fault of the text itself.
    pub(super) key: String,
    pub(super) problem: String,
    pub(super) advice: String,
}

impl Fault {
    pub(super) fn in_file(self, path: &Path) -> NodeFileError {
        let Self { origin, key, problem, advice } = self;
        let [key, problem, advice] = [key, problem, advice].map(|text| one_line(&text));
        let path = path.to_path_buf();
        if key.is_empty() {
            return NodeFileError::Syntax { path, origin, problem };
        }
        NodeFileError::Key { path, origin, key, problem, advice }
    }
}

/// Values are shown as they were written, line breaks and other control characters excepted.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => line.extend(letter.escape_default()),
            false => line.push(letter),
        }
    }
    line
}

crate::base::error_text::debug_as_text!(NodeFileError);
