//! The text of a node file, with what else may be set in comments.

use std::fmt::Write;

use super::plan::Planned;

/// The file of `node`, which has all others as its peers. A line that begins with `#` and no space after it is a
/// setting at its default.
pub(super) fn of_node(node: &Planned, nodes: &[Planned], cluster: &str) -> String {
    let Planned { name, listen } = node;
    let mut text = format!(
        r#"# The node `{name}` of the cluster `{cluster}`, made by `everpost init`.
# After a change: everpost check {name}.toml
# docs/CONFIGURATION.md explains every key. Paths are relative to the folder of this file.
# An environment variable overrides a key: EVERPOST_LISTEN, EVERPOST_STORE__TABLES_MAP_BYTES.

# The DNS name in the node's certificate, and what its peers call it.
name = "{name}"
# The same on all nodes.
cluster = "{cluster}"
# The folder of the store, on a local disk; made at the first start.
data = "{name}-data"
# The UDP address for peers.
listen = "{listen}"

[identity]
certificate = "{name}.crt"
key = "{name}.key"
authority = "ca.crt"
"#
    );
    for peer in nodes.iter().filter(|peer| peer.name != *name) {
        // Writing to a text cannot fail.
        let _ = write!(text, "\n[peers.{}]\naddresses = [\"{}\"]\n", peer.name, peer.listen);
    }
    let _ = write!(
        text,
        r#"
# Where the actors of a type live. A type without an entry lives on all nodes. The same on all nodes.
#[actors.ledger]
#nodes = ["{}"]
"#,
        nodes[0].name
    );
    text.push_str(SETTINGS);
    text
}

/// The settings that are most often changed, at their defaults.
const SETTINGS: &str = r#"
# Lines below that begin with `#` and no space are settings at their defaults.
[limits]
# How often a message is tried before it becomes a dead letter.
#attempts_max = 8
# How many messages may wait in one mailbox before sends from outside are held back.
#mailbox_messages_max = 1_000_000
# The largest message.
#message_bytes_max = "16MiB"
# How much a peer may be owed before sends to it wait.
#outbox_messages_max = 1_000_000
#outbox_bytes_max = "256MiB"

[times]
# How long an ask waits when it does not say.
#ask_timeout = "30s"
# How long a send waits for room before its message is handed back.
#send_timeout = "30s"
# How long an actor stays in memory with nothing to do.
#idle_after = "10s"
# The wait after the first failure of a message doubles up to the cap.
#backoff_first = "200ms"
#backoff_cap = "30s"
# How long a stop waits for the turns that run.
#stop_timeout = "30s"

[store]
# Units of placement; fixed when the store is made, and the same on all nodes.
#partitions = 64
# How large the store may become. Disk is taken as it is used.
#tables_map_bytes = "64GiB"
# How much must be free on the disk for sends from outside.
#disk_headroom_bytes = "64MiB"

[link]
# How long a link may be silent before something is sent, and before it counts as lost.
#keep_alive = "500ms"
#idle_timeout = "2s"
# How much may be on its way to a peer without an acknowledgement.
#send_window_bytes = "8MiB"

#[logs]
# For people, or "json" for programs.
#format = "pretty"
#filter = "info"
"#;
