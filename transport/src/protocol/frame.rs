//! Frames: what travels on the streams of a connection, and its bytes.
//!
//! A frame is `length: u32 || kind: u8 || body`; the length counts what comes after it. Integers are big-endian.
//! Decoding never panics, and takes memory in proportion to the bytes that have arrived, whatever lengths they claim.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use everpost_transport::frame::{Frame, FrameDecoder, Limits, StreamKind};
//!
//! let frame = Frame::Volatile(Bytes::from_static(b"hello"));
//! let mut bytes = BytesMut::new();
//! frame.encode(&mut bytes)?;
//!
//! let mut decoder = FrameDecoder::new(StreamKind::Data, Limits::new(1_000));
//! decoder.feed(bytes.split_to(3).freeze());
//! assert_eq!(decoder.next_frame()?, None, "it has not arrived whole");
//! decoder.feed(bytes.freeze());
//! assert_eq!(decoder.next_frame()?, Some(frame));
//! # Ok::<(), everpost_transport::frame::FrameError>(())
//! ```

mod contents;
mod decoder;
mod encode;
mod error;
mod layout;

pub use self::contents::Frame;
pub use self::decoder::FrameDecoder;
pub use self::encode::{encode_acks, encode_data, encode_note, encode_volatile};
pub use self::error::FrameError;
pub use self::layout::{ACKS_MAX, HELLO_BYTES_MAX, Limits, OVERHEAD_BYTES_MAX, RESUME_BYTES_MAX, StreamKind};

#[cfg(test)]
mod tests;
