//! The file of a node: one TOML file that says who the node is, where it listens, who its peers are and how it is set.
//!
//! This module owns the shape of the file and what is said when something in it is wrong. It opens nothing but that
//! file: certificates, folders and sockets are looked at by who uses them. `docs/CONFIGURATION.md` is the reference for
//! people; a test keeps the two together.

mod amounts;
mod error;
mod reader;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod validation;
mod values;
mod variables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub use self::error::{NodeFileError, Origin};
use self::reader::Reader;
use crate::config::{IdentityFiles, LinkConfig, NodeConfig};
use crate::telemetry::LogFormat;

/// What the file of a node says, after environment variables have overridden it. Valid: what cannot work is refused by
/// [`NodeFile::read`].
///
/// ```
/// use everpost::NodeFile;
/// let text = r#"
///     name = "east"
///     cluster = "orders"
///     data = "east-data"
///     listen = "127.0.0.1:7401"
///
///     [identity]
///     certificate = "east.crt"
///     key = "east.key"
///     authority = "ca.crt"
///
///     [peers.west]
///     addresses = ["127.0.0.1:7402"]
///
///     [times]
///     ask_timeout = "5s"
/// "#;
/// let file = NodeFile::parse(text, "/etc/everpost/east.toml", []).unwrap();
/// assert_eq!(file.data, std::path::Path::new("/etc/everpost/east-data"));
/// assert_eq!(file.node.ask_timeout.as_secs(), 5);
///
/// let error = NodeFile::parse(&text.replace("ask_", "aks_"), "east.toml", []).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "east.toml, line 16: `times.aks_timeout` is not a key of a node file; did you mean `ask_timeout`?"
/// );
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeFile {
    /// The name of the node: the DNS name in its certificate, and what its peers know it by.
    pub name: String,
    /// The name of the cluster; nodes of different clusters refuse each other.
    pub cluster: String,
    /// The folder of the store.
    pub data: PathBuf,
    /// The UDP address that the node listens on. Port 0 lets the system choose one.
    pub listen: SocketAddr,
    /// What the node proves its name with.
    pub identity: IdentityFiles,
    /// The other nodes, by name.
    pub peers: BTreeMap<String, PeerFile>,
    /// Where the actors of a type live, by actor type. A type without an entry lives on all nodes of the file.
    pub actors: BTreeMap<String, ActorFile>,
    /// The settings of the node and of its store.
    pub node: NodeConfig,
    /// The settings of the links to the peers.
    pub link: LinkConfig,
    /// How logs look, if the file says so.
    pub logs: Option<LogFile>,
}

/// Another node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerFile {
    /// Where it can be reached; at least one. All are tried, so that a second one is a second route.
    pub addresses: Vec<SocketAddr>,
}

/// Where the actors of a type live.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActorFile {
    /// The names of the nodes; at least one.
    pub nodes: Vec<String>,
}

/// How logs look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFile {
    /// For people or for programs.
    pub format: LogFormat,
    /// Which events are logged, in the directives of `RUST_LOG`.
    pub filter: String,
}

impl NodeFile {
    /// Reads the file at `path`, lets the environment variables of this process override it, and checks the result.
    /// Paths in the file are relative to the folder that it is in.
    ///
    /// # Errors
    ///
    /// One error that names the key, the line or variable, what is wrong and what to write instead.
    pub fn read(path: &Path) -> Result<Self, NodeFileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| NodeFileError::Unreadable { path: path.to_path_buf(), source })?;
        Self::parse(&text, path, variables::of_process(path)?)
    }

    /// As [`read`](Self::read), for a text that has been read already and the given variables. `path` is what errors
    /// call the file, and its folder is what paths are relative to.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn parse(
        text: &str,
        path: impl AsRef<Path>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, NodeFileError> {
        parse(text, path.as_ref(), variables, &mut Reader::default())
    }

    /// Whether `name` can be that of a node or a cluster: 1 to 63 characters of `a-z`, `0-9` and `-`, with a letter
    /// among them and no `-` at either end, because the names of nodes are DNS names in certificates.
    #[must_use]
    pub fn is_name(name: &str) -> bool {
        settings::is_name(name)
    }
}

/// Leaves in `reader` which keys were asked for, and their defaults.
fn parse(
    text: &str,
    path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
    reader: &mut Reader,
) -> Result<NodeFile, NodeFileError> {
    let mut tree = tree::parse(text).map_err(|fault| fault.in_file(path))?;
    variables::apply(&mut tree, variables).map_err(|fault| fault.in_file(path))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let file = settings::read(&tree, folder, reader);
    match (reader.first_fault(), file) {
        (None, Some(file)) => match validation::broken(&file, &tree, reader) {
            None => Ok(file),
            Some(fault) => Err(fault.in_file(path)),
        },
        (Some(fault), _) => Err(fault.in_file(path)),
        (None, None) => unreachable!("whatever is missing is a fault"),
    }
}

impl Default for LogFile {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info".to_owned() }
    }
}
