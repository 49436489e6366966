//! Reading the store: it may wait for the disk, so it is done off the workers of the runtime.

use bytes::Bytes;
use everpost_persistence::{Key, Position, ReadError};
use ractor::ActorProcessingErr;

use super::Core;
use crate::mailbox::Mailbox;

impl Core {
    /// Reads bodies from the store into the window of a mailbox.
    pub(crate) async fn load(&self, mailbox: &Mailbox, positions: Vec<Position>) -> Result<(), ActorProcessingErr> {
        let (store, partition) = (self.store.clone(), mailbox.partition);
        let read = move || {
            let keys: Vec<Key> = positions.iter().map(|&position| Key::Inbox { partition, position }).collect();
            store.records(&keys).map(|bodies| (bodies, positions))
        };
        let (bodies, positions) = self.off_the_workers(read).await?;
        let mut inner = mailbox.lock();
        let mut loaded: Vec<(Position, Bytes)> = Vec::with_capacity(bodies.len());
        for (body, position) in bodies.into_iter().zip(positions) {
            match body {
                Some(body) => loaded.push((position, body)),
                // It expired meanwhile.
                None if !inner.rules.contains(position) => {}
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
        let mut bytes = 0;
        inner.rules.loaded(loaded, |body| bytes += body.len());
        self.load.window_bytes.add(bytes);
        self.load.beyond_bytes.take(bytes);
        // They were counted twice for a moment.
        self.give_room();
        Ok(())
    }

    /// Reads one record.
    pub(crate) async fn read(&self, key: Key) -> Result<Option<Bytes>, ReadError> {
        let store = self.store.clone();
        self.off_the_workers(move || store.get(&key)).await
    }

    /// Reads these records, in their order.
    pub(crate) async fn read_all(&self, keys: Vec<Key>) -> Result<Vec<Option<Bytes>>, ReadError> {
        let store = self.store.clone();
        self.off_the_workers(move || store.records(&keys)).await
    }

    /// Reads on a thread of the node's runtime that may wait for the disk, whoever's thread calls. Without that runtime
    /// the node has ended, and its store is closed.
    pub(crate) async fn off_the_workers<T, R>(&self, read: R) -> Result<T, ReadError>
    where
        T: Send + 'static,
        R: FnOnce() -> Result<T, ReadError> + Send + 'static,
    {
        match self.runtime.spawn_blocking(read).await {
            Ok(read) => read,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(ReadError::Closed),
        }
    }
}
