//! The link protocol: what two stores still have to send each other, and how far each has come. Pure: no clock, socket,
//! disk or task.
//!
//! A **lane** is the ordered sequence of messages from one store to one partition of one line at another. Messages are
//! numbered by the sender's store with numbers that only grow. Since other lanes take numbers too, those of a lane have
//! gaps, so each message names the one **before** it in its lane. A receiver takes a message if that is the last one that
//! it has, drops it if it has it already, and treats everything else as a break in the lane, which is never skipped.
//!
//! [`Sending`] keeps what a peer is owed until the peer has it on disk; [`Receiving`] knows how far the lanes of a producer
//! have come. Both outlive connections. What may leave only after a commit is asked for with the number up to which the
//! store is durable, so that nothing can leave before.

mod error;
mod lane_queue;
mod message;
mod receiving;
mod sending;
mod terms;

pub use self::error::{AckError, Break, ResumeError};
pub use self::message::{Ack, Data, Lane, Sequence};
pub use self::receiving::{Arrival, Receiving};
pub use self::sending::poll::Next;
pub use self::sending::withdrawal::Standing;
pub use self::sending::{Flagged, Owed, Sending};
pub use self::terms::Terms;

#[cfg(test)]
mod tests;
