//! What came of a message that was sent under an idempotency key, and what of it is kept to tell it from another one;
//! specified in `docs/FORMAT.md`. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::base::clock::Steady;
use crate::message::envelope::Header;
use crate::message::fingerprint::bytes_of;
use crate::message::first_half;
use crate::record::schema::Schema;

/// The version of a record with a digest of the message's name and bytes, and nothing else of it. Read, and no longer
/// written.
const VERSION_OF_DIGEST: u8 = 1;
const RECORD_VERSION: u8 = 2;

/// Messages of up to this size are kept as they are, so that a later build can upgrade and compare them.
const WHOLE_BYTES_MAX: usize = 4096;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) content: Content,
    pub(crate) expires: Steady,
    pub(crate) reply: Bytes,
}

/// What is kept of the message that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// By an older build: a digest of its name and its bytes.
    Digest([u8; 16]),
    /// All of it.
    Whole { message: String, version: u16, payload: Bytes },
    /// Of a large one: digests of its bytes in their version, and of its fingerprint as the version `seen_as` of its
    /// type saw it.
    Large { message: String, version: u16, bytes: [u8; 16], seen_as: u16, fingerprint: Option<[u8; 16]> },
}

#[derive(Serialize, Deserialize)]
struct DigestRecord<'a> {
    version: u8,
    digest: [u8; 16],
    expires: u64,
    reply: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct RequestRecord<'a> {
    version: u8,
    message: &'a str,
    message_version: u16,
    kept: Kept<'a>,
    expires: u64,
    reply: &'a [u8],
}

/// Variants are never renumbered.
#[derive(Serialize, Deserialize)]
enum Kept<'a> {
    Whole(&'a [u8]),
    Large { bytes: [u8; 16], seen_as: u16, fingerprint: Option<[u8; 16]> },
}

impl Answered {
    pub(crate) fn encode(&self) -> Bytes {
        let (expires, reply) = (self.expires.0, &*self.reply);
        let encoded = match &self.content {
            Content::Digest(digest) => {
                postcard::to_allocvec(&DigestRecord { version: VERSION_OF_DIGEST, digest: *digest, expires, reply })
            }
            Content::Whole { message, version, payload } => {
                let (message_version, kept) = (*version, Kept::Whole(payload));
                let version = RECORD_VERSION;
                postcard::to_allocvec(&RequestRecord { version, message, message_version, kept, expires, reply })
            }
            Content::Large { message, version, bytes, seen_as, fingerprint } => {
                let kept = Kept::Large { bytes: *bytes, seen_as: *seen_as, fingerprint: *fingerprint };
                let (message_version, version) = (*version, RECORD_VERSION);
                postcard::to_allocvec(&RequestRecord { version, message, message_version, kept, expires, reply })
            }
        };
        encoded.expect("plain values can be encoded").into()
    }

    /// Reads a record; none for bytes that are not one.
    pub(crate) fn decode(record: &[u8]) -> Option<Self> {
        if record.first() == Some(&VERSION_OF_DIGEST) {
            let DigestRecord { digest, expires, reply, .. } = postcard::from_bytes(record).ok()?;
            let reply = Bytes::copy_from_slice(reply);
            return Some(Self { content: Content::Digest(digest), expires: Steady(expires), reply });
        }
        let record: RequestRecord<'_> = postcard::from_bytes(record).ok()?;
        let RequestRecord { version: RECORD_VERSION, message, message_version, kept, expires, reply } = record else {
            return None;
        };
        let (message, version) = (message.to_owned(), message_version);
        let content = match kept {
            Kept::Whole(payload) => Content::Whole { message, version, payload: Bytes::copy_from_slice(payload) },
            Kept::Large { bytes, seen_as, fingerprint } => {
                Content::Large { message, version, bytes, seen_as, fingerprint }
            }
        };
        Some(Self { content, expires: Steady(expires), reply: Bytes::copy_from_slice(reply) })
    }
}

impl Content {
    /// What is to be kept of a message. Runs the type's own code when it is large.
    pub(crate) fn of(schema: Option<&Schema>, header: &Header<'_>, payload: &[u8]) -> Self {
        let (message, version) = (header.message.to_owned(), header.message_version);
        if payload.len() <= WHOLE_BYTES_MAX {
            return Self::Whole { message, version, payload: Bytes::copy_from_slice(payload) };
        }
        let fingerprint = schema.and_then(|schema| schema.fingerprint(version, payload));
        let seen_as = schema.map_or(version, |schema| schema.version);
        Self::Large { message, version, bytes: bytes_of(payload), seen_as, fingerprint }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Digest(_) => 0,
            Self::Whole { message, payload, .. } => message.len() + payload.len(),
            Self::Large { message, .. } => message.len(),
        }
    }

    /// Whether this message has the bytes of the one that was answered. Runs none of the type's own code.
    pub(crate) fn is_equal(&self, header: &Header<'_>, payload: &[u8]) -> bool {
        let is_named = |message: &str, version| message == header.message && version == header.message_version;
        match self {
            Self::Digest(digest) => *digest == digest_of(header.message, payload),
            Self::Whole { message, version, payload: known } => is_named(message, *version) && known == payload,
            Self::Large { message, version, bytes, .. } => is_named(message, *version) && *bytes == bytes_of(payload),
        }
    }

    /// Whether this message is the one that was answered. What cannot be compared is another one. Runs the type's own
    /// code when the bytes differ.
    pub(crate) fn is_same(&self, schema: Option<&Schema>, header: &Header<'_>, payload: &[u8]) -> bool {
        let fingerprint = |version, payload: &[u8]| schema.and_then(|schema| schema.fingerprint(version, payload));
        let own = || fingerprint(header.message_version, payload);
        let is_one = || match self {
            Self::Digest(_) => false,
            Self::Whole { message, version, payload: known } => {
                *message == header.message && own().is_some_and(|own| fingerprint(*version, known) == Some(own))
            }
            Self::Large { message, seen_as, fingerprint, .. } => {
                let is_seen_alike = schema.is_some_and(|schema| schema.version == *seen_as);
                *message == header.message && is_seen_alike && fingerprint.is_some() && own() == *fingerprint
            }
        };
        self.is_equal(header, payload) || is_one()
    }
}

/// What records of version 1 have.
fn digest_of(message: &str, payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key("everpost 2026 content of a request");
    hasher.update(message.as_bytes());
    hasher.update(&[0]);
    hasher.update(payload);
    first_half(&hasher.finalize()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::message::envelope::{Origin, seal};
    use crate::message::{Message, MessageId, UpgradeError};

    #[derive(Clone, Serialize, Deserialize, everpost::Message)]
    #[message(name = "pay", version = 2, upgrade = from_one)]
    struct Pay {
        cents: u64,
        notes: HashMap<u32, u32>,
    }

    #[derive(Serialize, Deserialize, everpost::Message)]
    #[message(name = "pay", version = 1)]
    struct First {
        euros: u64,
    }

    #[derive(Serialize, Deserialize, everpost::Message)]
    #[message(name = "refund", version = 2)]
    struct Refund {
        cents: u64,
        notes: HashMap<u32, u32>,
    }

    fn from_one(_: u16, bytes: &[u8]) -> Result<Pay, UpgradeError> {
        let first: First = postcard::from_bytes(bytes).map_err(UpgradeError::new)?;
        Ok(pay(first.euros * 100, 0))
    }

    /// With so many notes, in another order each time.
    fn pay(cents: u64, notes: u32) -> Pay {
        Pay { cents, notes: (0..notes).map(|note| (note, note)).collect() }
    }

    fn content<M: Message>(message: &M) -> Content {
        let envelope = seal("box/a", Origin::plain(MessageId(9), crate::base::clock::Micros(5)), message).unwrap();
        let (header, payload) = Header::decode(&envelope).unwrap();
        Content::of(Some(&Schema::of_message::<Pay>()), &header, payload)
    }

    fn is_same<M: Message>(content: &Content, message: &M) -> bool {
        let envelope = seal("box/a", Origin::plain(MessageId(9), crate::base::clock::Micros(5)), message).unwrap();
        let (header, payload) = Header::decode(&envelope).unwrap();
        content.is_same(Some(&Schema::of_message::<Pay>()), &header, payload)
    }

    #[test]
    fn what_is_the_same_is_told_by_value_and_after_an_upgrade() {
        for notes in [3, 5000] {
            let known = content(&pay(700, notes));
            assert_eq!(matches!(known, Content::Large { .. }), notes == 5000);
            assert!(is_same(&known, &pay(700, notes)));
            assert!(!is_same(&known, &pay(701, notes)) && !is_same(&known, &pay(700, notes + 1)));
            assert!(!is_same(&known, &Refund { cents: 700, notes: pay(700, notes).notes }));
        }
        let first = content(&First { euros: 7 });
        assert!(is_same(&first, &pay(700, 0)) && is_same(&first, &First { euros: 7 }));
        assert!(!is_same(&first, &pay(7, 0)) && !is_same(&first, &First { euros: 8 }));
        assert!(is_same(&content(&pay(700, 0)), &First { euros: 7 }), "a repetition by an older node");
    }

    #[test]
    fn what_an_older_build_kept_is_the_same_by_its_bytes() {
        let known = Content::Digest(digest_of("pay", &postcard::to_allocvec(&First { euros: 7 }).unwrap()));
        assert!(is_same(&known, &First { euros: 7 }));
        assert!(!is_same(&known, &First { euros: 8 }) && !is_same(&known, &pay(700, 0)));
    }

    #[test]
    fn records_read_back_and_their_bytes_are_fixed() {
        let answered = |content| Answered { content, expires: Steady(9), reply: Bytes::from_static(b"yes") };
        let message = || "pay".to_owned();
        let whole = answered(Content::Whole { message: message(), version: 2, payload: Bytes::from_static(&[5]) });
        let large =
            Content::Large { message: message(), version: 2, bytes: [7; 16], seen_as: 3, fingerprint: Some([8; 16]) };
        let large = answered(large);
        let digest = answered(Content::Digest([7; 16]));
        assert_eq!(digest.encode(), [&[1][..], &[7; 16], &[9, 3], b"yes"].concat());
        assert_eq!(whole.encode(), [&[2, 3][..], b"pay", &[2, 0, 1, 5, 9, 3], b"yes"].concat());
        let expected = [&[2, 3][..], b"pay", &[2, 1], &[7; 16], &[3, 1], &[8; 16], &[9, 3], b"yes"].concat();
        assert_eq!(large.encode(), expected);
        for answered in [digest, whole, large] {
            assert_eq!(Answered::decode(&answered.encode()), Some(answered));
        }
        assert_eq!(Answered::decode(&[3, 0]), None);
    }
}
