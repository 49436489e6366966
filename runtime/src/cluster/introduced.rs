//! A connection that a peer has made, and which process of its name has the conversation.

use std::collections::VecDeque;
use std::net::SocketAddr;

use everpost_transport::frame::Frame;
use everpost_transport::hello::Hello;
use everpost_transport::{Connection, Liveness, Streams};
use rustc_hash::FxHashSet;

use crate::base::clock::Micros;
use crate::cluster::producer::Producer;
use crate::cluster::rules::name_lease::Holder;

/// A connection whose peer has said who it is, and was believed.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(crate) connection: Connection,
    pub(crate) streams: Streams,
    /// Frames that came with the introduction.
    pub(crate) frames: VecDeque<Frame>,
    pub(crate) producer: Producer,
    /// The receiver types that both sides place alike.
    pub(crate) receiver_types: FxHashSet<u64>,
    /// What the peer said.
    pub(crate) hello: Hello,
}

impl Introduced {
    /// This process, if it gets the conversation.
    pub(crate) fn holder(&self, now: Micros) -> Holder<Process> {
        let process = Process { from: self.connection.remote(), liveness: self.connection.liveness() };
        Holder { store: self.producer.store, since: now, process }
    }
}

/// A process of a peer's name, for others of that name.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) from: SocketAddr,
    pub(crate) liveness: Liveness,
}

/// A newcomer finds another process in its place.
#[derive(Debug)]
pub(crate) struct Contest {
    pub(crate) newcomer: Introduced,
    pub(crate) holder: Holder<Process>,
}
