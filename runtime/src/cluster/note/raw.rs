//! Bytes that are written and read as one piece. The bytes are those that serde makes of a `Vec<u8>` by itself, one by
//! one: which takes a worker for so long, where they are many, that links are given up meanwhile.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }
    }

    deserializer.deserialize_bytes(Bytes)
}

struct Written<'a>(&'a [u8]);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, serializer)
    }
}

struct Read(Vec<u8>);

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Bytes that may be missing.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Read, Serialize, Serializer, Written};

    pub(in crate::cluster::note) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(Written).serialize(to)
    }

    pub(in crate::cluster::note) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Read>::deserialize(from)?.map(|Read(bytes)| bytes))
    }
}

/// Bytes, or why there are none.
pub(super) mod result {
    use super::{Deserialize, Deserializer, Read, Serialize, Serializer, Written};
    use crate::cluster::note::NoAnswer;

    type Answer = Result<Vec<u8>, NoAnswer>;

    pub(in crate::cluster::note) fn serialize<S: Serializer>(answer: &Answer, to: S) -> Result<S::Ok, S::Error> {
        answer.as_deref().map(Written).serialize(to)
    }

    pub(in crate::cluster::note) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Answer, D::Error> {
        Ok(Result::<Read, NoAnswer>::deserialize(from)?.map(|Read(bytes)| bytes))
    }
}
