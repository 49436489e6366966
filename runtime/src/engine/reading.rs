//! Reading the store: it may wait for the disk, so it is done off the workers of the runtime.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{Key, Partition, Position, ReadError};
use ractor::ActorProcessingErr;

use crate::base::caught::joined;
use crate::core::Core;
use crate::core::window::Room;
use crate::mailbox::Mailbox;
use crate::tables;

/// What was read.
struct Bodies {
    /// In the order asked for, up to the first for which there was no room; none where there is nothing in the store.
    records: Vec<Option<Bytes>>,
    /// The size of that one.
    refused: Option<usize>,
}

/// Reads bodies from the store into the window of a mailbox.
pub(crate) async fn load(
    core: &Arc<Core>,
    mailbox: &Mailbox,
    mut positions: Vec<Position>,
) -> Result<(), ActorProcessingErr> {
    let mut room = Room::none(core);
    let bodies = loop {
        let (reading, partition) = (Arc::clone(core), mailbox.partition);
        let in_any_case = mailbox.lock().is_awaited();
        let read = off_the_workers(core, move || read_bodies(&reading, partition, positions, room, in_any_case));
        let (Bodies { records, refused }, asked_for, taken) = read.await?;
        (positions, room) = (asked_for, taken);
        match refused {
            // None was read, and there is room for the first when it comes to it.
            Some(bytes) if records.is_empty() => {
                if !room.take(bytes).await {
                    return Ok(());
                }
            }
            Some(_) | None => break records,
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
                    "message {position} of {address} is not in the store though it waits: keep the data folder and report this"
                );
                return Err(missing.into());
            }
        }
    }
    // Under the lock, so that what leaves meanwhile is taken off where it is counted.
    let bytes = inner.loaded(loaded);
    core.load.window_bytes.add(bytes);
    core.load.beyond_bytes.take(bytes);
    drop(inner);
    // In the window they are counted as there.
    drop(room);
    // They were counted twice for a moment.
    core.give_room();
    Ok(())
}

/// Reads bodies as far as there is room for them in memory. `room` is what there is for the first already; without it that may be
/// read `in_any_case`.
fn read_bodies(
    core: &Arc<Core>,
    partition: Partition,
    positions: Vec<Position>,
    mut room: Room,
    in_any_case: bool,
) -> Result<(Bodies, Vec<Position>, Room), ReadError> {
    let keys: Vec<Key> = positions.iter().map(|&position| tables::inbox(partition, position)).collect();
    let (mut refused, mut is_first) = (None, true);
    let records = core.store.records_while(&keys, |bytes| {
        let is_taken = if !std::mem::take(&mut is_first) {
            room.take_at_once(bytes)
        } else if room.is_none() && in_any_case {
            room.take_in_any_case(bytes);
            true
        } else {
            !room.is_none() || room.take_at_once(bytes)
        };
        refused = (!is_taken).then_some(bytes);
        is_taken
    })?;
    Ok((Bodies { records, refused }, positions, room))
}

/// Reads one record.
pub(crate) async fn read(core: &Core, key: Key) -> Result<Option<Bytes>, ReadError> {
    let store = core.store.clone();
    off_the_workers(core, move || store.get(&key)).await
}

/// Reads these records, in their order.
pub(crate) async fn read_all(core: &Core, keys: Vec<Key>) -> Result<Vec<Option<Bytes>>, ReadError> {
    let store = core.store.clone();
    off_the_workers(core, move || store.records(&keys)).await
}

/// Reads on a thread of the node's own runtime that may wait for the disk, whoever's thread calls. Without that
/// runtime the node has ended, and its store is closed.
pub(crate) async fn off_the_workers<T, R>(core: &Core, read: R) -> Result<T, ReadError>
where
    T: Send + 'static,
    R: FnOnce() -> Result<T, ReadError> + Send + 'static,
{
    joined(core.own_runtime.handle().spawn_blocking(read).await).unwrap_or(Err(ReadError::Closed))
}
