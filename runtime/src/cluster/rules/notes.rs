//! What a peer is to be told beside the messages, until its link says it. Pure.
//!
//! All of it is bounded in bytes. Nothing that somebody waits for is dropped while there is a conversation: of an
//! outcome that would be too much the fact is kept, and only the reply is lost, unless the store has it; and an answer
//! is made only while there is room for it (see [`Notes::may_answer`]). What is kept for the next conversation may be
//! dropped, since outcomes are asked for anew then by whoever waits for them.

use std::collections::VecDeque;

use everpost_persistence::Key;
use rustc_hash::{FxHashMap, FxHashSet};

use crate::base::count;
use crate::cluster::note::{Fate, NoAnswer, Note};
use crate::message::address::Address;

/// How many notes are kept of each kind that may be lost.
const KEPT_MAX: usize = 65_536;
/// How many bytes of replies and reasons wait for a peer at most.
const OUTCOME_BYTES_MAX: usize = 32 << 20;
/// From how many bytes of outcomes on no more messages are taken from a peer that does not read them.
const OUTCOME_BYTES_MANY: usize = OUTCOME_BYTES_MAX / 4;
/// How many outcomes may wait. A peer that asks for more and hears none of them is not spoken with any more.
const OUTCOMES_MAX: usize = 512 << 10;
/// The same for answers, most of which are refusals by then.
const ANSWERS_MAX: usize = 128 << 10;
/// From how many bytes of answers on that wait for a peer no more are made for it.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// What a stored reply is taken for when a part of what waits is taken: how large it is shows when it is read.
const STORED_BYTES: usize = 64 << 10;

/// What is to be told.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    is_talking: bool,
    /// How many conversations have begun.
    conversations: u64,
    outcomes: VecDeque<(u128, Told)>,
    outcome_bytes: usize,
    /// Kept replies that are not needed any more. They may be lost.
    forgets: VecDeque<Note>,
    /// Queries and answers, which end with the conversation.
    volatile: VecDeque<Note>,
    /// Bytes of answers that were made and are not written yet, those among them that wait for a commit first.
    answer_bytes: usize,
    /// Mailboxes of which the peer is to be told that they are full, or have room again; only the last word counts.
    changed: FxHashMap<Address, bool>,
    /// Mailboxes of which the last word is that they are full.
    full: FxHashSet<Address>,
}

/// What became of a message.
#[derive(Debug)]
enum Told {
    Fate(Fate),
    /// It was handled, and the store has its reply there.
    Stored(Box<Key>),
}

/// Something to be told now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ToTell {
    /// This.
    Note(Note),
    /// The outcome of a message that was handled, with the reply that is in the store.
    Stored {
        /// The message.
        id: u128,
        /// Where its reply is.
        key: Key,
    },
}

impl Notes {
    /// A conversation begins. The peer asks for every outcome that it waits for; what is kept of them may still be
    /// told.
    pub(crate) fn begin(&mut self) {
        self.is_talking = true;
        self.conversations += 1;
        self.lose_volatile();
        self.changed.clear();
        self.full.clear();
    }

    /// The conversation is over.
    pub(crate) fn end(&mut self) {
        self.is_talking = false;
        self.lose_volatile();
        self.bound();
    }

    fn lose_volatile(&mut self) {
        let bytes = self.volatile.drain(..).map(|note| answer_bytes(&note)).sum();
        count::take(&mut self.answer_bytes, bytes);
    }

    /// Whether it is kept until it is told, or until it makes room for newer ones.
    pub(crate) fn push(&mut self, note: Note) -> bool {
        match note {
            Note::Outcome { id, fate } => {
                let is_too_much = self.outcome_bytes + bytes_of(&fate) > OUTCOME_BYTES_MAX;
                let fate = if is_too_much && self.is_talking { bare(fate) } else { fate };
                self.outcome_bytes += bytes_of(&fate);
                self.outcomes.push_back((id, Told::Fate(fate)));
                if !self.is_talking {
                    self.bound();
                }
            }
            Note::Forget { .. } => {
                if self.forgets.len() == KEPT_MAX {
                    self.forgets.pop_front();
                }
                self.forgets.push_back(note);
            }
            // Whoever asked is told by the end of the conversation that the query is lost.
            _ if self.is_talking => self.volatile.push_back(note),
            _ => {
                count::take(&mut self.answer_bytes, answer_bytes(&note));
                return false;
            }
        }
        true
    }

    /// Which conversation this is.
    pub(crate) fn conversation(&self) -> u64 {
        self.conversations
    }

    /// Keeps the answer to a query of this conversation. One of another belongs to nobody: its number is that of
    /// another query now.
    pub(crate) fn push_answer(&mut self, conversation: u64, number: u64, answer: Result<Vec<u8>, NoAnswer>) {
        if conversation == self.conversations {
            self.push(Note::Answer { number, answer });
        } else {
            count::take(&mut self.answer_bytes, bytes_of_answer(&answer));
        }
    }

    /// Keeps the outcome of a message whose reply the store has, in this conversation.
    pub(crate) fn push_stored(&mut self, id: u128, key: Key) {
        if self.is_talking {
            self.outcomes.push_back((id, Told::Stored(Box::new(key))));
        }
    }

    /// Whether an answer may be made now. What is made is counted by [`Notes::made`], and is to be pushed.
    pub(crate) fn may_answer(&self) -> bool {
        self.answer_bytes < ANSWER_BYTES_MAX
    }

    /// An answer was made.
    pub(crate) fn made(&mut self, answer: &Result<Vec<u8>, NoAnswer>) {
        self.answer_bytes += bytes_of_answer(answer);
    }

    /// One that was made is not pushed.
    pub(crate) fn unmade(&mut self, answer: &Result<Vec<u8>, NoAnswer>) {
        count::take(&mut self.answer_bytes, bytes_of_answer(answer));
    }

    /// So much waits that no more messages are to be taken from the peer, whose outcomes would wait too.
    pub(crate) fn are_many(&self) -> bool {
        self.outcome_bytes > OUTCOME_BYTES_MANY || self.outcomes.len() > OUTCOMES_MAX / 2
    }

    /// More waits than any peer leaves unread that hears what it asks for.
    pub(crate) fn are_too_many(&self) -> bool {
        self.outcomes.len() > OUTCOMES_MAX || self.volatile.len() > ANSWERS_MAX
    }

    /// Whether that is news.
    pub(crate) fn set_full(&mut self, address: &Address, is_full: bool) -> bool {
        let is_news = match is_full {
            true => self.full.insert(address.clone()),
            false => !self.full.is_empty() && self.full.remove(address),
        };
        if is_news && self.is_talking {
            self.changed.insert(address.clone(), is_full);
        }
        is_news && self.is_talking
    }

    /// Takes up to `notes_max` notes that are to be told now, and no more than `bytes_max` bytes but for the last one.
    pub(crate) fn take(&mut self, notes_max: usize, bytes_max: usize) -> Vec<ToTell> {
        let mut taken = Vec::new();
        if !self.changed.is_empty() {
            // Few: of mailboxes that are full, and each at most once.
            let changed = self.changed.drain().map(|(address, is_full)| {
                let destination = address.to_string();
                ToTell::Note(if is_full { Note::Full { destination } } else { Note::Room { destination } })
            });
            taken.extend(changed);
        }
        let mut bytes = 0;
        while taken.len() < notes_max && bytes < bytes_max {
            if let Some(note) = self.volatile.pop_front() {
                let of_answer = answer_bytes(&note);
                count::take(&mut self.answer_bytes, of_answer);
                bytes += of_answer + query_bytes(&note);
                taken.push(ToTell::Note(note));
            } else if let Some((id, told)) = self.outcomes.pop_front() {
                taken.push(match told {
                    Told::Fate(fate) => {
                        bytes += bytes_of(&fate);
                        count::take(&mut self.outcome_bytes, bytes_of(&fate));
                        ToTell::Note(Note::Outcome { id, fate })
                    }
                    Told::Stored(key) => {
                        bytes += STORED_BYTES;
                        ToTell::Stored { id, key: *key }
                    }
                });
            } else if let Some(note) = self.forgets.pop_front() {
                taken.push(ToTell::Note(note));
            } else {
                break;
            }
        }
        taken
    }

    /// Whether nothing is left to be told.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { changed, volatile, outcomes, forgets, .. } = self;
        changed.is_empty() && volatile.is_empty() && outcomes.is_empty() && forgets.is_empty()
    }

    /// Drops the oldest outcomes that are too many to be kept.
    fn bound(&mut self) {
        while self.outcomes.len() > KEPT_MAX || self.outcome_bytes > OUTCOME_BYTES_MAX {
            let Some((_, told)) = self.outcomes.pop_front() else { return };
            if let Told::Fate(fate) = told {
                count::take(&mut self.outcome_bytes, bytes_of(&fate));
            }
        }
    }
}

/// What became of a message, without its reply, and without the words on why it was given up on.
fn bare(fate: Fate) -> Fate {
    match fate {
        Fate::Handled(_) => Fate::Handled(None),
        Fate::GivenUp(_) => Fate::GivenUp("its dead letter says why: too much waits to be told".to_owned()),
        fate => fate,
    }
}

fn bytes_of(fate: &Fate) -> usize {
    match fate {
        Fate::Handled(reply) => reply.as_ref().map_or(0, Vec::len),
        Fate::GivenUp(reason) => reason.len(),
        _ => 0,
    }
}

fn bytes_of_answer(answer: &Result<Vec<u8>, NoAnswer>) -> usize {
    match answer {
        Ok(answer) => answer.len(),
        Err(NoAnswer::Failed(reason)) => reason.len(),
        Err(_) => 0,
    }
}

fn answer_bytes(note: &Note) -> usize {
    if let Note::Answer { answer, .. } = note { bytes_of_answer(answer) } else { 0 }
}

fn query_bytes(note: &Note) -> usize {
    if let Note::Query { payload, .. } = note { payload.len() } else { 0 }
}

#[cfg(test)]
mod tests;
