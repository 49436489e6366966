//! What the values of a node file must be like together: the contradictions that reading key by key cannot see.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::NodeFile;
use super::error::{Fault, Origin};
use super::reader::Reader;
use super::settings::{NAME_RULE, is_name};
use super::tree::{Item, Value};
use crate::config::LinkConfig;

/// The first rule that is broken.
pub(super) fn broken(file: &NodeFile, tree: &Item, reader: &Reader) -> Option<Fault> {
    let rules = Rules { file, tree, reader };
    let check = || {
        rules.peers()?;
        rules.actors()?;
        rules.link()?;
        rules.node()?;
        rules.store()
    };
    check().err()
}

/// Settings that must fit each other: if the first is not in the file, the fault is where the second is.
const TOGETHER: [(&str, &str); 7] = [
    ("link.idle_timeout", "link.keep_alive"),
    ("link.handshake_first", "link.handshake_cap"),
    ("link.reconnect_first", "link.reconnect_cap"),
    ("link.lane_window_bytes", "link.send_window_bytes"),
    ("times.backoff_first", "times.backoff_cap"),
    ("limits.message_bytes_max", "store.queue_bytes_max"),
    ("store.overlay_bytes_max", "store.checkpoint_bytes"),
];

struct Rules<'a> {
    file: &'a NodeFile,
    tree: &'a Item,
    reader: &'a Reader,
}

impl Rules<'_> {
    fn peers(&self) -> Result<(), Fault> {
        let mut seen: BTreeMap<SocketAddr, &str> = BTreeMap::new();
        for (name, peer) in &self.file.peers {
            let key = format!("peers.{name}");
            if !is_name(name) {
                return Err(self.fault(&key, "cannot be the name of a node", NAME_RULE));
            }
            if *name == self.file.name {
                let fault = self.fault(&key, "is this node itself", "list the other nodes only");
                return Err(self.because_of("name", fault));
            }
            let key = format!("{key}.addresses");
            for (index, address) in peer.addresses.iter().enumerate() {
                // Port 0 is no address yet.
                if address.port() == 0 {
                    continue;
                }
                let advice = "give every node an address of its own";
                if self.is_own(address) {
                    let problem = format!("has {address}, where this node listens itself");
                    return Err(self.because_of("listen", self.element_fault(&key, index, &problem, advice)));
                }
                if let Some(other) = seen.insert(*address, name) {
                    let problem = match other == name {
                        true => format!("has {address} twice"),
                        false => format!("has {address}, which is an address of the peer `{other}` too"),
                    };
                    return Err(self.element_fault(&key, index, &problem, advice));
                }
            }
        }
        Ok(())
    }

    /// Whether this node would talk to itself there.
    fn is_own(&self, address: &SocketAddr) -> bool {
        let listen = self.file.listen;
        let everywhere = listen.ip().is_unspecified() && (address.ip().is_loopback() || address.ip().is_unspecified());
        listen.port() == address.port() && (listen.ip() == address.ip() || everywhere)
    }

    fn actors(&self) -> Result<(), Fault> {
        for (actor_type, actor) in &self.file.actors {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
            if !(1..=64).contains(&actor_type.len()) || !actor_type.bytes().all(plain) {
                let advice = "write 1 to 64 characters of a-z, 0-9, `_` and `-`";
                return Err(self.fault(&format!("actors.{actor_type}"), "cannot be an actor type", advice));
            }
            let key = format!("actors.{actor_type}.nodes");
            for (index, node) in actor.nodes.iter().enumerate() {
                if *node != self.file.name && !self.file.peers.contains_key(node) {
                    let problem = format!("names \"{node}\", which is neither this node nor a peer");
                    let names: Vec<_> = self.file.peers.keys().chain([&self.file.name]).map(String::as_str).collect();
                    let advice = format!("name some of {}, or add `[peers.{node}]`", names.join(", "));
                    return Err(self.because_of("name", self.element_fault(&key, index, &problem, &advice)));
                }
                if actor.nodes[..index].contains(node) {
                    return Err(self.element_fault(&key, index, &format!("names \"{node}\" twice"), "name it once"));
                }
            }
        }
        Ok(())
    }

    fn link(&self) -> Result<(), Fault> {
        self.link_times()?;
        self.link_windows()
    }

    fn link_times(&self) -> Result<(), Fault> {
        let link = &self.file.link;
        self.all_hold(&[
            ("link.keep_alive", link.keep_alive >= LinkConfig::WAIT_MIN, "is too short", "write at least `\"1ms\"`"),
            (
                "link.idle_timeout",
                link.idle_timeout >= link.keep_alive.saturating_mul(3),
                "is less than three times `link.keep_alive`, so that two lost packets would end a link",
                "write three times `link.keep_alive` or more",
            ),
            (
                "link.handshake_first",
                link.handshake_first >= LinkConfig::WAIT_MIN,
                "is too short",
                "write at least `\"1ms\"`",
            ),
            (
                "link.handshake_first",
                link.handshake_first <= link.handshake_cap,
                "exceeds `link.handshake_cap`",
                "write `link.handshake_cap` or less",
            ),
            ("link.idle_timeout", link.idle_timeout <= LinkConfig::WAIT_MAX, "is too long", "write at most `\"24h\"`"),
            (
                "link.handshake_cap",
                link.handshake_cap <= LinkConfig::WAIT_MAX,
                "is too long",
                "write at most `\"24h\"`",
            ),
            (
                "link.handshake_cap",
                link.handshake_cap >= LinkConfig::HANDSHAKE_CAP_MIN,
                "is too short for a handshake between two busy nodes",
                "write at least `\"100ms\"`",
            ),
            (
                "link.reconnect_first",
                link.reconnect_first >= LinkConfig::WAIT_MIN,
                "is too short",
                "write at least `\"1ms\"`",
            ),
            (
                "link.reconnect_cap",
                link.reconnect_cap <= LinkConfig::RECONNECT_CAP_MAX,
                "is so long that messages would wait for hours after their node has come back",
                "write at most `\"1h\"`",
            ),
            (
                "link.reconnect_first",
                link.reconnect_first <= link.reconnect_cap,
                "exceeds `link.reconnect_cap`",
                "write `link.reconnect_cap` or less",
            ),
        ])
    }

    fn link_windows(&self) -> Result<(), Fault> {
        let link = &self.file.link;
        self.all_hold(&[
            (
                "link.lane_window_bytes",
                link.lane_window_bytes >= 4096,
                "is too small for messages to flow",
                "write at least `\"4KiB\"`",
            ),
            (
                "link.lane_window_bytes",
                link.lane_window_bytes <= link.send_window_bytes,
                "exceeds `link.send_window_bytes`, within which all lanes of a peer share",
                "write `link.send_window_bytes` or less",
            ),
            (
                "link.streams",
                (1..=64).contains(&link.streams),
                "is not from 1 to 64",
                "write `4`, which is the default",
            ),
        ])
    }

    /// The first rule that does not hold is the fault: the key, whether it holds, what is wrong otherwise, and what to
    /// write.
    fn all_hold(&self, rules: &[(&str, bool, &str, &str)]) -> Result<(), Fault> {
        match rules.iter().find(|(_, holds, ..)| !holds) {
            Some((key, _, problem, advice)) => Err(self.fault(key, problem, advice)),
            None => Ok(()),
        }
    }

    fn node(&self) -> Result<(), Fault> {
        let Err(error) = self.file.node.validate() else {
            return Ok(());
        };
        let reason = error.reason.replace("`backoff.", "`times.backoff_");
        let key = self.key_of(error.setting);
        Err(self.fault(&key, &format!("cannot work: {reason}"), "change it, or leave it out for its default"))
    }

    fn store(&self) -> Result<(), Fault> {
        if self.tree.find("store.partitions").is_some_and(|item| matches!(item.read().value, Value::Number(0))) {
            return Err(self.fault("store.partitions", "is 0, and must be at least 1", "raise it"));
        }
        let Err(error) = self.file.node.store.validate() else {
            return Ok(());
        };
        use everpost_persistence::ConfigError::{TooLarge, TooSmall};
        match error {
            TooSmall { field, value, least } => {
                let problem = format!("is {value}, and must be at least {least}");
                Err(self.fault(&self.key_of(field), &problem, "raise it"))
            }
            TooLarge { field, value, most } => {
                let problem = format!("is {value}, and must be at most {most}");
                Err(self.fault(&self.key_of(field), &problem, "lower it"))
            }
            other => Err(self.fault("store", &format!("cannot work: {other}"), "change it")),
        }
    }

    /// The key that sets what the code calls `setting`: `backoff.first` is `times.backoff_first`.
    fn key_of(&self, setting: &str) -> String {
        let name = setting.trim_start_matches("store.").replace('.', "_");
        let is_it = |key: &&str| key.rsplit('.').next() == Some(name.as_str());
        self.reader.known().iter().map(|known| known.key.as_str()).find(is_it).unwrap_or(setting).to_owned()
    }

    /// A fault of a key where it stands in the file, or where the one stands that it does not fit.
    fn fault(&self, key: &str, problem: &str, advice: &str) -> Fault {
        let other = TOGETHER.iter().find(|(one, _)| *one == key).map_or("", |(_, other)| other);
        let mut fault = Fault {
            origin: self.tree.origin.clone(),
            key: key.to_owned(),
            problem: problem.to_owned(),
            advice: advice.to_owned(),
        };
        if let Some(item) = self.tree.find(key) {
            fault.origin = item.origin.clone();
            return self.because_of(other, fault);
        }
        if let Some(item) = self.tree.find(other) {
            fault.origin = item.origin.clone();
        }
        let default =
            self.reader.known().iter().find(|known| known.key == key).and_then(|known| known.default.as_ref());
        let default = default.map_or_else(String::new, |default| format!("{default} by default, "));
        fault.problem = format!("({default}not in the file) {problem}");
        fault
    }

    /// A file fits itself more often than a variable fits a file: where the other key comes from a variable, the fault
    /// is there.
    fn because_of(&self, other: &str, mut fault: Fault) -> Fault {
        if let Some(Item { origin: origin @ Origin::Variable(_), .. }) = self.tree.find(other) {
            fault.origin = origin.clone();
        }
        fault
    }

    /// A fault of one element of a list.
    fn element_fault(&self, key: &str, index: usize, problem: &str, advice: &str) -> Fault {
        let mut fault = self.fault(key, problem, advice);
        if let Some(Value::List(items)) = self.tree.find(key).map(|item| &item.value)
            && let Some(item) = items.get(index)
        {
            fault.origin = item.origin.clone();
        }
        fault
    }
}
