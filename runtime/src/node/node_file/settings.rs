//! The keys of a node file, section by section, and the fields that they set.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;

use tracing_subscriber::EnvFilter;

use super::reader::{Reader, Section};
use super::tree::Item;
use super::values::{Wrong, list, text};
use super::{ActorFile, LogFile, NodeFile, PeerFile};
use crate::config::when_full::WhenFull;
use crate::config::{IdentityFiles, LinkConfig, NodeConfig};
use crate::telemetry::LogFormat;

/// Reads the whole file; `None` only if there is a fault. `folder` is what paths are relative to.
pub(super) fn read(tree: &Item, folder: &Path, reader: &mut Reader) -> Option<NodeFile> {
    let path = |item: &Item, example: &str| match text(item, example)? {
        path if path.is_empty() => Err(Wrong::new("is empty", format!("write a path like `{example}`"))),
        path => Ok(folder.join(path)),
    };
    let mut file = reader.file(tree);
    let name =
        file.required("name", "the name in the node's certificate", "\"east\"", |item| node_name(item, "\"east\""));
    let cluster =
        file.required("cluster", "the name that all nodes share", "\"orders\"", |item| node_name(item, "\"orders\""));
    let data = file.required("data", "the folder of the store", "\"east-data\"", |item| path(item, "\"east-data\""));
    let listen = file.required("listen", "the address to listen on", "\"127.0.0.1:7401\"", address);

    let mut identity = file.section("identity");
    let certificate = identity.required("certificate", "the file of the node's certificate", "\"east.crt\"", |item| {
        path(item, "\"east.crt\"")
    });
    let key = identity
        .required("key", "the file of the node's private key", "\"east.key\"", |item| path(item, "\"east.key\""));
    let authority = identity.required("authority", "the file of the authority's certificate", "\"ca.crt\"", |item| {
        path(item, "\"ca.crt\"")
    });
    identity.end();

    let peers = peers(&mut file);
    let actors = actors(&mut file);
    let mut node = NodeConfig::default();
    limits(file.section("limits"), &mut node);
    times(file.section("times"), &mut node);
    store(file.section("store"), &mut node.store);
    let link = link(file.section("link"));
    let logs = logs(file.section("logs"));
    file.end();

    let identity = IdentityFiles { certificate: certificate?, key: key?, authority: authority? };
    Some(NodeFile {
        name: name?,
        cluster: cluster?,
        data: data?,
        listen: listen?,
        identity,
        peers: peers?,
        actors: actors?,
        node,
        link,
        logs,
    })
}

fn peers(file: &mut Section<'_>) -> Option<BTreeMap<String, PeerFile>> {
    let mut section = file.section("peers");
    let mut peers = Some(BTreeMap::new());
    for name in section.names() {
        let mut peer = section.named(&name, "NODE");
        let example = "[\"127.0.0.1:7402\"]";
        let addresses =
            peer.required("addresses", "where the peer can be reached", example, |item| list(item, example, address));
        peer.end();
        peers = peers.zip(addresses).map(|(mut peers, addresses)| {
            peers.insert(name, PeerFile { addresses });
            peers
        });
    }
    peers
}

fn actors(file: &mut Section<'_>) -> Option<BTreeMap<String, ActorFile>> {
    let mut section = file.section("actors");
    let mut actors = Some(BTreeMap::new());
    for actor_type in section.names() {
        let mut actor = section.named(&actor_type, "TYPE");
        let nodes = actor.required("nodes", "the names of the nodes where these actors live", "[\"west\"]", |item| {
            list(item, "[\"west\"]", |item| node_name(item, "\"west\""))
        });
        actor.end();
        actors = actors.zip(nodes).map(|(mut actors, nodes)| {
            actors.insert(actor_type, ActorFile { nodes });
            actors
        });
    }
    actors
}

fn limits(mut section: Section<'_>, node: &mut NodeConfig) {
    section.count("attempts_max", &mut node.attempts_max);
    section.count("mailbox_messages_max", &mut node.mailbox_messages_max);
    section.bytes("mailbox_bytes_max", &mut node.mailbox_bytes_max);
    section.count("node_messages_max", &mut node.node_messages_max);
    section.bytes("node_bytes_max", &mut node.node_bytes_max);
    section.bytes("message_bytes_max", &mut node.message_bytes_max);
    section.bytes("window_bytes_max", &mut node.window_bytes_max);
    section.count("activations_max", &mut node.activations_max);
    section.count("queries_max", &mut node.queries_max);
    section.count("outbox_messages_max", &mut node.outbox_messages_max);
    section.bytes("outbox_bytes_max", &mut node.outbox_bytes_max);
    section.count("dead_letters_max", &mut node.dead_letters_max);
    let when_full = |when_full: &WhenFull| match when_full {
        WhenFull::HoldBack => "\"hold_back\"".to_owned(),
        WhenFull::DropOldest => "\"drop_oldest\"".to_owned(),
    };
    section.set("dead_letters_when_full", &mut node.dead_letters_when_full, when_full, |item| {
        match text(item, "\"hold_back\"")?.as_str() {
            "hold_back" => Ok(WhenFull::HoldBack),
            "drop_oldest" => Ok(WhenFull::DropOldest),
            other => Err(Wrong::new(format!("is \"{other}\""), "write `\"hold_back\"` or `\"drop_oldest\"`")),
        }
    });
    section.count("idempotency_keys_max", &mut node.idempotency_keys_max);
    section.count("timers_max", &mut node.timers_max);
    section.end();
}

fn times(mut section: Section<'_>, node: &mut NodeConfig) {
    section.duration("idle_after", &mut node.idle_after);
    section.duration("ask_timeout", &mut node.ask_timeout);
    section.duration("stop_timeout", &mut node.stop_timeout);
    section.duration("send_timeout", &mut node.send_timeout);
    section.duration("idempotency_retention", &mut node.idempotency_retention);
    section.duration("dead_letter_retention", &mut node.dead_letter_retention);
    section.duration("backoff_first", &mut node.backoff.first);
    section.duration("backoff_cap", &mut node.backoff.cap);
    section.end();
}

fn store(mut section: Section<'_>, store: &mut everpost_persistence::Config) {
    let mut partitions = store.partitions.get();
    section.count("partitions", &mut partitions);
    // Zero is refused together with what else contradicts; until then the default stands in for it.
    store.partitions = NonZeroU16::new(partitions).unwrap_or(store.partitions);
    section.bytes("journal_map_bytes", &mut store.journal_map_bytes);
    section.bytes("tables_map_bytes", &mut store.tables_map_bytes);
    section.count("queue_turns_max", &mut store.queue_turns_max);
    section.bytes("queue_bytes_max", &mut store.queue_bytes_max);
    section.count("group_turns_max", &mut store.group_turns_max);
    section.bytes("group_bytes_max", &mut store.group_bytes_max);
    section.bytes("checkpoint_bytes", &mut store.checkpoint_bytes);
    section.duration("checkpoint_age", &mut store.checkpoint_age);
    section.bytes("overlay_bytes_max", &mut store.overlay_bytes_max);
    section.bytes("reserve_disk_bytes", &mut store.reserve_disk_bytes);
    section.bytes("disk_headroom_bytes", &mut store.disk_headroom_bytes);
    section.end();
}

fn link(mut section: Section<'_>) -> LinkConfig {
    let mut link = LinkConfig::default();
    section.duration("keep_alive", &mut link.keep_alive);
    section.duration("idle_timeout", &mut link.idle_timeout);
    section.duration("handshake_first", &mut link.handshake_first);
    section.duration("handshake_cap", &mut link.handshake_cap);
    section.duration("reconnect_first", &mut link.reconnect_first);
    section.duration("reconnect_cap", &mut link.reconnect_cap);
    section.bytes("send_window_bytes", &mut link.send_window_bytes);
    section.bytes("lane_window_bytes", &mut link.lane_window_bytes);
    section.count("streams", &mut link.streams);
    section.end();
    link
}

fn logs(mut section: Section<'_>) -> Option<LogFile> {
    let mut logs = LogFile::default();
    let quoted = |text: &str| format!("\"{text}\"");
    let format_text = |format: &LogFormat| match format {
        LogFormat::Pretty => quoted("pretty"),
        LogFormat::Json => quoted("json"),
    };
    section.set("format", &mut logs.format, format_text, |item| match text(item, "\"pretty\"")?.as_str() {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        other => Err(Wrong::new(format!("is \"{other}\""), "write `\"pretty\"` or `\"json\"`")),
    });
    section.set(
        "filter",
        &mut logs.filter,
        |filter| quoted(filter),
        |item| {
            let filter = text(item, "\"info\"")?;
            match EnvFilter::builder().parse(&filter) {
                Ok(_) => Ok(filter),
                Err(error) => Err(Wrong::new(
                    format!("is \"{filter}\", which is not a filter: {error}"),
                    "write directives like `\"info,everpost=debug\"`",
                )),
            }
        },
    );
    let is_there = section.is_there();
    section.end();
    is_there.then_some(logs)
}

/// The name of a node or a cluster.
fn node_name(item: &Item, example: &str) -> Result<String, Wrong> {
    let name = text(item, example)?;
    match is_name(&name) {
        true => Ok(name),
        false => Err(Wrong::new(format!("is \"{name}\", which cannot be a name"), NAME_RULE)),
    }
}

/// Whether it can be the name of a node: names are DNS names in certificates.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-';
    (1..=63).contains(&name.len())
        && name.bytes().all(plain)
        && name.bytes().any(|letter| letter.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// What names are like.
pub(super) const NAME_RULE: &str =
    "write 1 to 63 characters of a-z, 0-9 and `-`, with a letter among them and no `-` at either end";

fn address(item: &Item) -> Result<SocketAddr, Wrong> {
    let text = text(item, "\"127.0.0.1:7401\"")?;
    text.parse().map_err(|_| {
        Wrong::new(
            format!("is \"{text}\", which is not an address"),
            "write an IP address and a port, like `\"127.0.0.1:7401\"` or `\"[::1]:7401\"`",
        )
    })
}
