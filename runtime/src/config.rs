//! What can be set for a node.

pub(crate) mod fits;
pub(crate) mod when_full;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::rules::backoff::Backoff;
use crate::config::when_full::WhenFull;

/// The default of [`NodeConfig::message_bytes_max`].
const MESSAGE_BYTES_DEFAULT: usize = 16 << 20;

/// The settings of a node. The defaults suit a service with many small actors on a local disk. Let a literal end in
/// `..NodeConfig::default()`: settings are added in any version.
///
/// ```
/// use everpost::NodeConfig;
/// use std::time::Duration;
///
/// let mut config = NodeConfig { attempts_max: 3, ask_timeout: Duration::from_secs(5), ..NodeConfig::default() };
/// config.store.tables_map_bytes = 1 << 30;
/// config.validate().unwrap();
///
/// config.ask_timeout = Duration::ZERO;
/// assert_eq!(config.validate().unwrap_err().setting, "ask_timeout");
/// ```
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// How often a message is tried before it becomes a dead letter; at least 1. Too small gives up during a short
    /// outage of something outside; too large holds back a mailbox for long, since order is kept.
    pub attempts_max: u32,
    /// The wait between attempts.
    pub backoff: Backoff,
    /// How long an activation stays in memory with nothing to do. Too small loads states again and again; too large
    /// keeps memory for actors that nobody speaks to.
    pub idle_after: Duration,
    /// How many activations may be in memory; further ones wait until some have left, which those that have nothing to
    /// do now do at once for them. Who is asked from a turn and children of groups do not wait; and when none has left
    /// for a second, since handlers wait for others perhaps, more are started, twice as many each time. Too small runs
    /// few handlers at a time, and loads states again and again; too large takes the memory of as many states.
    pub activations_max: usize,
    /// How many messages may wait in one mailbox before sends from outside are held back. Turns are never held back.
    pub mailbox_messages_max: usize,
    /// The same in bytes, headers included.
    pub mailbox_bytes_max: usize,
    /// How many messages may wait on the node, over all mailboxes, before sends from outside are held back.
    pub node_messages_max: usize,
    /// The same in bytes.
    pub node_bytes_max: usize,
    /// How many dead letters may be kept; each takes about 150 bytes of memory. What happens past it is said by
    /// `dead_letters_when_full`, with an alarm.
    pub dead_letters_max: usize,
    /// What happens to a message that is to be given up on while there are `dead_letters_max`.
    pub dead_letters_when_full: WhenFull,
    /// How long a dead letter is kept when nobody decides on it; then it is deleted, with a warning in the log. Too
    /// short deletes what somebody was about to look at; too long keeps what nobody needs.
    pub dead_letter_retention: Duration,
    /// The largest message in bytes, headers included. A larger one is refused at the sender. The default, 16 MiB,
    /// means less on a node whose store takes less ([`NodeConfig::message_bytes_limit`]); another value that the store
    /// does not take is refused.
    pub message_bytes_max: usize,
    /// How many bytes of messages that wait or are in flight are in memory, over all mailboxes; the others are read
    /// from the store when their turn comes near, and cost 8 to 16 bytes each. At least 1 MiB may be in memory. Where
    /// handlers that do not end have more than this in flight, others wait for a second before more is read. Too small
    /// reads every message from the disk, and lets few be in flight at a time.
    pub window_bytes_max: usize,
    /// How many messages may be owed to one other node before sends from outside are held back. Turns are never held
    /// back. Too small stops senders during a short outage of that node; too large takes disk, 48 bytes of memory each,
    /// and a long time to catch up.
    pub outbox_messages_max: usize,
    /// The same in bytes.
    pub outbox_bytes_max: usize,
    /// How many timers the node keeps before it sets no more from outside. Turns are never held back. Too small refuses
    /// what there is room for; too large takes disk, and about 100 bytes of memory each.
    pub timers_max: usize,
    /// How long a send from outside waits for room in a mailbox or an outbox before its message is handed back.
    pub send_timeout: Duration,
    /// How long an ask waits when it does not say.
    pub ask_timeout: Duration,
    /// For how long what came of a message with an idempotency key is kept, so that another one under its key is
    /// answered and not handled. Too short lets a late repetition count twice; too long fills `idempotency_keys_max`.
    pub idempotency_retention: Duration,
    /// How many idempotency keys are kept; each takes about 200 bytes of memory, and its reply on the disk. While there
    /// are so many, messages with a new key are refused from outside, and wait in their mailboxes when they come from
    /// elsewhere or were accepted before. A key is kept when its turn commits, so turns that run at the same time may
    /// bring some more.
    pub idempotency_keys_max: usize,
    /// How many queries may be open at a time over the whole node; more wait.
    pub queries_max: usize,
    /// How long a stop waits for groups to stop, and then, as long again, for the turns that run.
    pub stop_timeout: Duration,
    /// The settings of the store.
    pub store: everpost_persistence::Config,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            attempts_max: 8,
            backoff: Backoff::default(),
            idle_after: Duration::from_secs(10),
            activations_max: 10_000,
            mailbox_messages_max: 1_000_000,
            mailbox_bytes_max: 1 << 30,
            node_messages_max: 10_000_000,
            node_bytes_max: 16 << 30,
            dead_letters_max: 100_000,
            dead_letters_when_full: WhenFull::HoldBack,
            dead_letter_retention: Duration::from_secs(90 * 24 * 60 * 60),
            message_bytes_max: MESSAGE_BYTES_DEFAULT,
            window_bytes_max: 64 << 20,
            outbox_messages_max: 1_000_000,
            outbox_bytes_max: 256 << 20,
            timers_max: 1_000_000,
            send_timeout: Duration::from_secs(30),
            ask_timeout: Duration::from_secs(30),
            idempotency_retention: Duration::from_secs(24 * 60 * 60),
            idempotency_keys_max: 1_000_000,
            queries_max: 10_000,
            stop_timeout: Duration::from_secs(30),
            store: everpost_persistence::Config::default(),
        }
    }
}

impl NodeConfig {
    /// Checks the settings against each other.
    ///
    /// # Errors
    ///
    /// Names the setting and what is wrong with it.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rules = [
            ("attempts_max", self.attempts_max > 0, "a message must be tried at least once"),
            ("backoff.first", self.backoff.first <= self.backoff.cap, "it must not exceed `backoff.cap`"),
            ("idle_after", !self.idle_after.is_zero(), "it must be longer than zero"),
            ("activations_max", self.activations_max > 0, "at least one activation is needed to handle a message"),
            ("mailbox_messages_max", self.mailbox_messages_max > 0, "a mailbox that holds nothing accepts nothing"),
            ("mailbox_bytes_max", self.mailbox_bytes_max > 0, "a mailbox that holds nothing accepts nothing"),
            ("node_messages_max", self.node_messages_max > 0, "a node that holds nothing accepts nothing"),
            ("node_bytes_max", self.node_bytes_max > 0, "a node that holds nothing accepts nothing"),
            ("dead_letters_max", self.dead_letters_max > 0, "a message that is given up on must be kept"),
            ("dead_letter_retention", !self.dead_letter_retention.is_zero(), "it must be longer than zero"),
            ("message_bytes_max", self.message_bytes_max >= 1024, "headers alone may take 1 KiB"),
            ("outbox_messages_max", self.outbox_messages_max > 0, "an outbox that holds nothing sends nothing"),
            ("outbox_bytes_max", self.outbox_bytes_max > 0, "an outbox that holds nothing sends nothing"),
            ("send_timeout", !self.send_timeout.is_zero(), "it must be longer than zero"),
            ("ask_timeout", !self.ask_timeout.is_zero(), "it must be longer than zero"),
            ("idempotency_retention", !self.idempotency_retention.is_zero(), "it must be longer than zero"),
            ("idempotency_keys_max", self.idempotency_keys_max > 0, "without room for a key none can be used"),
            ("queries_max", (1..1 << 24).contains(&self.queries_max), "it must be from 1 to 16,777,215"),
        ];
        for (setting, holds, reason) in rules {
            if !holds {
                return Err(ConfigError { setting, reason: reason.into() });
            }
        }
        if self.message_bytes_max != MESSAGE_BYTES_DEFAULT && self.message_bytes_max > self.message_bytes_limit() {
            return Err(ConfigError { setting: "message_bytes_max", reason: self.too_large_for_the_store().into() });
        }
        Ok(())
    }

    /// The largest message that the node takes, in bytes with headers: [`NodeConfig::message_bytes_max`], and no more
    /// than its store takes. A message must fit one submission to the store with whatever may become of it, its
    /// dead letter and the notice of that among them: so it has less than half of what `store.queue_bytes_max` and a
    /// sixteenth of each map allow.
    #[must_use]
    pub fn message_bytes_limit(&self) -> usize {
        self.message_bytes_max.min(fits::message_bytes_max(self.store.submission_bytes_max()))
    }

    fn too_large_for_the_store(&self) -> String {
        let needed = fits::submission_bytes_min(self.message_bytes_max);
        let of_map = (needed as u64).saturating_mul(everpost_persistence::Config::MAP_PARTS);
        let remedies = [
            ("queue_bytes_max", self.store.queue_bytes_max as u64, needed as u64),
            ("journal_map_bytes", self.store.journal_map_bytes, of_map),
            ("tables_map_bytes", self.store.tables_map_bytes, of_map),
        ];
        let short = remedies.iter().filter(|(_, value, least)| value < least);
        let raise: Vec<_> = short.map(|(name, _, least)| format!("`store.{name}` to at least {least}")).collect();
        format!(
            "it is {}, and the store takes messages of at most {}; lower it, or raise {}",
            self.message_bytes_max,
            self.message_bytes_limit(),
            raise.join(" and ")
        )
    }
}

/// The cluster that a node is part of: who it is, who the others are, and which actors live where.
///
/// ```
/// use everpost::{ClusterConfig, IdentityFiles};
///
/// let identity = IdentityFiles {
///     certificate: "east.crt".into(),
///     key: "east.key".into(),
///     authority: "ca.crt".into(),
/// };
/// let mut cluster = ClusterConfig::new("orders", "127.0.0.1:7401".parse().unwrap(), identity);
/// cluster.peers.insert("west".to_owned(), vec!["127.0.0.1:7402".parse().unwrap()]);
/// cluster.actors.insert("account".to_owned(), vec!["west".to_owned()]); // its actors live there
/// cluster.validate("east").unwrap();
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// The name of the cluster; nodes of another one are refused.
    pub name: String,
    /// Where the node listens (UDP).
    pub listen: SocketAddr,
    /// Its certificate.
    pub identity: IdentityFiles,
    /// The other nodes by name, each with the addresses to try, in this order.
    pub peers: BTreeMap<String, Vec<SocketAddr>>,
    /// On which nodes the actors of a type live. A type that is not named lives on all nodes.
    pub actors: BTreeMap<String, Vec<String>>,
    /// The settings of the links.
    pub link: LinkConfig,
}

impl ClusterConfig {
    /// A cluster of this node alone, with the default settings of links: it is called `name`, and the node listens at
    /// `listen` (UDP) and proves with `identity` who it is. The others and the rest are fields to be set.
    #[must_use]
    pub fn new(name: impl Into<String>, listen: SocketAddr, identity: IdentityFiles) -> Self {
        let (peers, actors, link) = (BTreeMap::new(), BTreeMap::new(), LinkConfig::default());
        Self { name: name.into(), listen, identity, peers, actors, link }
    }

    /// Checks the settings against each other, for a node called `node`.
    ///
    /// # Errors
    ///
    /// Names the setting and what is wrong with it.
    pub fn validate(&self, node: &str) -> Result<(), ConfigError> {
        let is_known = |name: &String| name == node || self.peers.contains_key(name);
        let LinkConfig { keep_alive, idle_timeout, handshake_first, handshake_cap, .. } = self.link;
        let LinkConfig { reconnect_first, reconnect_cap, streams, .. } = self.link;
        let rules = [
            ("cluster", !self.name.is_empty(), "it must have a name"),
            ("peers", !self.peers.contains_key(node), "a node is not its own peer"),
            ("peers", self.peers.values().all(|addresses| !addresses.is_empty()), "each needs an address at least"),
            ("actors", self.actors.values().all(|nodes| !nodes.is_empty()), "each type needs a node at least"),
            ("actors", self.actors.values().flatten().all(is_known), "each node must be this one or a peer"),
            ("link.keep_alive", keep_alive >= LinkConfig::WAIT_MIN, "it must be 1 ms at least"),
            (
                "link.idle_timeout",
                idle_timeout >= keep_alive.saturating_mul(3),
                "it must be at least three times `link.keep_alive`",
            ),
            ("link.idle_timeout", idle_timeout <= LinkConfig::WAIT_MAX, "it must be 24 h at most"),
            ("link.handshake_first", handshake_first >= LinkConfig::WAIT_MIN, "it must be 1 ms at least"),
            ("link.handshake_cap", handshake_cap >= handshake_first, "it must not be below `link.handshake_first`"),
            ("link.handshake_cap", handshake_cap >= LinkConfig::HANDSHAKE_CAP_MIN, "it must be 100 ms at least"),
            ("link.handshake_cap", handshake_cap <= LinkConfig::WAIT_MAX, "it must be 24 h at most"),
            ("link.reconnect_first", reconnect_first >= LinkConfig::WAIT_MIN, "it must be 1 ms at least"),
            ("link.reconnect_cap", reconnect_cap >= reconnect_first, "it must not be below `link.reconnect_first`"),
            ("link.reconnect_cap", reconnect_cap <= LinkConfig::RECONNECT_CAP_MAX, "it must be 1 h at most"),
            ("link.send_window_bytes", self.link.send_window_bytes > 0, "a window of nothing sends nothing"),
            ("link.lane_window_bytes", self.link.lane_window_bytes > 0, "a window of nothing receives nothing"),
            ("link.streams", (1..=64).contains(&streams), "it must be from 1 to 64"),
        ];
        for (setting, holds, reason) in rules {
            if !holds {
                return Err(ConfigError { setting, reason: reason.into() });
            }
        }
        Ok(())
    }
}

/// The files that prove who a node is, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The node's certificate, whose DNS name is the node's name.
    pub certificate: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The certificate of the authority that issued the certificates of all nodes.
    pub authority: PathBuf,
}

/// The settings of the links to other nodes. Let a literal end in `..LinkConfig::default()`: settings are added in any
/// version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// How often an idle link shows that it is alive.
    pub keep_alive: Duration,
    /// How long a silent peer is waited for before the link is given up and made anew.
    pub idle_timeout: Duration,
    /// How long an address that is silent is waited for before the next one is dialed, or the same one once more. The
    /// handshake goes on beside that; one that was not finished in this time is followed by one that may take twice as
    /// long, and so on.
    pub handshake_first: Duration,
    /// Where the doubling ends, and how long a handshake may take at most, on either side; then the introduction, in
    /// which both nodes say who they are.
    pub handshake_cap: Duration,
    /// The longest first wait before a connection is tried again; the actual wait is random between zero and this,
    /// which doubles with each failure.
    pub reconnect_first: Duration,
    /// Where the doubling ends.
    pub reconnect_cap: Duration,
    /// How many bytes may be under way to one peer without having been acknowledged.
    pub send_window_bytes: usize,
    /// How many bytes of one lane a peer may have under way to this node.
    pub lane_window_bytes: usize,
    /// How many data streams a link has in each direction. Lanes are spread over them, so that a lost packet holds up
    /// its share only.
    pub streams: u8,
}

impl LinkConfig {
    /// QUIC counts in milliseconds: what is shorter would be none at all, or a busy loop.
    pub(crate) const WAIT_MIN: Duration = Duration::from_millis(1);
    /// QUIC adds such waits to moments, and multiplies them.
    pub(crate) const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
    /// What a handshake between two busy nodes that are near each other may take.
    pub(crate) const HANDSHAKE_CAP_MIN: Duration = Duration::from_millis(100);
    /// So long messages wait at most after their node has come back.
    pub(crate) const RECONNECT_CAP_MAX: Duration = Duration::from_secs(3600);
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(2),
            handshake_first: Duration::from_secs(1),
            handshake_cap: Duration::from_secs(16),
            reconnect_first: Duration::from_millis(50),
            reconnect_cap: Duration::from_millis(500),
            send_window_bytes: 8 << 20,
            lane_window_bytes: 1 << 20,
            streams: 4,
        }
    }
}

/// A setting that cannot work. Nothing was opened.
#[derive(thiserror::Error)]
#[error("the setting `{setting}` cannot work: {reason}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The name of the setting.
    pub setting: &'static str,
    /// What is wrong with it.
    pub reason: Cow<'static, str>,
}

crate::base::error_text::debug_as_text!(ConfigError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        NodeConfig::default().validate().unwrap();
    }

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let config = NodeConfig { attempts_max: 0, ..NodeConfig::default() };
        assert_eq!(config.validate().unwrap_err().setting, "attempts_max");
        let backoff = Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(1) };
        let config = NodeConfig { backoff, ..NodeConfig::default() };
        assert_eq!(config.validate().unwrap_err().setting, "backoff.first");
    }

    #[test]
    fn a_message_size_that_the_store_does_not_take_is_refused_with_both_numbers_and_the_remedy() {
        let store = everpost_persistence::Config { journal_map_bytes: 4 << 20, ..Default::default() };
        let default = NodeConfig { store: store.clone(), ..NodeConfig::default() };
        default.validate().unwrap();
        assert_eq!(default.message_bytes_limit(), 122_624);
        let config = NodeConfig { message_bytes_max: 122_625, store, ..NodeConfig::default() };
        let error = config.validate().unwrap_err();
        assert_eq!(error.setting, "message_bytes_max");
        let words = "it is 122625, and the store takes messages of at most 122624; lower it, or raise \
         `store.journal_map_bytes` to at least 4194336";
        assert_eq!(error.reason, words);
        let raised = everpost_persistence::Config { journal_map_bytes: 4_194_336, ..Default::default() };
        NodeConfig { store: raised, ..config }.validate().unwrap();
    }
}
