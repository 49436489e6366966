//! An activation: one address in memory. A worker runs it (`supervise/worker.rs`). It waits for its doorbell, and
//! takes messages from the durable mailbox, one at a time, in order. It submits turns and goes on without waiting for
//! the disk.

mod loaded;
mod turns;

use std::any::Any;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use everpost_persistence::{AdmissionError, Mark, Position};
use ractor::ActorProcessingErr;
use tracing::Instrument;

pub(crate) use self::loaded::Loaded;
pub(crate) use self::turns::Turns;
use crate::actor::query::PendingQuery;
use crate::actor::turn::{Staged, Turn};
use crate::actor::{Actor, Handlers, Payload};
use crate::base::time_limit::{Progress, TimeSpent, within};
use crate::commit::{Answered, Done, Expired, Over, Send, StateChange, Timers, Transaction};
use crate::engine::activating;
use crate::engine::deduplicate;
use crate::engine::deduplicate::Recalled;
use crate::engine::failing::{fail, take_back};
use crate::engine::holding::dropped;
use crate::engine::reading;
use crate::engine::state_limit;
use crate::mailbox::query::Open;
use crate::mailbox::{Mailbox, Next, Step};
use crate::message::envelope::Header;
use crate::message::expiry::{EXPIRED, Expires, Expiry};
use crate::message::failure::Failure;
use crate::message::reason::Reason;
use crate::record::answered::Content;
use crate::record::state::{StateRecord, StateSummary};
use crate::record::state_size::CommitBytes;
use crate::shard::expiries::expiring_in;
use crate::shard::{Route, Routed, Shard};
use crate::telemetry;

/// As how many of them an answer counts: it is one piece without an await, and may take long.
const TURNS_AN_ANSWER: usize = 8;

pub(crate) struct Activation<A: Actor> {
    shard: Arc<Shard>,
    actor: Arc<A>,
    handlers: Arc<Handlers<A>>,
    mailbox: Arc<Mailbox>,
}

/// What a handler made of a message.
struct Handled {
    reply: Option<Bytes>,
    record: Option<Bytes>,
    forget: bool,
    is_repeated: bool,
}

/// A message that was handled.
struct Message<'a> {
    position: Position,
    header: &'a Header<'a>,
    payload: &'a [u8],
    /// What it has in the mailbox, headers included.
    bytes: usize,
}

impl<A: Actor> Activation<A> {
    pub(crate) fn new(shard: &Arc<Shard>, actor: &Arc<A>, handlers: &Arc<Handlers<A>>, mailbox: &Arc<Mailbox>) -> Self {
        Self {
            shard: Arc::clone(shard),
            actor: Arc::clone(actor),
            handlers: Arc::clone(handlers),
            mailbox: Arc::clone(mailbox),
        }
    }

    /// Loads the state, and works whenever the doorbell rings, until there is a reason to leave.
    pub(crate) async fn live(&self, turns: &mut Turns) -> Result<(), ActorProcessingErr> {
        if !self.is_admitted().await {
            return Ok(());
        }
        let mut loaded = self.load().await?;
        self.mailbox.lock().state_loaded();
        self.shard.activations.started(&self.mailbox);
        loop {
            self.drain(&mut loaded, turns).await?;
            if self.shard.activations.are_too_many() {
                self.mailbox.lock().leave_when_idle();
            }
            if !self.doorbell(turns).await {
                return Ok(());
            }
        }
    }

    /// Waits until a state may be loaded here: while suspects have their trials nobody else's is, since it might be
    /// what kills the process. False when the node stops before.
    async fn is_admitted(&self) -> bool {
        let quarantine = &self.shard.quarantine;
        if quarantine.is_active() {
            let may_go_on = || self.shard.is_stopping() || quarantine.admits_state_of(self.mailbox.id());
            quarantine.until(may_go_on).await;
        }
        !self.shard.is_stopping()
    }

    /// Waits for the doorbell. False when it is time to leave: from then on no message reaches this activation.
    async fn doorbell(&self, turns: &mut Turns) -> bool {
        std::future::poll_fn(|context| {
            let rung = self.mailbox.lock().listen(self.shard.is_stopping(), context.waker());
            if rung.is_pending() {
                turns.others_run();
            }
            rung
        })
        .await
    }

    /// Handles what is visible; arranges for the next ring where that depends on the disk or the clock.
    async fn drain(&self, loaded: &mut Loaded<A>, turns: &mut Turns) -> Result<(), ActorProcessingErr> {
        while !self.shard.is_stopping() {
            match self.next() {
                Step::Answer(query, after) => {
                    self.answer(query, after, loaded);
                    turns.add(TURNS_AN_ANSWER);
                }
                Step::Follow(Next::Deliver { position, body, attempt }, wants_reply) => {
                    self.turn(loaded, position, &body, attempt, wants_reply).await?;
                    turns.add(1);
                }
                // What is seldom is in a box, so that an activation is not as large as all that it may come to.
                Step::Follow(Next::Load(positions), _) => {
                    Box::pin(reading::load(&self.shard, &self.mailbox, positions)).await?;
                }
                Step::Follow(Next::Overdue(position), _) => {
                    let failure = Failure::retry("it was held for too long");
                    Box::pin(take_back(&self.shard, &self.mailbox, position, None, failure)).await;
                }
                Step::Follow(Next::Durable(position), _) => {
                    activating::ring_when_durable(&self.shard, &self.mailbox, position);
                    break;
                }
                Step::Follow(Next::Until(moment), _) => {
                    self.shard.ring_at(&self.mailbox, moment);
                    break;
                }
                Step::Follow(Next::Empty, _) => break,
            }
            turns.let_others_run().await;
        }
        if self.shard.quarantine.is_active() {
            // A suspect may have been put back, or aside, without a submission: nothing tells of that.
            self.shard.gate.look_again();
        }
        Ok(())
    }

    fn next(&self) -> Step {
        let (shard, mailbox) = (&self.shard, &*self.mailbox);
        let admits = |position, is_reordered| shard.quarantine.admits(mailbox.id(), position, is_reordered);
        let mut inner = mailbox.lock();
        inner.next(mailbox, shard.view(), admits, || shard.sweeps())
    }

    /// One turn: run the handler, then submit all of its effects or none.
    async fn turn(
        &self,
        loaded: &mut Loaded<A>,
        position: Position,
        body: &Bytes,
        attempt: u32,
        is_waited_for: bool,
    ) -> Result<(), ActorProcessingErr> {
        let (header, payload) = match Header::decode(body) {
            Ok(decoded) => decoded,
            Err(error) => {
                fail(&self.shard, &self.mailbox, position, Failure::reject(error)).await;
                return Ok(());
            }
        };
        if let Some(expires) = header.expires().filter(|expires| expires.at <= self.shard.clock.steady()) {
            return Box::pin(self.expired(position, expires, body)).await;
        }
        let request = header.extension.request();
        if let Some(request) = request {
            // In a box, since most messages have none.
            let recalled =
                Box::pin(deduplicate::recall(&self.shard, &self.mailbox, position, request, &header, payload)).await?;
            if recalled != Recalled::New {
                return Box::pin(self.recalled(loaded, position, body, &header, recalled)).await;
            }
        }
        let wants_reply = is_waited_for || header.keep_reply || request.is_some();
        let payload = Payload { version: header.message_version, bytes: payload, wants_reply };
        let progress = Progress::default();
        let mut staged = Staged::default();
        let span = telemetry::turn_span(&self.shard.name, &self.mailbox.address, &header, position, attempt);
        let handled = {
            let turn = Turn::new(&self.shard, &self.mailbox, &header, position, attempt, &progress, &mut staged);
            // Pinned where they are: a future that is handed on is copied, with room for all that it may ever hold.
            let handling = pin!(Some(self.handle(loaded, turn, payload)));
            let handling = pin!(within(A::TIME_LIMIT, &progress, self.shard.marks.hold(position, handling)));
            // Around nothing but the handler: what the node says of a turn has the fields of the span itself. Entering
            // a span at every poll is not free, even when nobody listens.
            if span.is_disabled() { handling.await } else { handling.instrument(span).await }
        };
        let handled = handled.unwrap_or_else(|TimeSpent| {
            Err(Failure::retry(format!("its handler took longer than its time limit of {:?}", A::TIME_LIMIT)))
        });
        match handled {
            Ok(_) if staged.is_held => Box::pin(self.handed_over(position, attempt)).await,
            Ok(handled) => {
                let message = Message { position, header: &header, payload: payload.bytes, bytes: body.len() };
                return self.submit(loaded, message, handled, &mut staged).await;
            }
            Err(failure) => return Box::pin(self.failed(loaded, position, attempt, failure)).await,
        }
        Ok(())
    }

    /// The message was handed over to a holder, who decides.
    async fn handed_over(&self, position: Position, attempt: u32) {
        let held = self.mailbox.lock().take_handover();
        if held.is_some_and(|held| held.is_dropped) {
            take_back(&self.shard, &self.mailbox, position, Some(attempt), dropped()).await;
        }
    }

    /// The handler has failed.
    async fn failed(
        &self,
        loaded: &mut Loaded<A>,
        position: Position,
        attempt: u32,
        failure: Failure,
    ) -> Result<(), ActorProcessingErr> {
        self.roll_back(loaded).await?;
        let held = self.mailbox.lock().take_handover();
        match held {
            Some(_) => _ = take_back(&self.shard, &self.mailbox, position, Some(attempt), failure).await,
            None => _ = fail(&self.shard, &self.mailbox, position, failure).await,
        }
        Ok(())
    }

    /// The message in flight has expired, and those who look for such messages have not come to it.
    async fn expired(&self, position: Position, expires: Expires, body: &Bytes) -> Result<(), ActorProcessingErr> {
        let expiring = expiring_in(&self.mailbox, position, expires, body);
        match expiring.then {
            Expiry::DeadLetter => {
                fail(&self.shard, &self.mailbox, position, Failure::condemn(Reason::Expired, EXPIRED)).await;
            }
            Expiry::Drop => {
                let expired = Expired::in_flight(&self.mailbox, expiring);
                let transaction = Transaction::upkeep(&self.shard).with(expired);
                match transaction.reserve().await {
                    Ok(permit) => {
                        self.shard.expiries.remove(expires.at, position);
                        transaction.commit_in_any_case(permit);
                    }
                    Err(error) => {
                        self.mailbox.lock().interrupt();
                        return Err(error.into());
                    }
                }
            }
        }
        Ok(())
    }

    /// A message whose request is known: it is answered as the one before it was, refused, or waits.
    async fn recalled(
        &self,
        loaded: &mut Loaded<A>,
        position: Position,
        body: &Bytes,
        header: &Header<'_>,
        recalled: Recalled,
    ) -> Result<(), ActorProcessingErr> {
        match recalled {
            Recalled::New => unreachable!("such a message is handled"),
            Recalled::Same(reply) => {
                let (forget, mut nothing) = (loaded.record.forget, Staged::default());
                let handled = Handled { reply: Some(reply), record: None, forget, is_repeated: true };
                let message = Message { position, header, payload: &[], bytes: body.len() };
                return self.submit(loaded, message, handled, &mut nothing).await;
            }
            Recalled::Other => {
                let failure = "another message was sent under its idempotency key before";
                let failure = Failure::condemn(Reason::KeyReused, failure);
                fail(&self.shard, &self.mailbox, position, failure).await;
            }
            Recalled::Held(request) => deduplicate::wait_for_key(&self.mailbox, position, request),
            Recalled::Full => deduplicate::wait_for_room_for_keys(&self.shard, &self.mailbox, position),
        }
        Ok(())
    }

    /// Runs the handler and encodes what it changed. All of the user's code runs in here.
    async fn handle(
        &self,
        loaded: &mut Loaded<A>,
        mut turn: Turn<'_>,
        payload: Payload<'_>,
    ) -> Result<Handled, Failure> {
        let position = turn.sequence().position();
        let Some(run) = self.handlers.get(turn.message()) else {
            return Err(Failure::reject(format!("no handler of `{}` knows `{}`", A::TYPE, turn.message())));
        };
        let reply = run(&self.actor, loaded.state_mut(), payload, &mut turn).await?;
        let staged = turn.end()?;
        let marked = loaded.record.forget;
        let forget = staged.forget || marked;
        let record = if loaded.state().is_changed() || (forget && !marked) {
            let encode = || {
                let record = StateRecord::encode(&self.mailbox.address, &**loaded.state(), forget)?;
                if !loaded.reads_back {
                    StateRecord::read_back::<A::State>(&record)?;
                }
                Ok::<_, Failure>(record)
            };
            let record = self.shard.marks.with(Mark::MailboxOf(position), encode)?;
            loaded.reads_back = true;
            Some(record)
        } else {
            None
        };
        Ok(Handled { reply, record, forget, is_repeated: false })
    }

    async fn submit(
        &self,
        loaded: &mut Loaded<A>,
        message: Message<'_>,
        handled: Handled,
        staged: &mut Staged,
    ) -> Result<(), ActorProcessingErr> {
        let Message { position, header, payload, .. } = message;
        let Handled { reply, record, forget, is_repeated } = handled;
        // Reads the message once more, where it has an idempotency key.
        let content = || deduplicate::content(&self.mailbox, header, payload);
        let content = match header.extension.request() {
            Some(_) if !is_repeated => self.shard.marks.with(Mark::Record(position), content),
            _ => None,
        };
        let bytes = CommitBytes {
            state: record.as_ref().map_or(0, Bytes::len),
            messages: staged.sends.iter().map(|send| send.envelope.len()).sum(),
            timers: staged.timers.bytes(),
            reply: reply.as_ref().map_or(0, Bytes::len) + content.as_ref().map_or(0, Content::bytes),
        };
        let summary = record.as_deref().map(|record| StateSummary { bytes: record.len(), forget });
        let handled = Handled { reply, record, forget, is_repeated };
        let transaction = self.transaction(loaded, &message, handled, content, staged);
        let committed = match transaction.commit_with_room() {
            Ok(committed) => Ok(committed),
            Err(transaction) => Box::pin(transaction.commit_when_there_is_room()).await,
        };
        let committed = match committed {
            Ok(committed) => committed,
            Err(error) => return Box::pin(self.not_committed(loaded, position, &bytes, error)).await,
        };
        loaded.state_mut().mark_clean();
        if committed.forgotten {
            loaded.forget();
        } else if let Some(summary) = summary {
            loaded.record = summary;
            state_limit::watch_state(&self.shard, &self.mailbox, summary.bytes);
        }
        if self.shard.quarantine.is_active() {
            Box::pin(self.shard.gate.durable(committed.ticket)).await?;
        }
        Ok(())
    }

    /// The store does not take what a turn does.
    async fn not_committed(
        &self,
        loaded: &mut Loaded<A>,
        position: Position,
        bytes: &CommitBytes,
        error: AdmissionError,
    ) -> Result<(), ActorProcessingErr> {
        match error {
            AdmissionError::TooLarge { limit, setting, .. } if bytes.is_because_of_state(limit) => {
                self.roll_back(loaded).await?;
                state_limit::state_too_large(&self.shard, &self.mailbox, bytes.state, limit, setting).await;
                Ok(())
            }
            AdmissionError::TooLarge { .. } => {
                self.roll_back(loaded).await?;
                let failure =
                    Failure::reject(format!("what its turn does is too large for one commit: {bytes}; {error}"));
                fail(&self.shard, &self.mailbox, position, failure).await;
                Ok(())
            }
            error => {
                // The store takes nothing any more, which is no failure of the message.
                self.mailbox.lock().interrupt();
                Err(error.into())
            }
        }
    }

    /// All that a turn does, as one transaction. Takes what was staged.
    fn transaction<'t>(
        &'t self,
        loaded: &Loaded<A>,
        message: &Message<'t>,
        handled: Handled,
        content: Option<Content>,
        staged: &'t mut Staged,
    ) -> Transaction<'t> {
        let (shard, mailbox) = (&self.shard, &self.mailbox);
        let Message { position, header, bytes, .. } = *message;
        let Handled { reply, record, forget, is_repeated } = handled;
        let mut transaction = Transaction::turn(shard, position);
        let Staged { sends, older, timers, .. } = staged;
        let mut sends_to_itself = false;
        for Routed { route, handling, envelope } in sends {
            sends_to_itself |= matches!(route, Route::Local(receiver) if Arc::ptr_eq(receiver, mailbox));
            transaction.add(Send::new(route, *handling, std::mem::take(envelope)));
        }
        let answered = match is_repeated {
            true => None,
            false => Answered::of(shard, mailbox, header, content, reply.as_ref()),
        };
        transaction.add(Done::new(mailbox, position, header, bytes, reply));
        let replaced = loaded.record.bytes;
        if record.is_some() || forget {
            transaction.add(StateChange { mailbox, record, replaced, forget, sends_to_itself });
        }
        transaction.add_if(answered);
        transaction.add_if(Over::of_turn(mailbox, header.id(), std::mem::take(older)));
        transaction.add_if(Timers::of_turn(std::mem::take(timers)));
        transaction
    }

    /// Puts back the state that the last submitted turn made. It is read again: keeping every record in memory for the
    /// sake of the turns that fail would cost each of the others an allocation.
    async fn roll_back(&self, loaded: &mut Loaded<A>) -> Result<(), ActorProcessingErr> {
        if loaded.state().is_changed() {
            *loaded = self.load().await?;
        }
        Ok(())
    }

    async fn load(&self) -> Result<Loaded<A>, ActorProcessingErr> {
        Loaded::read(&self.shard, &self.mailbox).await
    }

    /// Answers from the state as the turns so far made it; the answer leaves when those turns are durable.
    fn answer(&self, query: Box<dyn Open>, after: Position, loaded: &Loaded<A>) {
        let query: Box<dyn Any> = query;
        let query = query.downcast::<PendingQuery<A>>().expect("a mailbox gets queries of its own actor type");
        let answer = || query.answer(&self.actor, loaded.state(), after);
        if let Some(answer) = self.shard.marks.with(Mark::Query(self.mailbox.id()), answer) {
            self.shard.release_after(after, answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::supervision::fixture::Idle;

    /// Each actor that comes into memory has one, so nothing that is seldom is part of it.
    #[test]
    fn what_an_activation_may_wait_for_takes_few_bytes() {
        fn size_of_future<F>(_: impl Fn(&'static Activation<Idle>, &'static mut Turns) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size_of_future(Activation::live);
        assert!(bytes <= 3072, "{bytes}");
    }
}
