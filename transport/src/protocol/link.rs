//! The link protocol: what one store still has to send to another, and how far the other has come. Pure: no clock,
//! socket, disk or task.
//!
//! A **lane** is the ordered sequence of messages from one store to one partition of one type of receivers at another.
//! Messages are numbered by the sender's store with numbers that only grow. Other lanes take numbers too, so those of
//! one lane have gaps, and each message names the one **before** it in its lane. A receiver takes a message if that is
//! the last one that it has, drops it if it has it already, and treats everything else as a break in the lane, which is
//! never skipped.
//!
//! [`Sending`] keeps each message until the peer has it on disk; [`Receiving`] knows how far the lanes of one producer
//! have come. Both outlive connections. A **conversation** is what two nodes say to each other over one connection,
//! from the hellos on.
//!
//! Nothing leaves before it is durable: both are told how far their own store has committed, and hand out nothing
//! beyond.
//!
//! ```
//! use bytes::Bytes;
//! use everpost_transport::link::{Arrival, Lane, Next, Receiving, Sending, Sequence, Terms, Ticket};
//! use rustc_hash::{FxHashMap, FxHashSet};
//!
//! let lane = Lane { receiver_type: 7, partition: 0 };
//! let mut sending = Sending::new(1 << 20, 1 << 20);
//! let terms = Terms { receiver_types: FxHashSet::from_iter([7]), credit: 1_000, message_bytes_max: 100 };
//! sending.resume(&FxHashMap::default(), terms, |_, _| {})?;
//!
//! // Message 5 is submitted to the sender's store, and leaves once that is durable.
//! sending.push(lane, Sequence(5), 0, Bytes::from_static(b"hello"));
//! assert_eq!(sending.poll(), Next::Nothing);
//! sending.committed(Sequence(5));
//! let Next::Send(data) = sending.poll() else { panic!("it is durable") };
//!
//! // The receiver stores it, and acknowledges it once it is durable there.
//! let mut receiving = Receiving::new();
//! assert_eq!(receiving.receive(data.lane, data.previous, data.sequence)?, Arrival::New);
//! receiving.submitted(data.lane, Ticket(1));
//! let mut acks = Vec::new();
//! receiving.acks(Ticket(1), 1_000, &mut acks);
//!
//! sending.acknowledged(acks[0], |_, _| { /* it can be deleted from the outbox */ })?;
//! assert_eq!(sending.backlog().messages, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod lane_queue;
mod message;
mod receiving;
mod sending;
mod terms;

pub use self::error::{AckError, Break, ResumeError};
pub use self::message::{Ack, Data, Lane, Sequence};
pub use self::receiving::{Arrival, Receiving, Ticket};
pub use self::sending::poll::Next;
pub use self::sending::withdrawal::DeliveryStatus;
pub use self::sending::{Backlog, FlagOutcome, Sending};
pub use self::terms::Terms;

#[cfg(test)]
mod tests;
