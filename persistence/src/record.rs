//! Records as bytes: what guards each, how a large value is cut, and what both cost. Pure.

mod chunk_key;
mod cost;
mod header;
mod stored;
mod whole;

pub(crate) use self::chunk_key::ChunkKey;
pub use self::cost::footprint;
pub(crate) use self::cost::{CHANGE_BYTES, overhead};
pub(crate) use self::header::{HEADER_BYTES, header};
pub(crate) use self::stored::{Stored, encode, encode_chunked, read, value};
pub(crate) use self::whole::{VALUE_BYTES_MAX, Whole};
