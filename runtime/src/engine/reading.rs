//! Reading more than a record of the store: bodies for the window of a mailbox, and whole tables, on a thread of the
//! runtime for blocking work.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Admit, Key, Position, ReadError};
use ractor::ActorProcessingErr;

use crate::base::caught::joined;
use crate::mailbox::Mailbox;
use crate::shard::Shard;
use crate::shard::window::Room;

/// Admits bodies as far as there is room for them in memory.
struct Admission {
    room: Room,
    /// That of the first is there, or it is read in any case.
    is_first: bool,
    in_any_case: bool,
    /// The size of the first for which there was no room.
    refused: Option<usize>,
}

impl Admit for Admission {
    fn admits(&mut self, bytes: usize) -> bool {
        let is_first = std::mem::take(&mut self.is_first);
        let is_taken = if is_first && self.room.is_none() && self.in_any_case {
            self.room.take_in_any_case(bytes);
            true
        } else {
            (is_first && !self.room.is_none()) || self.room.take_at_once(bytes)
        };
        self.refused = (!is_taken).then_some(bytes);
        is_taken
    }
}

/// Reads bodies from the store into the window of a mailbox.
pub(crate) async fn load(
    shard: &Arc<Shard>,
    mailbox: &Mailbox,
    positions: Vec<Position>,
) -> Result<(), ActorProcessingErr> {
    let mut room = Room::none(shard);
    let (bodies, room) = loop {
        let keys: Vec<Key> = positions.iter().map(|&position| mailbox.inbox_key(position)).collect();
        let in_any_case = mailbox.lock().is_awaited();
        let admission = Admission { room, is_first: true, in_any_case, refused: None };
        // In their order, none where there is nothing in the store.
        let (bodies, admission) = shard.store.read_while(keys, admission).await?;
        room = admission.room;
        match admission.refused {
            // None was read, and there is room for the first when it comes to it.
            Some(bytes) if bodies.is_empty() => {
                if !room.take(bytes).await {
                    return Ok(());
                }
            }
            Some(_) | None => break (bodies, room),
        }
    };
    let mut inner = mailbox.lock();
    let mut loaded: Vec<(Position, Bytes)> = Vec::with_capacity(bodies.len());
    for (body, position) in bodies.into_iter().zip(positions) {
        match body {
            Some(body) => loaded.push((position, body)),
            // It expired meanwhile.
            None if !inner.rules().contains(position) => {}
            None => {
                let (position, address) = (position.0, &mailbox.address);
                let missing = format!(
                    "message {position} of {address} is not in the store though it waits: keep the data folder and \
                     report this"
                );
                return Err(missing.into());
            }
        }
    }
    // Under the lock, so that what leaves meanwhile is taken off where it is counted.
    let bytes = inner.loaded(loaded);
    shard.load.window_bytes.add(bytes);
    shard.load.beyond_bytes.take(bytes);
    drop(inner);
    // In the window they are counted as there.
    drop(room);
    // They were counted twice for a moment.
    shard.give_room();
    Ok(())
}

/// Goes through tables on a thread of the node's own runtime that may wait for the disk, whoever's thread calls.
/// Without that runtime the node has ended, and its store is closed.
pub(crate) async fn off_the_workers<T, R>(shard: &Shard, read: R) -> Result<T, ReadError>
where
    T: Send + 'static,
    R: FnOnce() -> Result<T, ReadError> + Send + 'static,
{
    joined(shard.own_runtime.handle().spawn_blocking(read).await).unwrap_or(Err(ReadError::Closed))
}
