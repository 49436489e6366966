//! An activation: one address in memory. It is a ractor actor whose mailbox carries only a doorbell; the messages come
//! from the durable mailbox, one at a time, in order. It submits turns and goes on without waiting for the disk.

use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Class, Position};
use ractor::{ActorProcessingErr, ActorRef};
use tracing::Instrument;

use crate::actor::{Actor, Delivery, Handlers, Payload};
use crate::clock::Micros;
use crate::core::{Core, Finished};
use crate::durable::Durable;
use crate::envelope::Header;
use crate::failure::Failure;
use crate::mailbox::{Mailbox, Next, Presence};
use crate::query::Question;
use crate::state::StateRecord;
use crate::telemetry;
use crate::turn::{Staged, Turn};

/// How many turns an activation takes before it lets others run.
const TURNS_AT_A_TIME: usize = 64;

/// What the ractor mailbox of an activation carries.
#[derive(Debug)]
pub(crate) enum Doorbell {
    /// There may be something to do.
    Ring,
    /// There has been nothing to do for long.
    Retire,
}

pub(crate) struct Activation<A: Actor> {
    core: Arc<Core>,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
    mailbox: Arc<Mailbox>,
}

/// The state in memory, with the record that was last submitted: where a failed turn rolls back to.
pub(crate) struct Loaded<A: Actor> {
    state: Durable<A::State>,
    submitted: Option<Bytes>,
}

/// What a handler made of a message.
struct Handled {
    reply: Option<Bytes>,
    staged: Staged,
    record: Option<Bytes>,
    forget: bool,
}

impl<A: Actor> ractor::Actor for Activation<A> {
    type Msg = Doorbell;
    type State = Option<Loaded<A>>;
    type Arguments = ();

    /// Nothing here: the supervisor waits for it. The state is loaded at the first ring.
    async fn pre_start(&self, _: ActorRef<Doorbell>, (): ()) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(
        &self,
        myself: ActorRef<Doorbell>,
        doorbell: Doorbell,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match doorbell {
            Doorbell::Retire if self.leave() => myself.stop(None),
            Doorbell::Retire | Doorbell::Ring => self.drain(&myself, state).await?,
        }
        Ok(())
    }
}

impl<A: Actor> Activation<A> {
    pub(crate) fn new(core: &Arc<Core>, actor: &Arc<A>, handlers: &Arc<Handlers<A>>, mailbox: &Arc<Mailbox>) -> Self {
        Self {
            core: Arc::clone(core),
            actor: Arc::clone(actor),
            handlers: Arc::clone(handlers),
            mailbox: Arc::clone(mailbox),
        }
    }

    /// Handles what is visible, up to a limit; arranges for the next ring.
    async fn drain(
        &self,
        myself: &ActorRef<Doorbell>,
        state: &mut Option<Loaded<A>>,
    ) -> Result<(), ActorProcessingErr> {
        self.mailbox.lock().rung = false;
        let loaded = match state {
            Some(loaded) => loaded,
            None => state.insert(self.load().await?),
        };
        for _ in 0..TURNS_AT_A_TIME {
            self.answer_questions(loaded);
            if self.core.is_stopping() {
                return Ok(());
            }
            match self.next() {
                Next::Deliver { position, body, attempt } => self.turn(loaded, position, &body, attempt).await?,
                Next::Load(positions) => self.core.load(&self.mailbox, positions).await?,
                Next::Durable(position) => {
                    self.core.ring_when_durable(&self.mailbox, position);
                    return Ok(());
                }
                Next::Until(moment) => {
                    self.core.ring_at(&self.mailbox, moment);
                    return Ok(());
                }
                Next::Empty => {
                    if self.core.activations.are_too_many() && self.leave() {
                        myself.stop(None);
                    }
                    return Ok(());
                }
            }
        }
        self.mailbox.lock().ring(&self.mailbox);
        Ok(())
    }

    fn next(&self) -> Next<Bytes> {
        let quarantined = self.core.quarantine.is_active();
        let early = self.mailbox.kind.delivery == Delivery::Pipelined && !quarantined;
        let mut inner = self.mailbox.lock();
        let next = inner.rules.next(Micros::now(), self.core.store.durable(), early);
        if let Next::Deliver { position, .. } = &next
            && quarantined
            && !self.core.quarantine.admits(self.mailbox.id(), *position)
        {
            inner.rules.interrupted();
            return Next::Empty;
        }
        if matches!(next, Next::Empty) {
            inner.idle_since = Micros::now();
        }
        next
    }

    /// One turn: run the handler, then submit all of its effects or none.
    async fn turn(
        &self,
        loaded: &mut Loaded<A>,
        position: Position,
        body: &Bytes,
        attempt: u32,
    ) -> Result<(), ActorProcessingErr> {
        let (header, payload) = match Header::decode(body) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.core.fail(&self.mailbox, Failure::reject(error)).await;
                return Ok(());
            }
        };
        let span = telemetry::turn_span(&self.core.name, &self.mailbox.address, &header, position, attempt);
        async {
            let handled =
                self.core.hands.hold(position, self.handle(loaded, &header, payload, position, attempt)).await;
            match handled {
                Ok(handled) => self.submit(loaded, position, &header, handled).await,
                Err(failure) => {
                    self.roll_back(loaded)?;
                    self.core.fail(&self.mailbox, failure).await;
                    Ok(())
                }
            }
        }
        .instrument(span)
        .await
    }

    /// Runs the handler and encodes what it changed. All of the user's code runs in here.
    async fn handle(
        &self,
        loaded: &mut Loaded<A>,
        header: &Header<'_>,
        payload: &[u8],
        position: Position,
        attempt: u32,
    ) -> Result<Handled, Failure> {
        let Some(run) = self.handlers.get(header.message) else {
            return Err(Failure::reject(format!("no handler of `{}` knows `{}`", A::TYPE, header.message)));
        };
        let wants_reply = header.keep_reply || self.mailbox.lock().asks.contains_key(&position);
        let payload = Payload { version: header.message_version, bytes: payload, wants_reply };
        let mut turn = Turn::new(&self.core, &self.mailbox, *header, position, attempt);
        let reply = run(&self.actor, &mut loaded.state, payload, &mut turn).await?;
        let staged = turn.into_staged()?;
        let marked = loaded.submitted.as_deref().is_some_and(StateRecord::is_marked);
        let forget = staged.forget || marked;
        let record = if loaded.state.is_changed() || (forget && !marked) {
            Some(StateRecord::encode(&self.mailbox.address, &*loaded.state, forget)?)
        } else {
            None
        };
        Ok(Handled { reply, staged, record, forget })
    }

    async fn submit(
        &self,
        loaded: &mut Loaded<A>,
        position: Position,
        header: &Header<'_>,
        handled: Handled,
    ) -> Result<(), ActorProcessingErr> {
        let Handled { reply, staged, record, forget } = handled;
        let before = loaded.submitted.as_ref().map_or(0, Bytes::len);
        let grows = !staged.sends.is_empty() || record.as_ref().is_some_and(|record| record.len() > before);
        let bytes = staged.sends.iter().map(|send| send.envelope.len()).sum::<usize>()
            + record.as_ref().map_or(0, Bytes::len)
            + reply.as_ref().map_or(0, Bytes::len);
        let permit = match self.core.store.reserve(Class::Turn { grows }, bytes).await {
            Ok(permit) => permit,
            Err(error @ AdmissionError::TooLarge { .. }) => {
                self.roll_back(loaded)?;
                self.core.fail(&self.mailbox, Failure::reject(error)).await;
                return Ok(());
            }
            Err(error) => {
                // The store takes nothing any more, which is no failure of the message.
                self.mailbox.lock().rules.interrupted();
                return Err(error.into());
            }
        };
        let finished = Finished { position, header, staged, record, forget, reply };
        let (ticket, kept) = self.core.commit(&self.mailbox, permit, finished);
        loaded.state.mark_clean();
        match kept {
            Kept::Same => {}
            Kept::Written(record) => loaded.submitted = Some(record),
            Kept::Forgotten => *loaded = Loaded { state: Durable::new(A::State::default()), submitted: None },
        }
        if self.core.quarantine.is_active() {
            self.core.gate.durable(ticket).await?;
        }
        Ok(())
    }

    /// Puts back the state that the last submitted turn made.
    fn roll_back(&self, loaded: &mut Loaded<A>) -> Result<(), ActorProcessingErr> {
        if loaded.state.is_changed() {
            loaded.state = Durable::new(StateRecord::decode::<A>(loaded.submitted.as_deref())?);
        }
        Ok(())
    }

    /// Reads the state. What the activation before this one submitted must be durable first, or it would be missed.
    async fn load(&self) -> Result<Loaded<A>, ActorProcessingErr> {
        let before = self.mailbox.lock().last_submitted;
        self.core.gate.durable(before).await?;
        let submitted = self.core.read(self.mailbox.state_key()).await?;
        let state = Durable::new(StateRecord::decode::<A>(submitted.as_deref())?);
        Ok(Loaded { state, submitted })
    }

    /// Answers from the state as the turns so far made it; the answers leave when those turns are durable.
    fn answer_questions(&self, loaded: &Loaded<A>) {
        loop {
            let (question, after) = {
                let mut inner = self.mailbox.lock();
                let Some(question) = inner.questions.pop_front() else {
                    return;
                };
                (question, inner.last_submitted)
            };
            let question = question.downcast::<Question<A>>().expect("a mailbox gets questions of its own actor type");
            let answer = question.answer(&self.actor, &loaded.state);
            self.core.release_after(after, answer);
        }
    }

    /// Leaves memory if there is nothing to do. From here on no message reaches this activation.
    fn leave(&self) -> bool {
        let mut inner = self.mailbox.lock();
        let idle = inner.rules.is_empty() && inner.questions.is_empty();
        if idle {
            inner.presence = Presence::Stopping;
        }
        idle
    }
}

/// What became of the state's record with a turn.
pub(crate) enum Kept {
    Same,
    Written(Bytes),
    Forgotten,
}
