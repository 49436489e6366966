//! The ractor supervisor of a node's outermost groups: it hears of their ends, and restarts none.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef, SupervisionEvent};

use super::Registry;
use crate::base::text::brief;
use crate::shard::Shard;
use crate::shard::services::GROUPS;
use crate::supervise::group::GroupEnded;

/// What it is told.
#[derive(Debug)]
pub(super) enum RootsOrder {
    /// End when every group has ended.
    Stop,
}

pub(super) struct Supervisor {
    pub(super) shard: Arc<Shard>,
    pub(super) registry: Arc<Registry>,
}

impl ractor::Actor for Supervisor {
    type Msg = RootsOrder;
    /// Whether it is to end.
    type State = bool;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<RootsOrder>, (): ()) -> Result<bool, ActorProcessingErr> {
        Ok(false)
    }

    async fn handle(
        &self,
        myself: ActorRef<RootsOrder>,
        RootsOrder::Stop: RootsOrder,
        stopping: &mut bool,
    ) -> Result<(), ActorProcessingErr> {
        *stopping = true;
        self.end_with_the_last(&myself);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<RootsOrder>,
        event: SupervisionEvent,
        stopping: &mut bool,
    ) -> Result<(), ActorProcessingErr> {
        let seen = async { self.has_happened(&myself, event, *stopping) };
        self.shard.watched(GROUPS.name, GROUPS.means, seen).await;
        Ok(())
    }
}

impl Supervisor {
    fn has_happened(&self, myself: &ActorRef<RootsOrder>, event: SupervisionEvent, stopping: bool) {
        match event {
            SupervisionEvent::ActorTerminated(group, _, None) => self.registry.ended(group.get_id(), |_| Ok(())),
            SupervisionEvent::ActorTerminated(group, _, Some(reason)) => {
                self.registry.ended(group.get_id(), |name| Err(self.alarm(name, reason.into())));
            }
            SupervisionEvent::ActorFailed(group, error) => {
                self.registry.ended(group.get_id(), |name| Err(self.alarm(name, error)));
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        if stopping {
            self.end_with_the_last(myself);
        }
    }

    /// A group has ended by itself; nobody is above it who could start it again.
    fn alarm(&self, group: &str, error: ActorProcessingErr) -> GroupEnded {
        let supervisor =
            |cause: ActorProcessingErr| GroupEnded::Supervisor { group: group.to_owned(), cause: cause.to_string() };
        let ended = error.downcast::<GroupEnded>().map_or_else(supervisor, |ended| *ended);
        tracing::error!(
            node = %self.shard.name, group, error = %brief(&ended), event = "group gave up",
            "everything of it is stopped, and nothing starts it again"
        );
        ended
    }

    /// A supervisor that ends kills its children, so it is the last to leave.
    fn end_with_the_last(&self, myself: &ActorRef<RootsOrder>) {
        if self.registry.is_empty() {
            myself.stop(None);
        }
    }
}
