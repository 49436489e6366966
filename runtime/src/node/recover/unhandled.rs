//! Messages that wait in the store, and that nothing in this build handles: the node refuses to start, or gives up on
//! them before anything runs.

use crate::commit::{Added, Record, Transaction};
use crate::engine::failing::{ERRORS_MAX, reserve_with_texts};
use crate::tables;
use std::collections::BTreeMap;
use std::time::Duration;

use everpost_persistence::{Partition, Position};
use tokio::time::timeout;

use crate::message::reason::Reason;
use crate::message::unhandled::Unhandled;
use crate::node::StartError;
use crate::record::attempts::Failures;
use crate::record::dead_letter::DeadLetterRecord;
use crate::shard::Shard;

/// How long a store without room is waited for: nothing runs yet that could make some but the checkpointer.
const ROOM_TIMEOUT: Duration = Duration::from_secs(30);

/// What a start found that nothing handles.
#[derive(Debug, Default)]
pub(in crate::node) struct UnhandledMessages {
    /// How many of each kind.
    actor_types: BTreeMap<Unhandled, usize>,
    /// Where they are; nothing unless they are to be given up on.
    found: Vec<Found>,
    give_up: bool,
}

#[derive(Debug)]
struct Found {
    partition: Partition,
    position: Position,
    failures: Failures,
    actor_type: Unhandled,
}

impl UnhandledMessages {
    /// Nothing yet; `give_up` says what is to become of what is found.
    pub(super) fn new(give_up: bool) -> Self {
        Self { give_up, ..Self::default() }
    }

    /// The store holds a message of this kind.
    pub(super) fn add(
        &mut self,
        partition: Partition,
        position: Position,
        failures: Option<Failures>,
        actor_type: Unhandled,
    ) {
        *self.actor_types.entry(actor_type.clone()).or_default() += 1;
        if self.give_up {
            self.found.push(Found { partition, position, failures: failures.unwrap_or_default(), actor_type });
        }
    }

    /// Refuses the start if there is any and nobody said to give up on them, or there is no room for as many dead
    /// letters.
    pub(super) fn check(self, shard: &Shard) -> Result<Self, StartError> {
        let node = shard.name.to_string();
        let (messages, room) = (self.found.len(), shard.dead_letters.room());
        if !self.actor_types.is_empty() && !self.give_up {
            return Err(StartError::NotHandled { node, messages: self.actor_types });
        }
        if messages > room {
            return Err(StartError::DeadLettersFull { node, messages, room });
        }
        Ok(self)
    }

    /// Moves all of them to the dead letters. Each moves in a commit as a whole, so a crash leaves the others where
    /// they were, for the next start. To be called before anything runs.
    pub(in crate::node) async fn give_up(self, shard: &Shard) -> Result<(), StartError> {
        let mut last = Position(0);
        for found in &self.found {
            last = move_one(shard, found).await?;
        }
        shard.gate.durable(last).await?;
        for (actor_type, messages) in self.actor_types {
            tracing::error!(
                node = %shard.name, messages, %actor_type, event = "unhandled messages given up on",
                "nothing in this build handles them; replay them with a build that does"
            );
        }
        Ok(())
    }
}

async fn move_one(shard: &Shard, found: &Found) -> Result<Position, StartError> {
    let Found { partition, position, failures, actor_type } = found;
    let key = tables::inbox(*partition, *position);
    let envelope = shard.store.read(key).await?;
    let envelope = envelope.expect("it was there when the store was gone through, and nothing runs that takes it away");
    let mut failures = failures.clone();
    failures.note(actor_type.to_string(), ERRORS_MAX);
    let moving = |failures: &Failures| {
        let record = DeadLetterRecord::encode(Reason::NotHandled, failures, shard.clock.now(), &envelope);
        // Whether there is room for all of them was looked at before the first one moved.
        let slot = shard.dead_letters.slot_in_any_case();
        Transaction::node(shard)
            .with(Record::delete_of(key, envelope.len()))
            .with(Added::new(slot, *position, record, None))
    };
    let reserved = match timeout(ROOM_TIMEOUT, reserve_with_texts(&failures, moving)).await {
        Ok(reserved) => reserved?,
        Err(_) => {
            let transaction = moving(&Failures { errors: Vec::new(), ..failures.clone() });
            (transaction.try_reserve()?, transaction)
        }
    };
    let (permit, transaction) = reserved;
    Ok(transaction.commit_in_any_case(permit).ticket)
}

#[cfg(test)]
mod tests {
    use everpost_persistence::{Class, Store};

    use super::*;
    use crate::node::Node;
    use crate::node::upgrade::Stored;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_message_whose_headers_cannot_be_read_refuses_the_start_or_is_given_up_on() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) =
            Store::open(folder.path(), everpost_persistence::Config::default(), tables::SCHEMA, || ()).unwrap();
        let permit = store.reserve(Class::Outside, 100).await.unwrap();
        store.submit(permit, |stage| {
            stage.enqueue(&tables::INBOX, Partition(3), b"\x09from a later build".as_slice().into())
        });
        store.close().unwrap();
        drop(store);
        let node = || Node::builder("node", folder.path());
        let error = node().start().await.unwrap_err().to_string();
        assert!(error.contains("1 of a message whose headers cannot be read: the envelope has the unknown version 9"));
        let started = node().quarantine_unhandled().start().await.unwrap();
        assert_eq!(started.statistics().dead_lettered, 1);
        started.stop().await.unwrap();
        let report = node().check_upgrade().await.unwrap();
        let (actor_type, counts) = report.kinds().next().unwrap();
        assert_eq!((actor_type.stored, counts.unreadable), (Stored::DeadLetter, 1), "{report}");
        node().start().await.unwrap().stop().await.unwrap();
    }
}
