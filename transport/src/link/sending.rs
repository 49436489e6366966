//! The sending side: what is owed to one peer, and what may leave now.

mod departures;
mod withdrawal;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};

use self::departures::{Body, Departure, Departures};
pub use self::withdrawal::Standing;
use super::{Ack, Data, Lane, Sequence};

/// How many messages a lane may send before another has its turn.
const TURN_MESSAGES: usize = 64;

/// What is owed to one peer. Lives as long as the process, over all connections; the bodies that are not in memory are in
/// the store.
#[derive(Clone, Debug)]
pub struct Sending {
    lanes: FxHashMap<Lane, Departures>,
    /// Lanes that may have something to send, each once.
    ready: VecDeque<Lane>,
    /// Lanes whose next message is not durable yet, each once.
    uncommitted: Vec<Lane>,
    durable: Sequence,
    owed: Owed,
    /// Bytes of bodies that are kept in memory, and how many may be.
    kept_bytes: usize,
    kept_bytes_max: usize,
    /// Bytes that were sent and not acknowledged, and how many may be.
    under_way_bytes: usize,
    under_way_bytes_max: usize,
    /// What the peer takes and grants in this conversation; none while there is none.
    terms: Option<Terms>,
}

/// What a peer takes and grants in a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// The lines that it takes messages of; those of others wait.
    pub lines: FxHashSet<u64>,
    /// How many bytes of a lane may be under way until it says otherwise.
    pub credit: u64,
    /// The largest message that it takes, in bytes.
    pub message_bytes_max: u64,
}

/// How much is not acknowledged yet, without what has expired ([`Sending::uncount`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// How many messages.
    pub messages: usize,
    /// How many bytes they have together.
    pub bytes: usize,
}

/// What may happen next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this message.
    Send(Data),
    /// Read these bodies from the store, and bring them by [`Sending::loaded`].
    Load(Lane, Vec<Sequence>),
    /// The peer does not take messages as large as this one, so that its lane waits until the peer comes back with another
    /// limit. Said once in a conversation.
    TooLarge {
        /// The lane.
        lane: Lane,
        /// The message.
        sequence: Sequence,
        /// Its size.
        bytes: usize,
    },
    /// Nothing may leave until something is pushed, committed or acknowledged.
    Nothing,
}

/// What became of a wish for flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flagged {
    /// The message will carry them.
    Set,
    /// It was sent without them, and may have arrived.
    UnderWay,
    /// It was acknowledged.
    Acknowledged,
}

/// The two stores do not fit together: one is an old copy. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// The peer has less than it acknowledged.
    #[error(
        "the peer has lane {lane} up to {} only, although it acknowledged {}: its store is an old copy; nothing is sent to it", cursor.0, acknowledged.0
    )]
    Rewound {
        /// The lane.
        lane: Lane,
        /// What it acknowledged.
        acknowledged: Sequence,
        /// What it has.
        cursor: Sequence,
    },
    /// The peer has what was never sent.
    #[error(
        "the peer has message {} of lane {lane}, which this store never sent: this store is an old copy; nothing is sent from it", cursor.0
    )]
    Unknown {
        /// The lane.
        lane: Lane,
        /// What it has.
        cursor: Sequence,
    },
}

/// An acknowledgement of what was not sent.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message {} of lane {} was acknowledged but not sent", .0.through.0, .0.lane)]
pub struct AckError(pub Ack);

impl Sending {
    /// Nothing is owed. Bodies beyond `kept_bytes_max` are left to the store; no more than `under_way_bytes_max` bytes, or one
    /// message, are under way at a time.
    #[must_use]
    pub fn new(kept_bytes_max: usize, under_way_bytes_max: usize) -> Self {
        Self {
            lanes: FxHashMap::default(),
            ready: VecDeque::new(),
            uncommitted: Vec::new(),
            durable: Sequence(0),
            owed: Owed::default(),
            kept_bytes: 0,
            kept_bytes_max,
            under_way_bytes: 0,
            under_way_bytes_max,
            terms: None,
        }
    }

    /// A message that the store had when it was opened; in the order of its numbers. Whether an earlier run may have sent it.
    pub fn recovered(&mut self, lane: Lane, sequence: Sequence, bytes: usize, may_have_arrived: bool) {
        let departures = self.append(lane, sequence, bytes, 0, Body::Stored);
        if may_have_arrived {
            departures.reached = sequence;
        }
    }

    /// A message that was submitted to the store; it leaves when that is durable. Numbers grow within a lane.
    pub fn push(&mut self, lane: Lane, sequence: Sequence, flags: u8, body: Bytes) {
        let bytes = body.len();
        let body = if self.kept_bytes + bytes <= self.kept_bytes_max {
            self.kept_bytes += bytes;
            Body::Kept(body)
        } else {
            Body::Stored
        };
        self.append(lane, sequence, bytes, flags, body);
    }

    fn append(&mut self, lane: Lane, sequence: Sequence, bytes: usize, flags: u8, body: Body) -> &mut Departures {
        let terms = self.terms.as_ref();
        let departures = self.lanes.entry(lane).or_insert_with(|| Departures::new(lane, terms));
        assert!(sequence > departures.last(), "numbers grow within a lane");
        let bytes = u32::try_from(bytes).expect("a message is far below 4 GiB");
        departures.queue.push_back(Departure { sequence, bytes, flags, counts: true, body });
        self.owed.messages += 1;
        self.owed.bytes += bytes as usize;
        if !departures.is_listed && departures.is_open {
            departures.is_listed = true;
            self.ready.push_back(lane);
        }
        departures
    }

    /// Asks that a message carry these flags too.
    pub fn flag(&mut self, lane: Lane, sequence: Sequence, flags: u8) -> Flagged {
        let Some(departures) = self.lanes.get_mut(&lane) else {
            return Flagged::Acknowledged;
        };
        let Ok(index) = departures.queue.binary_search_by_key(&sequence, |departure| departure.sequence) else {
            return Flagged::Acknowledged;
        };
        // Also when it is under way: it will carry them if it is sent again.
        departures.queue[index].flags |= flags;
        if index < departures.sent { Flagged::UnderWay } else { Flagged::Set }
    }

    /// Whether the peer takes messages of so many bytes; not when there is no conversation.
    #[must_use]
    pub fn takes(&self, bytes: usize) -> bool {
        self.terms.as_ref().is_some_and(|terms| bytes as u64 <= terms.message_bytes_max)
    }

    /// What is not acknowledged yet.
    #[must_use]
    pub fn owed(&self) -> Owed {
        self.owed
    }

    /// The store of the peer is another one than before, or this process has just started: `acknowledged` is all that the
    /// peer's present store is known to have.
    pub fn meet(&mut self, acknowledged: impl IntoIterator<Item = (Lane, Sequence)>) {
        self.lanes.values_mut().for_each(|departures| departures.acknowledged = Sequence(0));
        for (lane, sequence) in acknowledged {
            self.lanes.entry(lane).or_insert_with(|| Departures::new(lane, None)).acknowledged = sequence;
        }
    }

    /// A conversation begins: the peer's store has `cursors`, and speaks on these `terms`. What turns out to be there already is
    /// told to `settled`, as for an acknowledgement.
    ///
    /// # Errors
    ///
    /// [`ResumeError`] when the two stores do not fit together.
    pub fn resume(
        &mut self,
        cursors: &FxHashMap<Lane, Sequence>,
        terms: Terms,
        mut settled: impl FnMut(Lane, Sequence),
    ) -> Result<(), ResumeError> {
        self.interrupted();
        for (lane, departures) in &self.lanes {
            departures.check(*lane, cursors.get(lane).copied().unwrap_or_default())?;
        }
        if let Some((lane, cursor)) =
            cursors.iter().find(|(lane, cursor)| cursor.0 > 0 && !self.lanes.contains_key(lane))
        {
            return Err(ResumeError::Unknown { lane: *lane, cursor: *cursor });
        }
        let terms = self.terms.insert(terms);
        for (lane, departures) in &mut self.lanes {
            departures.begin(*lane, terms);
            // Whatever an earlier conversation has sent is there by now, or will never be.
            departures.reached = cursors.get(lane).copied().unwrap_or_default();
        }
        let lanes: Vec<Lane> = self.lanes.keys().copied().collect();
        for lane in lanes {
            if let Some(cursor) = cursors.get(&lane) {
                self.settle(lane, *cursor, &mut settled);
            }
            self.list(lane);
        }
        Ok(())
    }

    /// The connection is gone: everything that was not acknowledged is sent again on the next one.
    pub fn interrupted(&mut self) {
        self.terms = None;
        self.under_way_bytes = 0;
        self.ready.clear();
        self.uncommitted.clear();
        for departures in self.lanes.values_mut() {
            (departures.sent, departures.sent_bytes, departures.is_open, departures.is_listed) = (0, 0, false, false);
        }
    }

    /// The peer does not take this message. Its lane waits until the next conversation; what was sent before it may still be
    /// acknowledged, what was sent after it is not under way any more. False for a message that is not owed.
    pub fn stopped(&mut self, lane: Lane, sequence: Sequence) -> bool {
        let Some(departures) = self.lanes.get_mut(&lane) else { return false };
        let Ok(index) = departures.queue.binary_search_by_key(&sequence, |departure| departure.sequence) else {
            return false;
        };
        (departures.is_open, departures.too_large) = (false, None);
        let refused = departures.queue.range(index.min(departures.sent)..departures.sent);
        let bytes: usize = refused.map(|departure| departure.bytes as usize).sum();
        departures.sent = departures.sent.min(index);
        departures.sent_bytes -= bytes;
        // Nothing from it on is taken in this conversation.
        departures.reached = departures.before(departures.sent);
        self.under_way_bytes -= bytes;
        true
    }

    /// The store is durable up to here.
    pub fn committed(&mut self, durable: Sequence) {
        if durable > self.durable {
            self.durable = durable;
            self.ready.extend(self.uncommitted.drain(..));
        }
    }

    /// What may happen next. Nothing that is not durable is ever sent.
    pub fn poll(&mut self) -> Next {
        while let Some(&lane) = self.ready.front() {
            let departures = self.lanes.get_mut(&lane).expect("only lanes that exist are listed");
            let next = departures.queue.get_mut(departures.sent).filter(|_| departures.is_open);
            let Some(departure) = next else {
                self.unlist();
                continue;
            };
            if departure.sequence.max(departures.held_until) > self.durable {
                self.ready.pop_front();
                self.uncommitted.push(lane);
                continue;
            }
            let bytes = departure.bytes as usize;
            if self.terms.as_ref().is_some_and(|terms| bytes as u64 > terms.message_bytes_max) {
                let sequence = departure.sequence;
                departures.is_open = false;
                departures.too_large = Some(sequence);
                self.unlist();
                return Next::TooLarge { lane, sequence, bytes };
            }
            // One message may always be under way, however large it is.
            if departures.sent > 0 && (departures.sent_bytes + bytes) as u64 > departures.credit {
                self.unlist();
                continue;
            }
            if self.under_way_bytes > 0 && self.under_way_bytes + bytes > self.under_way_bytes_max {
                return Next::Nothing;
            }
            let body = match std::mem::replace(&mut departure.body, Body::Stored) {
                Body::Kept(body) => {
                    departure.body = Body::Kept(body.clone());
                    body
                }
                Body::Loaded(body) => body,
                Body::Stored => return Next::Load(lane, departures.to_load(self.durable)),
            };
            let (sequence, flags) = (departure.sequence, departure.flags);
            let previous = departures.before(departures.sent);
            departures.reached = sequence;
            departures.sent += 1;
            departures.sent_bytes += bytes;
            self.under_way_bytes += bytes;
            if departures.sent.is_multiple_of(TURN_MESSAGES) {
                self.ready.rotate_left(1);
            }
            return Next::Send(Data { lane, previous, sequence, flags, body });
        }
        Next::Nothing
    }

    /// A message whose commit lets more leave, if there is one.
    #[must_use]
    pub fn next_commit(&self) -> Option<Sequence> {
        // A lane whose next message was withdrawn has none.
        self.uncommitted.iter().find_map(|lane| self.lanes.get(lane)?.next_leaves_after())
    }

    /// Brings bodies that [`Next::Load`] asked for. Those that were acknowledged meanwhile are ignored.
    pub fn loaded(&mut self, lane: Lane, bodies: impl IntoIterator<Item = (Sequence, Bytes)>) {
        let Some(departures) = self.lanes.get_mut(&lane) else { return };
        for (sequence, body) in bodies {
            let index = departures.queue.binary_search_by_key(&sequence, |departure| departure.sequence);
            if let Ok(index) = index
                && matches!(departures.queue[index].body, Body::Stored)
            {
                departures.queue[index].body = Body::Loaded(body);
            }
        }
    }

    /// The peer has a lane on disk up to a message. Each message that is done with is told to `settled`: it need not be kept
    /// any longer.
    ///
    /// # Errors
    ///
    /// [`AckError`] when that was not sent; nothing is changed then.
    pub fn acknowledged(&mut self, ack: Ack, mut settled: impl FnMut(Lane, Sequence)) -> Result<(), AckError> {
        let Some(departures) = self.lanes.get_mut(&ack.lane) else {
            return Err(AckError(ack));
        };
        if ack.through > departures.acknowledged && !departures.was_sent(ack.through) {
            return Err(AckError(ack));
        }
        departures.credit = ack.credit;
        self.settle(ack.lane, ack.through, &mut settled);
        self.list(ack.lane);
        Ok(())
    }

    fn settle(&mut self, lane: Lane, through: Sequence, settled: &mut impl FnMut(Lane, Sequence)) {
        let departures = self.lanes.get_mut(&lane).expect("the caller has looked it up");
        while departures.queue.front().is_some_and(|departure| departure.sequence <= through) {
            let departure = departures.queue.pop_front().expect("there is a front");
            let bytes = departure.bytes as usize;
            if let Body::Kept(body) = departure.body {
                self.kept_bytes -= body.len();
            }
            if departures.sent > 0 {
                departures.sent -= 1;
                departures.sent_bytes -= bytes;
                self.under_way_bytes -= bytes;
            }
            if departure.counts {
                self.owed.messages -= 1;
                self.owed.bytes -= bytes;
            }
            settled(lane, departure.sequence);
        }
        departures.acknowledged = departures.acknowledged.max(through);
    }

    /// Puts a lane on the list if it may have something to send.
    fn list(&mut self, lane: Lane) {
        let departures = self.lanes.get_mut(&lane).expect("the caller has looked it up");
        if departures.is_open && !departures.is_listed && departures.sent < departures.queue.len() {
            departures.is_listed = true;
            self.ready.push_back(lane);
        }
    }

    /// Takes the lane at the front off the list.
    fn unlist(&mut self) {
        let lane = self.ready.pop_front().expect("a lane is at the front");
        self.lanes.get_mut(&lane).expect("only lanes that exist are listed").is_listed = false;
    }
}

impl fmt::Display for Owed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages, {} bytes", self.messages, self.bytes)
    }
}

crate::error_text::debug_as_text!(ResumeError, AckError);
