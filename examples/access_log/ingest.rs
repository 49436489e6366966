//! The ingest actor reads the file. How far it came is part of its state, so the position and the requests that were
//! read commit as one: a crash repeats a chunk as a whole or not at all.
//!
//! It lives on the node that has the file, see `site.rs`. It does not read the file into mailboxes as fast as the disk
//! gives it. The total at the end of the chain reports how many bytes of lines have arrived there, and the ingest actor
//! keeps at most [`AHEAD_BYTES_MAX`] between the two; so little is on its way while another node is away.

use std::sync::Arc;

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, QueryHandler, State, Turn};
use serde::{Deserialize, Serialize};

use super::line::{self, Malformed};
use super::log_file::{Chunk, LINE_BYTES_MAX, LogFile, Position};
use super::names;
use super::total::{Line, Lines, Rejected, Total};
use super::visitor::{Request, Visitor};

/// How many bytes of lines may be on their way between an ingest actor and the total, give or take a chunk.
const AHEAD_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Reads the file of this run, if it has one. `run` tells this process from those before it: a chain of reading that
/// one of them left behind is not continued, since the file may be another.
#[derive(Debug)]
pub(crate) struct Ingest {
    log: Option<Arc<LogFile>>,
    run: u64,
}

#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "progress")]
pub(crate) struct Progress {
    position: Position,
    lines: u64,
    rejected: u64,
    /// Bytes of lines that were sent on.
    sent: u64,
    /// Bytes of lines that the total has counted.
    arrived: u64,
    /// The run that has a `ReadOn` on its way to itself.
    reading: Option<u64>,
}

/// From `main`: the file is the right one, start.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "begin")]
pub(crate) struct Begin;

/// From the ingest actor to itself: the next chunk.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "read_on")]
pub(crate) struct ReadOn {
    run: u64,
}

/// From the total: this many bytes of lines have arrived, over all runs.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "arrived")]
pub(crate) struct Arrived {
    pub(crate) bytes: u64,
}

/// How far is it?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "how_far", reply = HowFar)]
pub(crate) struct AskHowFar;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HowFar {
    pub(crate) position: Position,
    pub(crate) lines: Lines,
}

impl Ingest {
    pub(crate) fn new(log: Option<Arc<LogFile>>, run: u64) -> Self {
        Self { log, run }
    }

    /// Reads a chunk, if there is one and not too much is on its way already.
    fn read(&self, progress: &mut Durable<Progress>, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Some(log) = self.log.as_deref().filter(|log| log.is_recognised()) else {
            return Ok(());
        };
        if progress.reading == Some(self.run) || !may_read(log, progress) {
            return Ok(());
        }
        let chunk = log.chunk(&progress.position)?;
        send(&chunk, progress, turn);
        progress.position = chunk.next;
        if may_read(log, progress) {
            progress.reading = Some(self.run);
            turn.send(&Self::at(&own_key(turn)), ReadOn { run: self.run });
        }
        Ok(())
    }
}

/// Sends each request of a chunk to its visitor, and the number of the other lines to the total.
fn send(chunk: &Chunk, progress: &mut Progress, turn: &mut Turn<'_>) {
    let source = own_key(turn);
    let rejected_before = progress.rejected;
    for line in chunk.lines() {
        progress.lines += 1;
        let parsed = if chunk.too_long { Err(Malformed("it is longer than 4 MiB")) } else { line::parse(line) };
        match parsed {
            Ok(request) => {
                let bytes = line.len() as u64;
                progress.sent += bytes;
                let visitor = Visitor::at(&names::key(request.visitor));
                let line = Line { source: source.clone(), bytes };
                turn.send(&visitor, Request { path: request.path.into(), bytes: request.bytes, line });
            }
            Err(Malformed(reason)) => {
                progress.rejected += 1;
                tracing::warn!(line = progress.lines, reason, text = %names::shown(line), "line rejected");
            }
        }
    }
    let lines = progress.rejected - rejected_before;
    if lines > 0 {
        turn.send(&Total::at(Total::KEY), Rejected { source, lines });
    }
}

fn own_key(turn: &Turn<'_>) -> String {
    turn.address().key().to_owned()
}

fn may_read(log: &LogFile, progress: &Progress) -> bool {
    progress.position.offset < log.length() && has_room(progress)
}

fn has_room(progress: &Progress) -> bool {
    progress.sent.saturating_sub(progress.arrived) < AHEAD_BYTES_MAX
}

const _: () = assert!(LINE_BYTES_MAX == 4 * 1024 * 1024, "the reason above names the limit");

impl Actor for Ingest {
    const TYPE: &'static str = "ingest";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = Progress;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Begin>();
        handlers.on::<ReadOn>();
        handlers.on::<Arrived>();
        handlers.on_query::<AskHowFar>();
    }
}

impl Handler<Begin> for Ingest {
    async fn handle(&self, progress: &mut Durable<Progress>, _: Begin, turn: &mut Turn<'_>) -> Result<(), Failure> {
        self.read(progress, turn)
    }
}

impl Handler<ReadOn> for Ingest {
    async fn handle(
        &self,
        progress: &mut Durable<Progress>,
        message: ReadOn,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        if message.run != self.run {
            return Ok(());
        }
        progress.reading = None;
        self.read(progress, turn)
    }
}

impl Handler<Arrived> for Ingest {
    async fn handle(
        &self,
        progress: &mut Durable<Progress>,
        Arrived { bytes }: Arrived,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        progress.arrived = bytes;
        self.read(progress, turn)
    }
}

impl QueryHandler<AskHowFar> for Ingest {
    fn answer(&self, progress: &Progress, _: AskHowFar) -> HowFar {
        HowFar {
            position: progress.position.clone(),
            lines: Lines { requests: progress.lines - progress.rejected, rejected: progress.rejected },
        }
    }
}
