//! The shell of the transport, from outside: real sockets on loopback, certificates made at run time.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod admission;
mod breaches;
mod certificates;
mod conversation;
mod ends;
mod golden;
mod harness;
mod identity;
mod interleaved;
mod raw;
mod strangers;
