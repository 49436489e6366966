//! Authenticated links that carry opaque frames between nodes. It will own identity and mutual TLS, framing, the link
//! protocol as a pure state machine, and the QUIC shell around it; it must never know disks, actors or messages.
//!
//! This crate is empty on purpose until nodes are joined to each other: one node needs no network. Its place in the
//! layers is fixed already, so that nothing else grows into it: `runtime` is the only crate that may depend on it.

#![forbid(unsafe_code)]
