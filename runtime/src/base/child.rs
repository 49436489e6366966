//! A ractor actor that does one thing: it runs what it is given, and ends with it. Its only message tells it to begin,
//! so it can lose none, and its supervisor hears of its end, whatever that is.

use std::future::Future;

use ractor::{ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr};

/// What such an actor runs.
pub(crate) trait Run: Send + Sync + 'static {
    /// Once, from its start to its end. An error fails the actor, as a panic does.
    fn run(&self) -> impl Future<Output = Result<(), ActorProcessingErr>> + Send;
}

/// Starts it as a child of this supervisor.
pub(crate) async fn start_child(run: impl Run, supervisor: ActorCell) -> Result<ActorCell, SpawnErr> {
    let (child, _) = ActorRuntime::spawn_linked(None, Child(run), (), supervisor).await?;
    // One that is gone already is heard of as every end is.
    let _ = child.cast(Begin);
    Ok(child.get_cell())
}

#[derive(Debug)]
struct Begin;

struct Child<R>(R);

impl<R: Run> ractor::Actor for Child<R> {
    type Msg = Begin;
    type State = ();
    type Arguments = ();

    /// Nothing here: the supervisor waits for it.
    async fn pre_start(&self, _: ActorRef<Begin>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, myself: ActorRef<Begin>, Begin: Begin, (): &mut ()) -> Result<(), ActorProcessingErr> {
        // In a box: ractor keeps what it is given in several places, with room for it in each.
        Box::pin(self.0.run()).await?;
        myself.stop(None);
        Ok(())
    }
}
