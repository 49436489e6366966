//! What the store does alone: records of a message's size that are enqueued, and deleted together with a new state, one
//! submission each, as a node does it.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use everpost::StoreConfig;
use everpost_persistence::{Class, MailboxId, Partition, Position, Store};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::clock::{now, per_second};
use crate::flood::WINDOW;
use crate::problem::Problem;
use crate::throughput::ACTORS;
use everpost::tables;

/// A payload of 128 bytes with the headers that the measured actors' messages get.
const ENVELOPE_BYTES: usize = 184;
/// The state of a measured actor with its headers.
const STATE_BYTES: usize = 24;

/// When a record is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    AfterCommit,
    AtOnce,
}

pub(super) fn messages_per_second(folder: &Path, messages: u64, order: Order) -> Result<f64, Problem> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let progress = Arc::new(Notify::new());
    let moved = Arc::clone(&progress);
    let (store, _) = Store::open(folder, StoreConfig::default(), tables::SCHEMA, move || moved.notify_one())?;
    // One turn of everything before the clock starts: the files get their size.
    Handle::current().block_on(flow(&store, &progress, messages / 4, order))?;
    let start = now();
    Handle::current().block_on(flow(&store, &progress, messages, order))?;
    let elapsed = start.elapsed();
    store.close()?;
    Ok(per_second(messages, elapsed))
}

/// Enqueues and deletes from one task; returns when all of it is durable.
async fn flow(store: &Store, progress: &Notify, messages: u64, order: Order) -> Result<(), Problem> {
    let (envelope, state) = (Bytes::from(vec![0x5a; ENVELOPE_BYTES]), Bytes::from(vec![0x5a; STATE_BYTES]));
    let mut waiting: VecDeque<(u64, Position)> = VecDeque::with_capacity(WINDOW);
    let mut last = Position(0);
    for number in 0..messages {
        let permit = store.reserve(Class::Outside, envelope.len()).await?;
        let enqueue = envelope.clone();
        let (_, position) =
            store.submit(permit, |stage| stage.enqueue(&tables::INBOX, partition(store, number), enqueue));
        waiting.push_back((number, position));
        while waiting.len() >= WINDOW && order == Order::AfterCommit && waiting[0].1 > store.durable() {
            wait(store, progress).await?;
        }
        while let Some(&(number, position)) = waiting.front() {
            if order == Order::AfterCommit && position > store.durable() {
                break;
            }
            last = finish(store, number, position, &state).await?;
            waiting.pop_front();
        }
    }
    for (number, position) in waiting {
        while position > store.durable() {
            wait(store, progress).await?;
        }
        last = finish(store, number, position, &state).await?;
    }
    while last > store.durable() {
        wait(store, progress).await?;
    }
    Ok(())
}

async fn finish(store: &Store, number: u64, position: Position, state: &Bytes) -> Result<Position, Problem> {
    let permit = store.reserve(Class::Turn { growth: 0 }, state.len()).await?;
    let (partition, state) = (partition(store, number), state.clone());
    let mailbox = MailboxId(u128::from(number % ACTORS as u64));
    let (ticket, ()) = store.submit(permit, |stage| {
        stage.delete(tables::inbox(partition, position));
        stage.put(tables::mailbox(partition, mailbox), state);
    });
    Ok(ticket)
}

async fn wait(store: &Store, progress: &Notify) -> Result<(), Problem> {
    if let Some(failure) = store.failure() {
        return Err(failure.into());
    }
    progress.notified().await;
    Ok(())
}

fn partition(store: &Store, number: u64) -> Partition {
    let slot = number % ACTORS as u64 % u64::from(store.partitions().get());
    Partition(u16::try_from(slot).expect("below the number of partitions"))
}
