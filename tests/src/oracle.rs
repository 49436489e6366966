//! The oracle: it stands outside the process that is killed, knows only what clients saw, and judges what is there in
//! the end. A job whose fate the client never learned may be there or not, once; everything else must be as it was
//! told.

mod judge;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use everpost::DeadLetter;
use serde::{Deserialize, Serialize};

use crate::load::{History, Job, STREAMS};
use crate::protocol::{Client, Saw};

/// What a source and a sink keep of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The job's number.
    pub number: u32,
    /// Drawn at random by the attempt whose effects these are.
    pub token: u64,
}

/// What the clients saw, over all lives of the process.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    streams: BTreeMap<u32, Stream>,
    life: u32,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    /// Each number that was sent, with the life of the process in which it was.
    sent: BTreeMap<u32, u32>,
    acknowledged: BTreeSet<u32>,
    given_up: BTreeSet<u32>,
    replied: BTreeMap<u32, u64>,
    /// How many entries a query found, and the newest one's token.
    answered: Vec<(usize, u64)>,
    processed: BTreeSet<u32>,
    /// A number that was processed, and the newest one that a query found after that.
    shown_after: Vec<(u32, Option<u32>)>,
}

/// What is there in the end, when nothing waits any more.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The histories of all sources, by stream.
    pub sources: History,
    /// The histories of all sinks, by stream.
    pub sinks: History,
    /// The total.
    pub total: u64,
    /// The numbers of the dead letters, by stream.
    pub dead: BTreeMap<u32, Vec<u32>>,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, by its name: `I1` to `I6`.
    pub invariant: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.invariant, self.what)
    }
}

impl Oracle {
    /// Takes note of what a client saw.
    pub fn saw(&mut self, event: &Client) {
        let life = self.life;
        let stream = self.streams.entry(event.stream).or_default();
        match event.saw {
            Saw::Sent(number) => _ = stream.sent.insert(number, life),
            Saw::Acknowledged(number) => _ = stream.acknowledged.insert(number),
            Saw::GivenUp(number) => _ = stream.given_up.insert(number),
            Saw::Replied(number, token) => _ = stream.replied.insert(number, token),
            Saw::Answered(entries, token) => stream.answered.push((entries, token)),
            Saw::Processed(number) => _ = stream.processed.insert(number),
            Saw::ShownAfter(number, newest) => stream.shown_after.push((number, newest)),
        }
    }

    /// The process was killed; the next one begins with these numbers.
    pub fn killed(&mut self) -> Vec<(u32, u32)> {
        self.killed_with(0..STREAMS)
    }

    /// The process that had these streams was killed; the next one begins with these numbers.
    pub fn killed_with(&mut self, streams: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
        self.life += 1;
        let next =
            |stream| self.streams.get(&stream).and_then(|stream| stream.sent.keys().last()).map_or(1, |last| last + 1);
        streams.into_iter().map(|stream| (stream, next(stream))).collect()
    }

    /// How many jobs were sent, and of how many a client learned that they are durable.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let known = |stream: &Stream| {
            stream.acknowledged.len() + stream.replied.len() + stream.given_up.len() + stream.processed.len()
        };
        (self.streams.values().map(|stream| stream.sent.len()).sum(), self.streams.values().map(known).sum())
    }
}

impl Found {
    /// Takes note of a dead letter.
    ///
    /// # Panics
    ///
    /// When it is no job.
    pub fn dead_letter(&mut self, letter: &DeadLetter) {
        let job: Job = postcard::from_bytes(&letter.payload).expect("a dead letter keeps its message");
        self.dead.entry(job.stream).or_default().push(job.number);
    }
}
