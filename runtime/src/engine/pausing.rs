//! Pausing, and the restart budgets of keyed actors, as the store keeps them.

use std::ops::ControlFlow;
use std::sync::Arc;

use everpost_persistence::{AdmissionError, Position, ReadError};

use crate::commit::{Supervision, SupervisionChange, Transaction, TypePaused};
use crate::engine::rousing::{Waiting, rouse_all};
use crate::mailbox::actor_type::ActorType;
use crate::mailbox::{Inner, Mailbox};
use crate::message::address::Address;
use crate::record::supervised::{Paused, Supervised};
use crate::shard::Shard;
use crate::tables;

/// Pauses an actor of this node. Returns what must be durable for that to count.
pub(crate) async fn pause(
    shard: &Shard,
    address: &Address,
    actor_type: &Arc<ActorType>,
    paused: Paused,
) -> Result<Position, AdmissionError> {
    let mailbox = shard.directory.mailbox(address, actor_type);
    let pausing = Supervision::new(&mailbox, SupervisionChange::Pause(paused));
    let transaction = Transaction::node(shard).with(pausing);
    let permit = transaction.reserve().await?;
    Ok(transaction.commit(permit).map_or_else(|_| mailbox.lock().last_submitted(), |committed| committed.ticket))
}

/// Resumes an actor of this node. Returns what must be durable for that to count.
pub(crate) async fn resume(shard: &Shard, address: &Address) -> Result<Position, AdmissionError> {
    // What is paused is in memory; what is not has nothing that is not durable.
    let Some(mailbox) = shard.directory.find(address.mailbox()) else { return Ok(Position(0)) };
    let transaction = Transaction::upkeep(shard).with(Supervision::new(&mailbox, SupervisionChange::Resume));
    let permit = transaction.reserve().await?;
    Ok(transaction.commit(permit).map_or_else(|_| mailbox.lock().last_submitted(), |committed| committed.ticket))
}

/// Pauses or resumes an actor type on this node.
pub(crate) async fn set_type_paused(
    shard: &Arc<Shard>,
    actor_type: &Arc<ActorType>,
    paused: Option<Paused>,
) -> Result<Position, AdmissionError> {
    let resumes = paused.is_none();
    let transaction = Transaction::node(shard).with(TypePaused::new(actor_type, paused));
    let permit = transaction.reserve().await?;
    let ticket = transaction.commit_in_any_case(permit).ticket;
    if resumes {
        let waiting = Waiting::of(shard, |waiting| Arc::ptr_eq(waiting, actor_type));
        let waking = Arc::clone(shard);
        shard.begin("waker of a resumed type", async move { rouse_all(&waking, waiting).await });
    }
    Ok(ticket)
}

/// The state of an actor is suspected after an unclean end. Returns what must be durable for that to count, and whether
/// it is paused now; none when it could not be written down.
pub(crate) async fn suspect_state(shard: &Shard, mailbox: &Arc<Mailbox>, in_flight: bool) -> Option<(Position, bool)> {
    let suspecting = Supervision::new(mailbox, SupervisionChange::Suspect { in_flight });
    let transaction = Transaction::upkeep(shard).with(suspecting);
    let permit = transaction.reserve().await.ok()?;
    let ticket = transaction.commit_in_any_case(permit).ticket;
    Some((ticket, mailbox.lock().barred().is_some()))
}

/// The state of an actor has had its trial. Returns what must be durable for that to count; none when it could not be
/// written down, or was not suspected.
pub(crate) async fn clear_state_suspect(shard: &Shard, mailbox: &Arc<Mailbox>) -> Option<Position> {
    let transaction = Transaction::upkeep(shard).with(Supervision::new(mailbox, SupervisionChange::Acquit));
    let permit = transaction.reserve().await.ok()?;
    transaction.commit(permit).ok().map(|committed| committed.ticket)
}

/// Whether the budget of an actor is whole again, and nothing else is to be said of it.
pub(crate) fn has_whole_budget(shard: &Shard, inner: &Inner, mailbox: &Mailbox) -> bool {
    let is_over = |supervised: &Supervised| supervised.is_over(shard.clock.steady(), &mailbox.actor_type.budget);
    inner.supervised().is_some_and(is_over)
}

/// Forgets a budget that is whole again. Without room for that now it is forgotten later.
pub(crate) fn forget_budget(shard: &Shard, mailbox: &Arc<Mailbox>) {
    let transaction = Transaction::upkeep(shard).with(Supervision::new(mailbox, SupervisionChange::Forget));
    if let Ok(permit) = transaction.try_reserve() {
        // It may have been spent again meanwhile.
        let _ = transaction.commit(permit);
    }
}

/// Reads what is paused, and what the budgets of actors are. Blocks.
pub(crate) fn recover_supervision(shard: &Shard) -> Result<(), ReadError> {
    shard.store.scan(&tables::SUPERVISION, |_, record| {
        match Supervised::decode(record) {
            Some((name, supervised)) => recover_supervised(shard, name, supervised),
            None => tracing::error!(
                node = %shard.name, event = "record unreadable",
                "a record of supervision cannot be read by this build; start the build that wrote it"
            ),
        }
        ControlFlow::Continue(())
    })
}

fn recover_supervised(shard: &Shard, name: &str, supervised: Supervised) {
    if let Some(actor_type) = shard.actor_types.get(name) {
        drop(actor_type.set_paused(supervised.paused));
    } else if let Some(address) = Address::parse(name)
        && let Some(actor_type) = shard.actor_types.get(address.actor_type())
        && shard.remote(&address).is_none()
    {
        shard.directory.mailbox(&address, actor_type).lock().supervise(|known| *known = supervised);
    }
}
