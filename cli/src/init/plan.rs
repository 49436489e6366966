//! Which nodes are made, and what their files are called.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use crate::problem::Problem;

/// A node to be.
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) listen: SocketAddr,
}

/// Who the nodes are and where they listen.
pub(super) fn plan(nodes: &[String], cluster: &str, port: u16) -> Result<Vec<Planned>, Problem> {
    for (option, name) in nodes.iter().map(|name| ("--nodes", name.as_str())).chain([("--cluster", cluster)]) {
        if !everpost::NodeFile::is_name(name) {
            let rule =
                "a name has 1 to 63 characters of a-z, 0-9 and `-`, with a letter among them and no `-` at either end";
            return Err(Problem::new(format!("{option}: `{name}` cannot be a name: {rule}")));
        }
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = nodes.iter().find(|name| !seen.insert(*name)) {
        return Err(Problem::new(format!("--nodes names `{twice}` twice; give every node a name of its own")));
    }
    if nodes.iter().any(|name| name == "ca") {
        return Err(Problem::new("--nodes: a node cannot be called `ca`, which is the name of the authority's files"));
    }
    let ports = (port..=u16::MAX).skip(1);
    let planned: Vec<_> = nodes
        .iter()
        .zip(ports)
        .map(|(name, port)| Planned { name: name.clone(), listen: (Ipv4Addr::LOCALHOST, port).into() })
        .collect();
    if planned.len() < nodes.len() {
        let message = format!("--port {port}: there are fewer than {} ports after it; choose a lower one", nodes.len());
        return Err(Problem::new(message));
    }
    Ok(planned)
}

/// The names of all files.
pub(super) fn files(nodes: &[Planned]) -> Vec<String> {
    let of_node = |node: &Planned| ["toml", "crt", "key"].map(|ending| format!("{}.{ending}", node.name));
    ["ca.crt", "ca.key"].map(str::to_owned).into_iter().chain(nodes.iter().flat_map(of_node)).collect()
}
