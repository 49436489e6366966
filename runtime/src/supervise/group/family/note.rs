//! Storing the restarts of a group before they are made.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::Key;
use ractor::ActorRef;
use tokio::sync::Notify;

use super::super::plan::Plan;
use super::super::record;
use super::Order;
use crate::base::clock::Steady;
use crate::base::ended::NodeEnded;
use crate::commit::{Record, Transaction};
use crate::shard::Shard;

/// What is to be stored.
pub(super) struct Note {
    key: Key,
    record: Bytes,
    /// The records of groups whose budgets begin anew.
    anew: Vec<Key>,
}

impl Note {
    pub(super) fn new<'a>(plan: &Plan, moments: &[Steady], anew: impl Iterator<Item = &'a Plan>) -> Self {
        let anew = anew.map(|plan| record::key(plan.subject)).collect();
        Self { key: record::key(plan.subject), record: record::encode(&plan.path, moments), anew }
    }

    /// Stores it in the background, since a store without room may hold it back, and tells the group. When `dropped` is
    /// rung the group is told at once.
    pub(super) fn write(self, shard: &Arc<Shard>, dropped: &Arc<Notify>, group: &ActorRef<Order>) {
        let (storing, dropped, group) = (Arc::clone(shard), Arc::clone(dropped), group.clone());
        shard.begin_beside_handlers("the note of a group", async move {
            let is_written = tokio::select! {
                stored = self.store(&storing) => stored.is_ok(),
                () = dropped.notified() => false,
            };
            // It waits for this before it ends.
            let _ = group.cast(Order::Noted(is_written));
        });
    }

    async fn store(self, shard: &Shard) -> Result<(), NodeEnded> {
        let Self { key, record, anew } = self;
        let mut transaction = Transaction::node(shard).with(Record::put(key, record));
        anew.into_iter().for_each(|key| transaction.add(Record::delete(key)));
        let permit = transaction.reserve().await.map_err(|_| shard.gate.ended())?;
        shard.gate.durable(transaction.commit_in_any_case(permit).ticket).await
    }
}
