//! The supervisor of the links: one ractor actor for each peer and one for the listener. One that fails is started
//! anew; the messages are in the store, so that a link that dies loses none.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use tokio::task::JoinHandle;

use super::{Links, life, listener};
use crate::base::child::{Run, start_child};
use crate::base::text::brief;
use crate::cluster::Peer;
use crate::link::resumption;
use crate::shard::services::LINKS;
use crate::supervise::supervision::ended;

/// How long a link that has failed is left alone. Defects are rare; a storm of restarts would help nobody.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// What the supervisor is told.
#[derive(Debug)]
pub(crate) enum LinkOrder {
    /// Start this part.
    Start(Part),
    /// End when every part has ended.
    Stop,
}

/// What is supervised.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// Lets peers in.
    Door,
    /// The link to a peer.
    Link(Arc<Peer>),
}

/// Starts the links, which end when [`crate::shard::Shard::stop_links`] was called and [`LinkOrder::Stop`] given.
pub(crate) async fn supervise(links: Arc<Links>) -> Result<(ActorRef<LinkOrder>, JoinHandle<()>), ractor::SpawnErr> {
    let peers = links.shard.cluster.peers().iter();
    let parts: Vec<Part> = peers.map(|peer| Part::Link(Arc::clone(peer))).chain([Part::Door]).collect();
    let (supervisor, ended) = ActorRuntime::spawn(None, Supervisor { links }, ()).await?;
    for part in parts {
        // One that is gone already was stopped.
        let _ = supervisor.cast(LinkOrder::Start(part));
    }
    Ok((supervisor, ended))
}

struct Supervisor {
    links: Arc<Links>,
}

#[derive(Default)]
struct Children {
    parts: HashMap<ActorId, Part>,
    stopping: bool,
}

impl ractor::Actor for Supervisor {
    type Msg = LinkOrder;
    type State = Children;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<LinkOrder>, (): ()) -> Result<Children, ActorProcessingErr> {
        Ok(Children::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<LinkOrder>,
        order: LinkOrder,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match order {
            LinkOrder::Start(_) if children.stopping => {}
            LinkOrder::Start(part) => {
                let child = Child { links: Arc::clone(&self.links), part: part.clone() };
                let child = start_child(child, myself.get_cell()).await?;
                children.parts.insert(child.get_id(), part);
            }
            LinkOrder::Stop => {
                children.stopping = true;
                end_with_the_last(&myself, children);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<LinkOrder>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let Some((child, error)) = ended(event) else { return Ok(()) };
        let shard = &self.links.shard;
        shard.watched(LINKS.name, LINKS.means, async { self.has_ended(&myself, child, error, children) }).await;
        Ok(())
    }
}

impl Supervisor {
    fn has_ended(
        &self,
        myself: &ActorRef<LinkOrder>,
        child: ActorId,
        error: Option<ActorProcessingErr>,
        children: &mut Children,
    ) {
        let shard = &self.links.shard;
        if let Some((part, error)) = children.parts.remove(&child).zip(error) {
            if let Some(times) = shard.recurring.met("link failed") {
                tracing::error!(
                    node = %shard.name, ?part, error = %brief(&error), times, event = "link failed",
                    "it is started anew; nothing is lost"
                );
            }
            if let Part::Link(peer) = &part {
                resumption::part(shard, peer);
            }
            // A supervisor that is gone by then was stopped.
            drop(myself.send_after(RESTART_AFTER, || LinkOrder::Start(part)));
        }
        if children.stopping {
            end_with_the_last(myself, children);
        }
    }
}

/// A supervisor that ends kills its children, so it is the last to leave.
fn end_with_the_last(myself: &ActorRef<LinkOrder>, children: &Children) {
    if children.parts.is_empty() {
        myself.stop(None);
    }
}

struct Child {
    links: Arc<Links>,
    part: Part,
}

impl Run for Child {
    async fn run(&self) -> Result<(), ActorProcessingErr> {
        match &self.part {
            Part::Door => listener::watch(&self.links).await,
            Part::Link(peer) => life::live(&self.links, peer).await,
        }
        Ok(())
    }
}
