//! Where the program counts: alone, with a data folder, or as one node of several.
//!
//! Visitors, pages and the total live where placement puts them. An ingest actor has to live where its file is, so its
//! key is chosen to that end: the name of its node, and if that falls to another node, the name with a number behind
//! it.

use std::path::{Path, PathBuf};

use everpost::{Actor, LogFile as LogSettings, Node, NodeFile};
use everpost_examples::Problem;

use super::ingest::Ingest;
use super::page::Page;
use super::total::Total;
use super::visitor::Visitor;

/// How many keys are tried. Each falls to this node with its share of all partitions, so a few are enough.
const KEYS_MAX: u32 = 10_000;

#[derive(Debug)]
pub(crate) enum Site {
    Alone(PathBuf),
    Node(Box<NodeFile>),
}

impl Site {
    pub(crate) fn of_node(file: &Path) -> Result<Self, Problem> {
        Ok(Self::Node(Box::new(NodeFile::read(file).map_err(Problem::usage)?)))
    }

    /// The names of the other nodes.
    pub(crate) fn peers(&self) -> Vec<String> {
        match self {
            Self::Alone(_) => Vec::new(),
            Self::Node(file) => file.peers.keys().cloned().collect(),
        }
    }

    /// How logs look, if the file of the node says so.
    pub(crate) fn log_settings(&self) -> Option<&LogSettings> {
        match self {
            Self::Alone(_) => None,
            Self::Node(file) => file.logs.as_ref(),
        }
    }

    pub(crate) async fn start(self, ingest: Ingest) -> Result<Node, Problem> {
        let builder = match self {
            Self::Alone(data_dir) => Node::builder("main", data_dir),
            Self::Node(file) => (*file).into(),
        };
        Ok(builder.actor(ingest).actor(Visitor).actor(Page).actor(Total).start().await?)
    }
}

/// The key of the ingest actor of this node: always the same, as long as the list of nodes is.
pub(crate) fn ingest_key(node: &Node) -> Result<String, Problem> {
    let name = node.name();
    // No node has a dot in its name, so that the keys of two nodes are never the same.
    let mut keys = std::iter::once(name.to_owned()).chain((1..KEYS_MAX).map(|number| format!("{name}.{number}")));
    let lives_here = |key: &String| node.owner_of(Ingest::at(key).address()) == name;
    keys.find(lives_here).ok_or_else(|| {
        let kind = Ingest::TYPE;
        Problem::usage(format!(
            "actors of type `{kind}` do not live on node `{name}`, so that it cannot read a file; add it to \
             `actors.{kind}.nodes`"
        ))
    })
}
