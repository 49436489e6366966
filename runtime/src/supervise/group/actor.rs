//! Keyed actors as children of groups: whose child an actor is, and the task that stands for one. The messages, the
//! state and the activations are the actor's as always; this only says when it is up.

use std::sync::Arc;

use super::SuperviseError;
use super::child::ChildContext;
use super::plan::Plan;
use crate::mailbox::actor_type::ActorType;
use crate::mailbox::{ChildState, Inner, Mailbox};
use crate::message::address::Address;
use crate::message::failure::Failure;
use crate::shard::current::Current;
use crate::shard::{Remote, Shard};

/// Which actor a child is.
#[derive(Clone)]
pub(super) struct ActorChild {
    pub(super) current: Current,
    pub(super) address: Address,
}

impl ActorChild {
    /// The task that stands for the actor in its group: it runs for as long as the actor is up.
    pub(super) async fn run(self, context: ChildContext) -> Result<(), Failure> {
        let shard = self.current.get();
        let actor_type = self.actor_type(&shard).expect("a group runs actors of types that its node has");
        let duty = Duty::begin(shard.directory.mailbox(&self.address, actor_type));
        drop(shard);
        tokio::select! {
            biased;
            () = context.stopping() => {
                duty.end().await;
                Ok(())
            }
            error = duty.serve(&context) => Err(Failure::retry(error)),
        }
    }

    /// Makes the actor a child of a group that is about to run on the node `shard`.
    fn claim(&self, shard: &Arc<Shard>, group: &str) -> Result<Claimed, SuperviseError> {
        let actor = || self.address.to_string();
        let elsewhere = |node: &str| SuperviseError::ActorElsewhere { actor: actor(), node: node.to_owned() };
        if shard.gate.is_over() {
            return Err(SuperviseError::Stopping);
        }
        if !self.current.is(shard) {
            return Err(self.current.look(|other| elsewhere(&other.name)));
        }
        if let Some(Remote { peer, .. }) = shard.remote(&self.address) {
            return Err(elsewhere(&peer.name));
        }
        let actor_type = self.actor_type(shard).ok_or_else(|| SuperviseError::NoSuchActor(actor()))?;
        let mailbox = shard.directory.mailbox(&self.address, actor_type);
        let joined = mailbox.lock().join_group(group);
        match joined {
            Ok(was_free) => Ok(Claimed { mailbox, was_free }),
            Err(group) => Err(SuperviseError::ActorInUse { actor: actor(), group }),
        }
    }

    fn actor_type<'a>(&self, shard: &'a Shard) -> Option<&'a Arc<ActorType>> {
        shard.actor_types.get(self.address.actor_type())
    }
}

/// The actors that are about to be children of a tree of groups. Unless they are kept, they are what they were before.
#[derive(Default)]
pub(super) struct Claims(Vec<Claimed>);

struct Claimed {
    mailbox: Arc<Mailbox>,
    /// No group had left it down.
    was_free: bool,
}

/// The actors that are children of a tree of groups.
pub(super) type Actors = Arc<[Arc<Mailbox>]>;

impl Claims {
    /// All that are children of a group in the tree.
    pub(super) async fn take(shard: &Arc<Shard>, plan: &Plan) -> Result<Self, SuperviseError> {
        let actors = plan.actors();
        if !actors.is_empty() {
            // A suspect must have its trial, which it does not get in a mailbox that handles nothing.
            let cleared = shard.gate.until(|| !shard.quarantine.is_active()).await;
            cleared.map_err(|_| SuperviseError::Stopping)?;
        }
        let mut claims = Self::default();
        for (group, actor) in actors {
            claims.0.push(actor.claim(shard, group)?);
        }
        Ok(claims)
    }

    /// The groups run.
    pub(super) fn keep(mut self) -> Actors {
        std::mem::take(&mut self.0).into_iter().map(|claimed| claimed.mailbox).collect()
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        for Claimed { mailbox, was_free } in &self.0 {
            leave(mailbox);
            if *was_free {
                release(mailbox);
            }
        }
    }
}

/// The group of the actor has ended; the actor stays down.
pub(super) fn leave(mailbox: &Mailbox) {
    mailbox.lock().leave_group();
}

/// The actor handles messages whenever there are some, unless it is the child of a group by now.
pub(super) fn release(mailbox: &Arc<Mailbox>) {
    mailbox.lock().release_from_group(mailbox);
}

/// The actor is up, or on its way there, or on its way down. Dropped, it is down, and what is left of its activation is
/// ended where it stands.
struct Duty(Arc<Mailbox>);

impl Duty {
    fn begin(mailbox: Arc<Mailbox>) -> Self {
        let duty = Self(mailbox);
        duty.dismiss();
        duty
    }

    /// Starts an activation, and says when it is ready; returns why it failed, when nothing of it is left.
    async fn serve(&self, context: &ChildContext) -> String {
        self.until(|inner| inner.bring_up(&self.0).then_some(())).await;
        self.until(|inner| match inner.child_state() {
            Some(ChildState::Running) => {
                context.ready();
                None
            }
            Some(ChildState::Failed(error)) if inner.is_vacant() => Some(error.clone()),
            _ => None,
        })
        .await
    }

    /// Lets the activation finish its turn, and waits until it has ended.
    async fn end(&self) {
        self.dismiss();
        self.until(|inner| inner.is_vacant().then_some(())).await;
    }

    fn dismiss(&self) {
        self.0.lock().send_down();
    }

    /// Looks now, and at whatever the activation comes to.
    async fn until<T>(&self, mut look: impl FnMut(&mut Inner) -> Option<T>) -> T {
        loop {
            let changed = {
                let mut inner = self.0.lock();
                if let Some(found) = look(&mut inner) {
                    return found;
                }
                inner.child_state_changed().expect("a group that runs keeps its actors")
            };
            changed.notified().await;
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        if inner.put_down(&self.0) {
            // Still locked: the order to end it goes before the one to start the next.
            self.0.actor_type.supervisor().inspect(|supervisor| supervisor.kill(&self.0));
        }
    }
}
