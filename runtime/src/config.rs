//! What can be set for a node.

use std::time::Duration;

use crate::mailbox::Backoff;

/// The settings of a node. The defaults suit a service with many small actors on a local disk.
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
    /// How many activations may be idle in memory; past it an activation leaves as soon as its mailbox is empty.
    pub activations_max: usize,
    /// How many messages may wait in one mailbox before sends from outside are held back. Turns are never held back.
    pub mailbox_messages_max: usize,
    /// The largest message in bytes, headers included. A larger one is refused at the sender.
    pub message_bytes_max: usize,
    /// How many bytes of waiting messages stay in memory, over all mailboxes; the others are read from the store when
    /// their turn comes near, and cost 8 to 16 bytes each. Too small reads every message from the disk.
    pub window_bytes_max: usize,
    /// How long an ask waits when it does not say.
    pub ask_timeout: Duration,
    /// How many questions may be open at a time over the whole node; more wait.
    pub questions_max: usize,
    /// How long a stop waits for the turns in hand.
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
            message_bytes_max: 16 << 20,
            window_bytes_max: 64 << 20,
            ask_timeout: Duration::from_secs(30),
            questions_max: 10_000,
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
            ("message_bytes_max", self.message_bytes_max >= 1024, "headers alone may take 1 KiB"),
            (
                "message_bytes_max",
                self.message_bytes_max <= self.store.queue_bytes_max / 2,
                "two of the largest messages must fit `store.queue_bytes_max`",
            ),
            ("ask_timeout", !self.ask_timeout.is_zero(), "it must be longer than zero"),
            ("questions_max", (1..1 << 24).contains(&self.questions_max), "it must be from 1 to 16,777,215"),
        ];
        for (setting, holds, reason) in rules {
            if !holds {
                return Err(ConfigError { setting, reason });
            }
        }
        Ok(())
    }
}

/// A setting that cannot work. Nothing was opened.
#[derive(Debug, thiserror::Error)]
#[error("the setting `{setting}` cannot work: {reason}")]
pub struct ConfigError {
    /// The name of the setting.
    pub setting: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

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
}
