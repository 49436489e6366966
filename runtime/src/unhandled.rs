//! Stored messages that nothing in a build handles: which they are, and how they are named.

use std::collections::BTreeMap;
use std::fmt;

use crate::message::envelope::EnvelopeError;
use crate::message::schema::Schema;
use crate::supervise::supervision::Kind;

/// How many kinds of messages the text of an error names.
const NAMED_MAX: usize = 16;

/// A kind of stored message that nothing in this build handles, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unhandled {
    /// Its actor type is not part of the node.
    ActorType {
        /// The type of the actor that it was sent to.
        actor_type: String,
        /// The name of its type.
        message: String,
        /// The version of its fields.
        version: u16,
    },
    /// Its actor type is there, and handles no message of that name.
    Message {
        /// The type of the actor that it was sent to.
        actor_type: String,
        /// The name of its type.
        message: String,
        /// The version of its fields.
        version: u16,
    },
    /// A newer build wrote it.
    Newer {
        /// The type of the actor that it was sent to.
        actor_type: String,
        /// The name of its type.
        message: String,
        /// The version of its fields.
        version: u16,
        /// The newest version that this build knows.
        known: u16,
    },
    /// Its headers cannot be read, so that nobody can say what it is.
    Headers {
        /// What is wrong with them.
        error: String,
    },
}

impl Unhandled {
    pub(crate) fn headers(error: &EnvelopeError) -> Self {
        Self::Headers { error: error.to_string() }
    }

    /// The headers can be read, and name a destination that is no address.
    pub(crate) fn no_address() -> Self {
        Self::Headers { error: "its destination is no address".to_owned() }
    }

    pub(crate) fn no_actor(actor_type: &str, message: &str, version: u16) -> Self {
        Self::ActorType { actor_type: actor_type.to_owned(), message: message.to_owned(), version }
    }
}

impl Kind {
    /// How this build reads a message that was stored with this name and version.
    pub(crate) fn reader(&self, message: &str, version: u16) -> Result<&Schema, Unhandled> {
        let (actor_type, name) = (self.name, message);
        let Some(schema) = self.message(message) else {
            return Err(Unhandled::Message { actor_type: actor_type.to_owned(), message: name.to_owned(), version });
        };
        if version > schema.version {
            let (actor_type, message, known) = (actor_type.to_owned(), name.to_owned(), schema.version);
            return Err(Unhandled::Newer { actor_type, message, version, known });
        }
        Ok(schema)
    }
}

impl fmt::Display for Unhandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ActorType { actor_type, message, version } => {
                write!(f, "`{message}` version {version} to `{actor_type}`, an actor type that is not part of the node")
            }
            Self::Message { actor_type, message, version } => {
                write!(f, "`{message}` version {version} to `{actor_type}`, which handles no message of that name")
            }
            Self::Newer { actor_type, message, version, known } => {
                write!(f, "`{message}` version {version} to `{actor_type}`, which knows it up to version {known}")
            }
            Self::Headers { error } => write!(f, "a message whose headers cannot be read: {error}"),
        }
    }
}

/// `3 of ..; 1 of ..`, for an error.
pub(crate) fn name_all(unhandled: &BTreeMap<Unhandled, usize>) -> String {
    let named = unhandled.iter().take(NAMED_MAX).map(|(kind, messages)| format!("{messages} of {kind}"));
    let mut text = named.collect::<Vec<_>>().join("; ");
    if let Some(more) = unhandled.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} kinds more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_named_up_to_a_bound() {
        let mut unhandled =
            BTreeMap::from([(Unhandled::no_actor("worker", "script", 1), 2), (Unhandled::no_address(), 1)]);
        assert_eq!(
            name_all(&unhandled),
            "2 of `script` version 1 to `worker`, an actor type that is not part of the node; \
             1 of a message whose headers cannot be read: its destination is no address"
        );
        unhandled.extend((0..20).map(|version| (Unhandled::no_actor("z", "z", version), 1)));
        assert!(name_all(&unhandled).ends_with("; and 6 kinds more"));
    }
}
