//! The network between the nodes: a connection has reliable ordered streams that may be cut at any point. A lossy one
//! drops, repeats and reorders single frames too, which QUIC never does, but which the machines must withstand.

use std::collections::VecDeque;

use bytes::Bytes;
use everpost_transport::hello::{Hello, Resume};
use everpost_transport::link::{Ack, Data, Lane, Sequence};

use super::process::ProcessId;
use super::seeds::Random;

/// Nodes 0 and 1 are joined to nodes 2 and 3.
pub(crate) const NODES: usize = 4;
/// Every pair that is joined; the first of each dials.
pub(crate) const PAIRS: [(usize, usize); 4] = [(0, 2), (0, 3), (1, 2), (1, 3)];

const DATA_STREAMS: usize = 2;

/// Who a node is joined to.
pub(crate) fn peers_of(node: usize) -> [usize; 2] {
    if node < 2 { [2, 3] } else { [0, 1] }
}

#[derive(Clone, Debug)]
pub(crate) enum Control {
    Hello(Hello),
    Resume(Resume),
    Ack(Ack),
}

#[derive(Debug)]
pub(crate) struct Connection {
    /// The dialer's, and that of who was dialed.
    pub(crate) ends: [End; 2],
    is_lossy: bool,
}

/// One end of a connection, and what is on its way to it.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) process: ProcessId,
    pub(crate) phase: Phase,
    pub(crate) control: VecDeque<Control>,
    pub(crate) data: [VecDeque<Data>; DATA_STREAMS],
    /// The connection is gone. What was on its way and is left here may still be read until that is noticed.
    pub(crate) is_cut: bool,
    /// What it says of itself.
    pub(crate) receiver_types: Vec<u64>,
    pub(crate) credit: u64,
    pub(crate) message_bytes_max: u64,
    /// What the other end has said.
    pub(crate) theirs: Option<Hello>,
    /// Bodies that were asked for.
    pub(crate) loading: Option<(Lane, Vec<(Sequence, Bytes)>)>,
}

/// How far an end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for the peer to say who it is.
    Introducing,
    /// Waits until it is durable that the peer was met.
    Remembering(u64),
    /// Waits for its turn to become the connection that is spoken on.
    Arrived,
    /// Waits until everything that was received is durable.
    Settling,
    /// Waits for the peer to say where to go on.
    Resuming,
    Conversing,
    Over,
}

impl Connection {
    pub(crate) fn new(ends: [End; 2], is_lossy: bool) -> Self {
        Self { ends, is_lossy }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ends.iter().all(|end| end.phase == Phase::Over)
    }

    pub(crate) fn is_conversing(&self) -> bool {
        self.ends.iter().all(|end| end.phase == Phase::Conversing && !end.is_cut)
    }

    /// Sends to the end `to`. Whether a frame was dropped, repeated or overtaken.
    pub(crate) fn say(&mut self, to: usize, control: Control, random: &mut Random) -> bool {
        let is_lossy = self.is_lossy && matches!(control, Control::Ack(_));
        let end = &mut self.ends[to];
        !end.is_gone() && put(&mut end.control, control, is_lossy, random)
    }

    pub(crate) fn send(&mut self, to: usize, data: Data, random: &mut Random) -> bool {
        let is_lossy = self.is_lossy;
        let end = &mut self.ends[to];
        let stream = (data.lane.receiver_type as usize + usize::from(data.lane.partition)) % DATA_STREAMS;
        !end.is_gone() && put(&mut end.data[stream], data, is_lossy, random)
    }

    /// The connection breaks: of what is on its way on each stream a part is lost.
    pub(crate) fn cut(&mut self, random: &mut Random) {
        for end in &mut self.ends {
            if !end.is_gone() {
                end.is_cut = true;
                end.control.truncate(random.below(end.control.len() + 1));
                end.data.iter_mut().for_each(|stream| stream.truncate(random.below(stream.len() + 1)));
            }
        }
    }
}

impl End {
    pub(crate) fn new(process: ProcessId, receiver_types: Vec<u64>, credit: u64, message_bytes_max: u64) -> Self {
        Self {
            process,
            phase: Phase::Introducing,
            control: VecDeque::new(),
            data: [VecDeque::new(), VecDeque::new()],
            is_cut: false,
            receiver_types,
            credit,
            message_bytes_max,
            theirs: None,
            loading: None,
        }
    }

    fn is_gone(&self) -> bool {
        self.is_cut || self.phase == Phase::Over
    }
}

fn put<T: Clone>(queue: &mut VecDeque<T>, frame: T, is_lossy: bool, random: &mut Random) -> bool {
    match if is_lossy { random.below(16) } else { 3 } {
        0 => return true,
        1 => {
            queue.push_back(frame.clone());
            queue.push_back(frame);
        }
        2 => queue.insert(random.below(queue.len() + 1), frame),
        _ => {
            queue.push_back(frame);
            return false;
        }
    }
    true
}
