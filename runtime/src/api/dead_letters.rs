//! Looking at dead letters, and deciding what becomes of them.

use std::fmt;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Key, Position, ReadError};

use crate::api::sending;
use crate::base::ended::NodeEnded;
use crate::commit::{Removed, Replayed, Send, Transaction};
use crate::message::address::Address;
use crate::message::envelope::{Extension, Header, Origin, seal, without_expiry};
use crate::message::expiry::Handling;
use crate::message::refusal::Refusal;
use crate::message::sequence::Sequence;
use crate::message::{Message, MessageId};
use crate::record::dead_letter::{DeadLetter, DeadLetterRecord};
use crate::shard::Shard;
use crate::shard::current::Current;
use crate::tables;

/// How many dead letters are read at a time for a list.
const LIST_LETTERS: usize = 256;

/// The dead letters of a node. Made by [`Node::dead_letters`](crate::Node::dead_letters).
///
/// Each is named by its number in the store's order ([`DeadLetter::sequence`]). What is decided is durable when the
/// call returns, and happens once however many decide at the same time.
///
/// ```
/// # use everpost::*;
/// # #[derive(serde::Serialize, serde::Deserialize, Message)]
/// # #[message(reply = i64)]
/// # struct Deposit { cents: i64 }
/// # struct Account;
/// # impl Actor for Account {
/// #     const TYPE: &'static str = "account"; type State = i64;
/// #     fn handlers(handlers: &mut Handlers<Self>) { handlers.on::<Deposit>(); }
/// # }
/// # impl Handler<Deposit> for Account {
/// #     async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>)
/// #         -> Result<i64, Failure> {
/// #         if deposit.cents < 0 { return Err(Failure::reject("a deposit is positive")); }
/// #         **balance += deposit.cents;
/// #         Ok(**balance)
/// #     }
/// # }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let node = Node::builder("east", folder.path()).actor(Account).start().await?;
/// let alice = node.actor::<Account>("alice");
/// let receipt = alice.send(Deposit { cents: -5 }).submit().await?;
/// assert!(receipt.processed().await.is_err()); // its handler has rejected it
///
/// for letter in node.dead_letters().list().await? {
///     println!("{} {}: {:?}", letter.sequence, letter.address, letter.errors.last());
///     match letter.reason {
///         Reason::Rejected => {
///             node.dead_letters().edit(letter.sequence, &Deposit { cents: 5 }).await?;
///         }
///         _ => node.dead_letters().replay(letter.sequence).await?,
///     }
/// }
/// node.drained().await?;
/// assert_eq!(node.dead_letters().count(), 0);
/// # node.stop().await?;
/// # Ok(()) }
/// ```
///
/// # Cancel safety
///
/// A decision that is dropped has been made as a whole or not at all, and can be tried again: one that was made is made
/// only once, and [`DeadLetterError::NotThere`] says then that it was made, durably.
#[derive(Clone)]
pub struct DeadLetters {
    current: Current,
}

/// Why nothing was decided on a dead letter. It is where it was.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// There is none with this number: it was replayed or deleted before, which is durable, or never was one.
    #[error("there is no dead letter {0}; it was replayed or deleted, or never was one")]
    NotThere(Sequence),
    /// It cannot be read by this build.
    #[error("dead letter {0} cannot be read by this build; start the build that wrote it")]
    Unreadable(Sequence),
    /// No actor of this node handles such a message.
    #[error("no actor of this node handles `{message}` for {address}; start a build that does, and replay it then")]
    NotHandled {
        /// Where it would go.
        address: String,
        /// The name of the message.
        message: String,
    },
    /// It is what a turn has asked, and asks anew by itself when it is tried again: a replay would ask twice.
    #[error(
        "dead letter {0} was asked by a turn, which asks anew by itself; delete it, or replay the turn's own message"
    )]
    Ask(Sequence),
    /// The node does not take it.
    #[error(transparent)]
    NotAccepted(#[from] Refusal),
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The node ended before it said that the decision is durable.
    #[error("the node ended while the decision was being written, so that it is unknown whether it counts: {0}")]
    OutcomeUnknown(#[from] NodeEnded),
}

impl From<AdmissionError> for DeadLetterError {
    fn from(error: AdmissionError) -> Self {
        Self::NotAccepted(error.into())
    }
}

impl DeadLetters {
    pub(crate) fn new(current: Current) -> Self {
        Self { current }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.current.look(|shard| shard.dead_letters.count())
    }

    /// All of them, in the order in which they were sent. One that this build cannot read is left out, with a warning
    /// in the log.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be read; nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn list(&self) -> Result<Vec<DeadLetter>, ReadError> {
        let shard = self.current.get();
        catch_up(&shard).await;
        let mut dead_letters = Vec::new();
        let mut last = None;
        loop {
            let positions = shard.dead_letters.after(last, LIST_LETTERS);
            let Some(newest) = positions.last() else { return Ok(dead_letters) };
            last = Some(*newest);
            let keys: Vec<Key> = positions.iter().map(|&position| tables::dead_letter(position)).collect();
            let records = shard.store.read_all(keys).await?;
            // One that is not there was decided on meanwhile.
            let there = positions.into_iter().zip(records).filter_map(|(position, record)| Some((position, record?)));
            for (position, record) in there {
                match DeadLetter::decode(position, &record) {
                    Some(dead_letter) => dead_letters.push(dead_letter),
                    None => {
                        if let Some(times) = shard.recurring.met("record unreadable") {
                            tracing::warn!(
                                node = %shard.name, seq = position.0, times, event = "record unreadable",
                                "a dead letter cannot be read by this build; it stays in the store"
                            );
                        }
                    }
                }
            }
        }
    }

    /// The one with this number, if there is one that this build can read.
    ///
    /// # Errors
    ///
    /// [`ReadError`] when the store cannot be read; nothing is changed.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn get(&self, sequence: Sequence) -> Result<Option<DeadLetter>, ReadError> {
        let shard = self.current.get();
        catch_up(&shard).await;
        let position = sequence.position();
        Ok(read(&shard, position).await?.and_then(|record| DeadLetter::decode(position, &record)))
    }

    /// Sends it again, as it is: with its id, so that whatever was done outside under its
    /// [`idempotency_key`](crate::Turn::idempotency_key) still counts once, and with its attempts counted anew. It goes
    /// to the end of its mailbox, on whatever node that is, and does not expire any more.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`]; the dead letter is where it was.
    ///
    /// # Cancel safety
    ///
    /// A decision whose call is dropped counts as a whole or not at all; decide again, which finds the dead letter or
    /// [`DeadLetterError::NotThere`].
    pub async fn replay(&self, sequence: Sequence) -> Result<(), DeadLetterError> {
        send_again(&self.current.get(), sequence, |header, envelope| {
            if header.keep_reply {
                return Err(DeadLetterError::Ask(sequence));
            }
            without_expiry(envelope).map_err(|_| DeadLetterError::Unreadable(sequence))
        })
        .await
    }

    /// Sends `message` in its place, under a new id, which is returned; the new message says what it replaces
    /// ([`DeadLetter::replaces`]). Its idempotency key, if it had one, is not taken over.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`]; the dead letter is where it was.
    ///
    /// # Cancel safety
    ///
    /// A decision whose call is dropped counts as a whole or not at all; decide again, which finds the dead letter or
    /// [`DeadLetterError::NotThere`].
    pub async fn edit<M: Message>(&self, sequence: Sequence, message: &M) -> Result<MessageId, DeadLetterError> {
        let id = MessageId::random();
        let shard = self.current.get();
        send_again(&shard, sequence, |header, _| {
            let origin = Origin {
                sender: header.sender,
                trace: Some(header.trace()),
                priority: header.priority(),
                extension: Extension::replacing(header.id()),
                ..Origin::plain(id, shard.clock.wall())
            };
            let envelope = seal(header.destination, origin, message).map_err(Refusal::Encode)?;
            let (bytes, bytes_max) = (envelope.len(), shard.config.message_bytes_max);
            if bytes > bytes_max {
                return Err(Refusal::MessageTooLarge { bytes, bytes_max }.into());
            }
            Ok(envelope)
        })
        .await?;
        Ok(id)
    }

    /// Deletes it for good.
    ///
    /// # Errors
    ///
    /// [`DeadLetterError`]; the dead letter is where it was.
    ///
    /// # Cancel safety
    ///
    /// A decision whose call is dropped counts as a whole or not at all; decide again, which finds the dead letter or
    /// [`DeadLetterError::NotThere`].
    pub async fn delete(&self, sequence: Sequence) -> Result<(), DeadLetterError> {
        let shard = self.current.get();
        sending::check_intake(&shard)?;
        let dead_letter = sequence.position();
        let transaction = Transaction::upkeep(&shard).with(Removed::one(dead_letter));
        let permit = transaction.reserve().await?;
        let dropped = transaction.commit(permit).ok().map(|committed| committed.ticket);
        decided(&shard, dead_letter, dropped).await
    }
}

/// Puts what `make` makes of a dead letter into its mailbox, in the commit that takes the dead letter out of the
/// queue.
async fn send_again(
    shard: &Shard,
    sequence: Sequence,
    make: impl FnOnce(&Header<'_>, &[u8]) -> Result<Bytes, DeadLetterError>,
) -> Result<(), DeadLetterError> {
    sending::check_intake(shard)?;
    catch_up(shard).await;
    let dead_letter = sequence.position();
    let Some(record) = read(shard, dead_letter).await? else { return decided(shard, dead_letter, None).await };
    let (unreadable, letter_bytes) = (|| DeadLetterError::Unreadable(sequence), record.len());
    let record = DeadLetterRecord::decode(&record).ok_or_else(unreadable)?;
    let (header, _) = Header::decode(record.envelope).map_err(|_| unreadable())?;
    let address = Address::parse(header.destination).ok_or_else(unreadable)?;
    let envelope = make(&header, record.envelope)?;
    let replayed = replay_as(shard, dead_letter, letter_bytes, &address, envelope).await?;
    decided(shard, dead_letter, replayed).await
}

/// Sends a dead letter again as this envelope, wherever its actor lives now. Returns what must be durable for that
/// to count; none when the dead letter is not there any more.
async fn replay_as(
    shard: &Shard,
    dead_letter: Position,
    letter_bytes: usize,
    address: &Address,
    envelope: Bytes,
) -> Result<Option<Position>, DeadLetterError> {
    let (id, message, handling) = match Header::decode(&envelope) {
        Ok((header, _)) => (header.id(), header.message.to_owned(), Handling::of(&header)),
        Err(_) => (MessageId(0), String::new(), Handling::default()),
    };
    let route = shard.route(address, |known| match known.is_some_and(|known| known.handles(&message)) {
        true => Ok(()),
        false => Err(DeadLetterError::NotHandled { address: address.to_string(), message: message.clone() }),
    })?;
    let transaction = Transaction::node(shard).with(Send::new(&route, handling, envelope)).with(Replayed::new(
        dead_letter,
        letter_bytes,
        id,
        &route,
    ));
    let permit = transaction.reserve().await?;
    Ok(transaction.commit(permit).ok().map(|committed| committed.ticket))
}

/// Completes when what was decided on a dead letter is durable: by this call, with this ticket, or by another one.
async fn decided(shard: &Shard, dead_letter: Position, ticket: Option<Position>) -> Result<(), DeadLetterError> {
    let newest = ticket.unwrap_or_else(|| shard.dead_letters.newest());
    shard.gate.durable(newest).await?;
    match ticket {
        Some(_) => Ok(()),
        None => Err(DeadLetterError::NotThere(Sequence::of(dead_letter))),
    }
}

/// Waits until the store has what is known of the dead letters. A node that has ended shows what its store has.
async fn catch_up(shard: &Shard) {
    let _ = shard.gate.durable(shard.dead_letters.newest()).await;
}

/// The record of a dead letter; none when it was decided on.
async fn read(shard: &Shard, position: Position) -> Result<Option<Bytes>, ReadError> {
    if !shard.dead_letters.contains(position) {
        return Ok(None);
    }
    shard.store.read(tables::dead_letter(position)).await
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetters").field("count", &self.count()).finish_non_exhaustive()
    }
}

crate::base::error_text::debug_as_text!(DeadLetterError);
