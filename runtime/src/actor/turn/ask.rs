//! An ask from inside a turn. It leaves before the turn commits, so what was asked is kept: another attempt of the
//! turn gets the reply to the same ask, and one that asks something else at its place is refused.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use everpost_persistence::{MailboxId, Position};
use tokio::sync::oneshot;

use super::Turn;
use crate::actor::Receives;
use crate::actor::address_of::AddressOf;
use crate::cluster::{Inquiry, decode_cursor};
use crate::commit::{Record, Send, Transaction};
use crate::engine::inquiry::{Recalled, inquire, recall};
use crate::mailbox::Mailbox;
use crate::mailbox::waiter::Waiter;
use crate::message::address::Address;
use crate::message::envelope::{Header, Origin};
use crate::message::expiry::Handling;
use crate::message::failure::Failure;
use crate::message::fingerprint::{Fingerprint, bytes_of};
use crate::message::outcome::Outcome;
use crate::message::outcome::reply_of;
use crate::message::refusal::{AskError, Refusal};
use crate::message::{Message, MessageId};
use crate::record::asked::Asked;
use crate::shard::asks::{Asking, Older};
use crate::shard::kept_replies::reply_key;
use crate::shard::{Remote, Route, Shard};
use crate::tables;

impl Turn<'_> {
    /// Asks another actor and waits for its reply. The ask leaves at once, since this turn waits for the answer;
    /// its id is the same on every attempt, and the reply is kept until this turn commits, so that the other actor's
    /// effects happen once however often this turn runs.
    ///
    /// So every attempt has to ask the same asks in the same order, as far as an earlier one came: the first
    /// ask of each is the same, the second is, and so on, each with the same destination, message, version and
    /// content (compared by value, see [`Message::fingerprint`]). Branch on the state, the message and replies, not on
    /// the attempt, the time, chance or the order of a `HashMap`. Sends and timers in between may differ.
    ///
    /// # Errors
    ///
    /// [`AskError::Differs`] when an earlier attempt asked something else at this place; nothing is asked then, and the
    /// turn fails whatever the handler makes of the error. So does one that ends without an ask that an earlier
    /// attempt has asked; [`AskError::WouldDeadlock`] at once when the other actor waits for this one: directly or not
    /// and on whatever node, when that is why this turn runs, and otherwise as far as this node can see (a circle that
    /// turns of several nodes close at the same moment ends by the timeout); [`AskError::Timeout`] after the node's ask
    /// timeout; the others as for [`ActorHandle::ask`](crate::ActorHandle::ask).
    ///
    /// # Cancel safety
    ///
    /// An ask that is dropped was asked or not, and is asked once all the same: the next attempt of the turn finds
    /// it, or asks it.
    pub async fn ask<A, M, Form>(&mut self, to: &AddressOf<A>, message: M) -> Result<M::Reply, AskError>
    where
        A: Receives<M, Form>,
        M: Message,
    {
        let to = to.address();
        let (place, together) = self.staged.numbers.ask();
        let older = self.message_id().derive(together);
        let callers = [self.header.callers, &self.mailbox.id().0.to_be_bytes()].concat();
        let id = self.message_id().ask(place);
        let origin = Origin { keep_reply: true, callers: &callers, ..self.origin(id, self.shard.clock.wall()) };
        let (route, envelope) = self.shard.seal(A::TYPE, to, origin, &message)?;
        let node = route.remote().map(|remote| remote.peer.name.to_string());
        let asked = Asked {
            turn: self.message_id(),
            place,
            node,
            position: Position(0),
            to: to.clone(),
            message: M::NAME.to_owned(),
            version: M::VERSION,
            // By value: the order of a map in it may be another one on each attempt.
            digest: Fingerprint::of(&message).unwrap_or_else(|| digest_of(&envelope)),
            is_given_up: false,
        };
        let before = self.mailbox.asking.is_any().then(|| self.shard.asked.find(asked.turn, place)).flatten();
        let before = before.filter(|before| !before.is_given_up);
        if let Some(before) = before.as_ref().filter(|before| before.differs(&asked)) {
            let differs = AskError::Differs(Box::new(before.difference_to(&asked)));
            self.staged.refuse(|| Failure::retry(&differs));
            return Err(differs);
        }
        self.staged.asked.push(place);
        let _waiting = WaitsFor::new(self.shard, self.mailbox, to, &callers)?;
        let asking = TurnAsk { shard: self.shard, mailbox: self.mailbox, to, older: &mut self.staged.older };
        let ask = NewAsk { route, asked, handling: Handling::said_by(&origin), envelope };
        let timeout = self.shard.config.ask_timeout;
        let told = tokio::time::timeout(timeout, asking.ask(before, older, ask)).await;
        reply_of::<M>(told.unwrap_or(Err(AskError::Timeout(timeout)))?)
    }
}

/// Of an ask whose value cannot be told: of its bytes, which are the same on each attempt as a rule.
fn digest_of(envelope: &[u8]) -> [u8; 16] {
    bytes_of(Header::decode(envelope).map_or(envelope, |(_, payload)| payload))
}

/// That a mailbox waits for another, for as long as it does.
struct WaitsFor<'a> {
    shard: &'a Shard,
    asking: MailboxId,
}

impl<'a> WaitsFor<'a> {
    /// Refuses when that closes a circle, on this node or with one of `callers`, the ids of the mailboxes that wait for
    /// this turn on any node.
    fn new(shard: &'a Shard, asking: &Mailbox, to: &Address, callers: &[u8]) -> Result<Self, AskError> {
        let would_deadlock = || AskError::WouldDeadlock { to: to.to_string() };
        if callers.chunks(size_of::<u128>()).any(|caller| caller == to.mailbox().0.to_be_bytes()) {
            return Err(would_deadlock());
        }
        let mut waits_for = shard.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Some(to.mailbox());
        while let Some(mailbox) = next {
            if mailbox == asking.id() {
                return Err(would_deadlock());
            }
            next = waits_for.get(&mailbox).copied();
        }
        waits_for.insert(asking.id(), to.mailbox());
        Ok(Self { shard, asking: asking.id() })
    }
}

impl Drop for WaitsFor<'_> {
    fn drop(&mut self) {
        self.shard.waits_for.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.asking);
    }
}

/// An ask that is ready to leave.
struct NewAsk {
    route: Route,
    asked: Asked,
    handling: Handling,
    envelope: Bytes,
}

/// Waits for what comes of an ask of a turn.
struct TurnAsk<'a> {
    shard: &'a Arc<Shard>,
    mailbox: &'a Mailbox,
    to: &'a Address,
    /// What this turn has asked under an older build, to go with its commit.
    older: &'a mut Vec<Older>,
}

impl TurnAsk<'_> {
    /// Asks, unless an earlier attempt of the turn has asked already: then waits for what came of that.
    async fn ask(self, before: Option<Asked>, older: MessageId, ask: NewAsk) -> Result<Told, AskError> {
        match before {
            Some(Asked { node: None, .. }) => self.ask_again(ask).await,
            Some(Asked { node: Some(node), position, .. }) => match &ask.route {
                Route::Remote(remote) if *remote.peer.name == *node => {
                    self.wait_for_away(remote, ask.asked.id(), position).await
                }
                // Its actor has moved since, and the reply is where it was.
                _ => Ok(Some(Outcome::Handled)),
            },
            None => match self.older(older).await? {
                Some(older) => {
                    self.older.push(older.clone());
                    self.wait_for_older(older, ask).await
                }
                None => self.ask_anew(ask).await,
            },
        }
    }

    /// An earlier attempt has asked an actor of this node; what was given up on since is asked anew.
    async fn ask_again(&self, ask: NewAsk) -> Result<Told, AskError> {
        let (waiter, reply) = Waiter::for_reply();
        match recall(self.shard, self.to, ask.asked.id(), waiter).await.map_err(|_| AskError::Stopped)? {
            Recalled::Stored(reply) => Ok(Some(Outcome::Replied(reply))),
            Recalled::Waiting => Ok(reply.await.ok()),
            Recalled::Unknown => self.ask_anew(ask).await,
        }
    }

    async fn ask_anew(&self, ask: NewAsk) -> Result<Told, AskError> {
        let NewAsk { route, asked, handling, envelope } = ask;
        let (told, reply) = oneshot::channel();
        let id = asked.id();
        {
            let asking = Asking { mailbox: self.mailbox, asked };
            let send = Send::new(&route, handling, envelope).told(told).asking(asking);
            let transaction = Transaction::node(self.shard).with(send);
            let permit = transaction.reserve().await.map_err(Refusal::Store)?;
            transaction.commit_in_any_case(permit);
        }
        let told = reply.await.ok();
        match route {
            Route::Local(_) => Ok(told),
            Route::Remote(_) => Ok(self.unless_given_up(id, told).await),
        }
    }

    /// Waits for what comes of an ask that an earlier attempt has asked of another node.
    async fn wait_for_away(&self, remote: &Remote, id: MessageId, position: Position) -> Result<Told, AskError> {
        let (waiter, reply) = oneshot::channel();
        let Remote { peer, lane, .. } = remote;
        let inquiry = Inquiry { id, address: self.to.clone(), lane: *lane, position, reply: true };
        inquire(self.shard, peer, inquiry, waiter).await;
        Ok(self.unless_given_up(id, reply.await.ok()).await)
    }

    /// An ask that was given up on has had no effect: the next attempt of the turn asks anew, whatever it likes.
    /// One whose reply is lost may have had its effect, and is never asked again.
    async fn unless_given_up(&self, id: MessageId, told: Told) -> Told {
        if let Some(Outcome::GivenUp(_) | Outcome::KeyReused | Outcome::Expired) = told {
            let Mailbox { partition, .. } = *self.mailbox;
            let key = tables::reply(partition, self.mailbox.id(), id.0);
            let transaction = Transaction::upkeep(self.shard).with(Record::delete(key));
            if let Ok(permit) = transaction.reserve().await {
                transaction.commit_in_any_case(permit);
                self.shard.asked.given_up(id);
            }
        }
        told
    }

    /// What an older build has asked under this id.
    async fn older(&self, id: MessageId) -> Result<Option<Older>, AskError> {
        let Mailbox { partition, .. } = *self.mailbox;
        match self.shard.remote(self.to) {
            None if self.shard.asked.is_older(self.to.mailbox(), id) => {
                Ok(Some(Older { id, to: self.to.clone(), key: reply_key(self.shard, self.to, id), remote: None }))
            }
            Some(remote) if self.shard.asked.is_older(self.mailbox.id(), id) => {
                let key = tables::reply(partition, self.mailbox.id(), id.0);
                let cursor = self.shard.store.read(key).await.map_err(|_| AskError::Stopped)?;
                let position = cursor.as_deref().and_then(decode_cursor).map(|sequence| Position(sequence.0));
                let to = self.to.clone();
                Ok(position.map(|position| Older { id, to, key, remote: Some((remote, position)) }))
            }
            _ => Ok(None),
        }
    }

    async fn wait_for_older(&self, older: Older, ask: NewAsk) -> Result<Told, AskError> {
        if let Some((remote, position)) = older.remote {
            return self.wait_for_away(&remote, older.id, position).await;
        }
        let (waiter, reply) = Waiter::for_reply();
        match recall(self.shard, self.to, older.id, waiter).await.map_err(|_| AskError::Stopped)? {
            Recalled::Stored(reply) => Ok(Some(Outcome::Replied(reply))),
            Recalled::Waiting => Ok(reply.await.ok()),
            // It was given up on.
            Recalled::Unknown => self.ask_anew(ask).await,
        }
    }
}

/// What became of an ask; none when the node ended before.
type Told = Option<Outcome>;

#[cfg(test)]
mod tests {
    use everpost_persistence::{Class, Config, Key, Store};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::actor::durable::Durable;
    use crate::actor::turn::Numbers;
    use crate::actor::{Actor, Handler, Handlers};
    use crate::base::clock::Micros;
    use crate::message::envelope::seal;
    use crate::node::Node;

    #[derive(Serialize, Deserialize, everpost::Message)]
    #[message(reply = i64)]
    struct Debit;

    #[derive(Serialize, Deserialize, everpost::Message)]
    struct Pay;

    struct Bank;

    impl Actor for Bank {
        const TYPE: &'static str = "bank";
        type State = i64;

        fn handlers(handlers: &mut Handlers<Self>) {
            handlers.on::<Debit>();
            handlers.on::<Pay>();
        }
    }

    impl Handler<Debit> for Bank {
        async fn handle(&self, debited: &mut Durable<i64>, _: Debit, _: &mut Turn<'_>) -> Result<i64, Failure> {
            **debited += 1;
            Ok(**debited)
        }
    }

    /// Sends first, so that its ask is the second thing that it does.
    impl Handler<Pay> for Bank {
        async fn handle(&self, paid: &mut Durable<i64>, _: Pay, turn: &mut Turn<'_>) -> Result<(), Failure> {
            turn.send(&Self::at("log"), Debit);
            **paid = turn.ask(&Self::at("alice"), Debit).await?;
            Ok(())
        }
    }

    #[test]
    fn what_a_turn_does_is_counted_by_kind_and_as_an_older_build_did() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.ask(), (0, 0));
        assert_eq!((numbers.send(), numbers.timer(), numbers.send()), (0, 0, 1));
        assert_eq!(numbers.ask(), (1, 4));
        assert_eq!(numbers.ask(), (2, 5));
    }

    /// An upgrade in the middle of a turn debited twice.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_turn_has_asked_under_an_older_build_is_not_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(folder.path(), Config::default(), tables::SCHEMA, || ()).unwrap();
        let turn = MessageId(7);
        let place = |key: &str| {
            let address = Bank::at(key).address().clone();
            (address.partition(store.partitions()), address)
        };
        let (partition, payer) = place("payer");
        let pay = seal(payer.as_str(), Origin::plain(turn, Micros(5)), &Pay).unwrap();
        // It was asked under the number that it had among all that the turn does, and answered.
        let (asked_in, asked) = place("alice");
        let reply = tables::reply(asked_in, asked.mailbox(), turn.derive(1).0);
        let permit = store.reserve(Class::Outside, 1000).await.unwrap();
        store.submit(permit, |stage| {
            stage.put(reply, postcard::to_allocvec(&41_i64).unwrap().into());
            stage.enqueue(&tables::INBOX, partition, pay)
        });
        store.close().unwrap();
        drop(store);
        let node = Node::builder("node", folder.path()).actor(Bank).start().await.unwrap();
        node.drained().await.unwrap();
        let state = |key| {
            let shard = node.shard();
            shard.store.get(&shard.directory.mailbox(Bank::at(key).address(), actor_type(&shard)).state_key())
        };
        assert!(state("alice").unwrap().is_none(), "it was not asked again");
        assert!(state("payer").unwrap().is_some());
        let mut left = 0;
        let count = |_: &Key, _: &[u8]| {
            left += 1;
            std::ops::ControlFlow::Continue(())
        };
        node.shard().store.scan(&tables::REPLIES, count).unwrap();
        assert_eq!(left, 0);
        node.stop().await.unwrap();
    }

    fn actor_type(shard: &Shard) -> &Arc<crate::mailbox::actor_type::ActorType> {
        &shard.actor_types[Bank::TYPE]
    }
}
