//! An actor whose messages and answers are as large as a test wants, and cheap to read and write.

use std::fmt;

use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, QueryHandler, Turn};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are written as one piece.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob(pub Vec<u8>);

impl Blob {
    /// So many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self(vec![0xa5; bytes])
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// Asks for so many bytes, from the state or as the reply of a turn.
#[derive(Clone, Debug, Serialize, Deserialize, Message)]
#[message(name = "fetch", reply = Blob)]
pub struct Fetch {
    /// How many bytes to answer with.
    pub bytes: u32,
    /// Only there to take room.
    pub padding: Blob,
}

impl Fetch {
    /// Asks for so many bytes.
    #[must_use]
    pub fn of(bytes: u32) -> Self {
        Self { bytes, padding: Blob::of(0) }
    }

    fn answer(&self) -> Blob {
        Blob::of(self.bytes as usize)
    }
}

/// The actor. Its state counts the turns.
#[derive(Clone, Copy, Debug)]
pub struct Bulk;

impl Actor for Bulk {
    const TYPE: &'static str = "bulk";
    type State = u64;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Fetch>();
        handlers.on_query::<Fetch>();
    }
}

impl Handler<Fetch> for Bulk {
    async fn handle(&self, turns: &mut Durable<u64>, fetch: Fetch, _: &mut Turn<'_>) -> Result<Blob, Failure> {
        **turns += 1;
        Ok(fetch.answer())
    }
}

impl QueryHandler<Fetch> for Bulk {
    fn answer(&self, _: &u64, fetch: Fetch) -> Blob {
        fetch.answer()
    }
}
