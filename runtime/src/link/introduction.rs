//! The beginning of a conversation: each side says who it is, and judges the other. It changes nothing, so it may run beside
//! a conversation that goes on until the newcomer has proved itself.

use crate::commit::{Record, Transaction};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;
use everpost_persistence::StoreId;
use everpost_transport::hello::{Clocks, EARLIER_RUNS_MAX, EarlierRun, Hello, Line, PROTOCOL_VERSION, Refusal, Run};
use everpost_transport::link::Sequence;
use everpost_transport::{CloseCode, Connection, ControlReader, Frame, Streams};
use rustc_hash::FxHashSet;

use super::{Ended, Holder, Links, Process};
use crate::base::clock::{ClockSkew, Micros, Steady, Timelines};
use crate::cluster::{Acquaintances, Peer, encode_runs, line_of};
use crate::core::Core;
use crate::gate::NodeEnded;
use crate::link::arriving::{ArrivalError, Producer};
use crate::tables;

/// A connection whose peer has said who it is, and was believed.
#[derive(Debug)]
pub(crate) struct Introduced {
    pub(super) connection: Connection,
    pub(super) streams: Streams,
    /// Frames that came with the introduction.
    pub(super) frames: VecDeque<Frame>,
    pub(super) producer: Producer,
    /// The lines that both sides place alike.
    pub(super) lines: FxHashSet<u64>,
    /// What the peer said.
    pub(super) hello: Hello,
}

impl Introduced {
    /// This process, if it gets the conversation.
    pub(crate) fn holder(&self, now: Micros) -> Holder<Process> {
        let process = Process { from: self.connection.remote(), presence: self.connection.presence() };
        Holder { store: self.producer.store, since: now, process }
    }
}

/// One is needed; more when packets are lost.
const ROUND_TRIPS: u32 = 4;

/// As [`introduce`], within the time that a handshake may take, beside what the path takes: above QUIC a peer can hang although its
/// connection lives. A peer that is refused is told why.
pub(super) async fn introduce_in_time(
    links: &Links,
    peer: &Arc<Peer>,
    connection: Connection,
) -> Result<Introduced, Ended> {
    let core = &links.core;
    // Streams that are dropped close the connection: they must outlive the word on why.
    let mut streams = connection.open();
    let introduction = introduce(core, peer, connection.peer(), &mut streams);
    let late = |_| Err(Ended::Protocol("it did not introduce itself in time".to_owned()));
    let within = links.config.handshake_cap.saturating_add(connection.rtt().saturating_mul(ROUND_TRIPS));
    match tokio::time::timeout(within, introduction).await.unwrap_or_else(late) {
        Ok(Introduction { frames, producer, lines, hello }) => {
            Ok(Introduced { connection, streams, frames, producer, lines, hello })
        }
        Err(ended) => Err(refuse(&connection, ended)),
    }
}

/// What was said at the beginning.
struct Introduction {
    frames: VecDeque<Frame>,
    producer: Producer,
    lines: FxHashSet<u64>,
    hello: Hello,
}

/// Says who this node is, and hears who the peer is.
async fn introduce(
    core: &Core,
    peer: &Arc<Peer>,
    certified: &str,
    streams: &mut Streams,
) -> Result<Introduction, Ended> {
    let ours = core.hello();
    let mut buffer = BytesMut::new();
    Frame::Hello(ours).encode(&mut buffer).map_err(|error| Ended::Protocol(error.to_string()))?;
    streams.control_out.write(&mut buffer).await?;
    let mut frames = VecDeque::new();
    let Frame::Hello(hello) = next_frame(&mut streams.control_in, &mut frames).await? else {
        return Err(Ended::Protocol("it did not introduce itself first".to_owned()));
    };
    let now = core.clock.now();
    let store = StoreId(hello.run.store);
    let receiving = core.cluster.producer(store);
    let timelines = Timelines::new(now.steady, Steady(hello.clocks.steady));
    let producer = Producer { peer: Arc::clone(peer), store, receiving, timelines };
    core.judge(certified, &hello, &producer, &core.cluster.acquaintances())?;
    let skew = ClockSkew::of(now.wall, Micros(hello.clocks.wall));
    peer.set_skew(skew);
    peer.troubles().clocks(&core.name, &peer.name, skew);
    let (lines, differing) = core.shared_lines(&hello.lines);
    peer.troubles().placement(&core.name, &peer.name, &differing);
    Ok(Introduction { frames, producer, lines, hello })
}

/// The next frame of the control stream.
pub(super) async fn next_frame(reader: &mut ControlReader, frames: &mut VecDeque<Frame>) -> Result<Frame, Ended> {
    loop {
        if let Some(frame) = frames.pop_front() {
            return Ok(frame);
        }
        let mut more = Vec::new();
        reader.next(&mut more).await?;
        frames.extend(more);
    }
}

/// Closes a connection, and says why.
pub(super) fn refuse(connection: &Connection, ended: Ended) -> Ended {
    let code = match &ended {
        Ended::Arrival(ArrivalError::Store(_)) | Ended::Outbox(_) => CloseCode::Abandoned,
        Ended::Protocol(_) | Ended::Read(_) | Ended::Arrival(_) => CloseCode::Protocol,
        Ended::Superseded => CloseCode::Superseded,
        Ended::Node(_) => CloseCode::Stopping,
        Ended::Refused(_) | Ended::Stores(_) | Ended::NameTaken { .. } | Ended::Closed(_) => CloseCode::Refused,
    };
    connection.close(code, &ended.to_string());
    ended
}

impl Core {
    /// Whether a peer may be spoken with, by what is known now.
    pub(super) fn judge(
        &self,
        certified: &str,
        theirs: &Hello,
        producer: &Producer,
        acquaintances: &Acquaintances,
    ) -> Result<(), Refusal> {
        let newest = producer.receiving.lock().unwrap_or_else(PoisonError::into_inner).newest();
        self.hello().judge(theirs, certified, acquaintances.get(theirs.run.store), newest)
    }

    fn hello(&self) -> Hello {
        let (epoch, now) = (self.store.epoch(), self.clock.now());
        let mut lines: Vec<Line> = self.kinds.keys().map(|actor_type| self.cluster.line(actor_type)).collect();
        lines.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Hello {
            protocol: PROTOCOL_VERSION,
            cluster: self.cluster.name.clone(),
            node: self.name.to_string(),
            partitions: self.store.partitions().get(),
            run: Run {
                store: self.store.id().0,
                counter: epoch.counter,
                nonce: epoch.nonce,
                first: Sequence(self.first.0),
            },
            message_bytes_max: self.config.message_bytes_max as u64,
            lines,
            earlier: self.cluster.earlier_runs().to_vec(),
            clocks: Clocks { steady: now.steady.0, wall: now.wall.0 },
        }
    }

    /// Notes this run of the store durably, before anybody hears of it: from now on the store can tell that it was through it.
    pub(crate) async fn note_run(&self) -> Result<(), NodeEnded> {
        let epoch = self.store.epoch();
        let run = EarlierRun { counter: epoch.counter, nonce: epoch.nonce, first: Sequence(self.first.0) };
        let earlier = self.cluster.earlier_runs();
        let runs = [&earlier[(earlier.len() + 1).saturating_sub(EARLIER_RUNS_MAX)..], &[run]].concat();
        let record = Record::put(tables::peer(self.store.id()), encode_runs(&runs));
        let transaction = Transaction::upkeep(self).with(record);
        let permit = transaction.reserve().await.map_err(|_| self.gate.ended())?;
        self.gate.durable(transaction.commit_in_any_case(permit).ticket).await
    }

    /// The lines that the peer takes and places as this node does, and the types of the others, whose messages wait.
    fn shared_lines<'l>(&self, theirs: &'l [Line]) -> (FxHashSet<u64>, Vec<&'l str>) {
        let (shared, differing): (Vec<_>, Vec<_>) =
            theirs.iter().partition(|line| self.cluster.line(&line.name) == **line);
        let shared = shared.into_iter().map(|line| line_of(&line.name)).collect();
        (shared, differing.into_iter().map(|line| line.name.as_str()).collect())
    }
}
