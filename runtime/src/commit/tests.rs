//! What each effect does, in a table: what it reserves, what it tells the store, what it changes in memory, what waits
//! for the commit. The shard is real, with a store on the disk; nothing runs, so that nothing else changes it.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use everpost_persistence::{Config, Key, Position, Slots, Store};
use everpost_transport::link::{Lane, Receiving, Sequence};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::transaction::Step;
use super::*;
use crate::actor::durable::Durable;
use crate::actor::turn::Turn;
use crate::actor::{Actor, Handler, Handlers};
use crate::base::clock::{Micros, ResumingClock};
use crate::base::marks::Marks;
use crate::base::own_runtime::OwnRuntime;
use crate::cluster::Cluster;
use crate::cluster::expiring::{Expiring, Waits};
use crate::config::{ClusterConfig, IdentityFiles, LinkConfig, NodeConfig};
use crate::mailbox::{Mailbox, Next, Step as Looked};
use crate::message::address::{Address, mailbox_id};
use crate::message::envelope::{Header, Origin, seal};
use crate::message::expiry::{Expires, Expiry, Handling};
use crate::message::failure::Failure;
use crate::message::outcome::Outcome;
use crate::message::reason::Reason;
use crate::message::request::RequestId;
use crate::message::{Message, MessageId};
use crate::record::answered::Content;
use crate::record::attempts::Failures;
use crate::record::dead_letter::DeadLetterRecord;
use crate::record::supervised::{PauseReason, Paused};
use crate::shard::expiries::expiring_in;
use crate::shard::gate::Gate;
use crate::shard::{OpenedStore, Release, Route, Shard};
use crate::supervise::supervision::actor_type_of;
use crate::tables;
use crate::timer::TimerChanges;

#[derive(Serialize, Deserialize, everpost::Message)]
struct Ping;

struct Here;

impl Actor for Here {
    const TYPE: &'static str = "here";
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Ping>();
    }
}

impl Handler<Ping> for Here {
    async fn handle(&self, _: &mut Durable<u32>, _: Ping, _: &mut Turn<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// A shard that nothing runs on.
struct Fixture {
    shard: Shard,
    progress: Receiver<()>,
    here: Route,
    there: Route,
    _folder: tempfile::TempDir,
}

/// What was seen of a commit.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// What waits for it.
    released: Vec<&'static str>,
    /// Which of the keys that were asked for have a record afterwards.
    stored: Vec<bool>,
}

fn seen<const R: usize, const S: usize>(released: [&'static str; R], stored: [bool; S]) -> Seen {
    Seen { released: released.into(), stored: stored.into() }
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (progressed, progress) = sync_channel(1024);
        let on_progress = move || {
            let _ = progressed.try_send(());
        };
        let (store, opened) = Store::open(folder.path(), Config::default(), tables::SCHEMA, on_progress).unwrap();
        let (slots, _) = Slots::open(folder.path()).unwrap();
        let (config, nowhere) = (NodeConfig::default(), "127.0.0.1:9".parse().unwrap());
        let cluster = ClusterConfig {
            name: "cluster".to_owned(),
            listen: nowhere,
            identity: IdentityFiles { certificate: "c".into(), key: "k".into(), authority: "a".into() },
            peers: BTreeMap::from([("west".to_owned(), vec![nowhere])]),
            actors: [("here", "east"), ("there", "west")]
                .map(|(actor, node)| (actor.to_owned(), vec![node.to_owned()]))
                .into(),
            link: LinkConfig::default(),
        };
        let cluster = Cluster::new("east", &cluster, &config, store.partitions().get());
        let actor_type = Arc::new(actor_type_of(&Arc::new(Handlers::<Here>::of_actor())));
        let actor_types = [(Here::TYPE, actor_type)].into_iter().collect();
        let opened = OpenedStore {
            clock: Arc::new(ResumingClock::new(None).look().unwrap()),
            gate: Gate::new(store.clone()),
            marks: Marks::new(slots, store.epoch().nonce),
            first: Position(opened.durable.0 + 1),
            own_runtime: OwnRuntime::start().unwrap(),
            store,
        };
        let shard = Shard::new("east".into(), config, cluster, actor_types, opened);
        let route = |address| shard.route(&Address::parse(address).unwrap(), |_| Ok::<_, ()>(())).unwrap();
        let (here, there) = (route("here/a"), route("there/b"));
        Self { shard, progress, here, there, _folder: folder }
    }

    fn mailbox(&self) -> &Arc<Mailbox> {
        let Route::Local(mailbox) = &self.here else { panic!("it lives here") };
        mailbox
    }

    fn envelope(&self, route: &Route, id: u128) -> Bytes {
        seal(route.address().as_str(), Origin::plain(MessageId(id), self.shard.clock.wall()), &Ping).unwrap()
    }

    fn keyed(&self, id: u128) -> (Bytes, RequestId) {
        let request = RequestId::new(self.here.address(), "key");
        let extension = crate::message::envelope::Extension::of_request(Some(request));
        let origin = Origin { extension, ..Origin::plain(MessageId(id), self.shard.clock.wall()) };
        (seal(self.here.address().as_str(), origin, &Ping).unwrap(), request)
    }

    fn commit(&self, transaction: Transaction<'_>) -> Committed {
        let permit = transaction.try_reserve().unwrap();
        let Ok(committed) = transaction.commit(permit) else { panic!("it holds") };
        self.wait(committed.ticket);
        committed
    }

    fn wait(&self, ticket: Position) {
        while self.shard.store.durable() < ticket {
            self.progress.recv().unwrap();
        }
    }

    /// Commits, and looks at what was released and stored by it.
    fn see(&self, mut transaction: Transaction<'_>, keys: &[Key]) -> Seen {
        let permit = transaction.try_reserve().unwrap();
        let see = |step: &mut Step<'_, '_>| {
            let released = step.releases.iter().map(|(_, release)| name_of(release)).collect();
            (released, step.end().ticket)
        };
        let Ok((released, ticket)) = transaction.decide(permit, None, see) else { panic!("it holds") };
        self.wait(ticket);
        let stored = keys.iter().map(|key| self.shard.store.get(key).unwrap().is_some()).collect();
        Seen { released, stored }
    }

    /// A message that waits in its mailbox, durably.
    fn sent(&self, id: u128) -> Position {
        let send = Send::new(&self.here, Handling::default(), self.envelope(&self.here, id));
        self.commit(Transaction::node(&self.shard).with(send)).position
    }

    /// A message that is in flight.
    fn in_flight(&self, id: u128) -> (Position, Bytes) {
        let sent = self.sent(id);
        let mut inner = self.mailbox().lock();
        match inner.next(self.mailbox(), self.shard.view(), |_, _| true, || 0) {
            Looked::Follow(Next::Deliver { position, body, .. }, _) if position == sent => (position, body),
            _ => panic!("another message, or none"),
        }
    }

    /// A dead letter of a message with this id.
    fn dead(&self, id: u128) -> Position {
        let (position, body) = self.in_flight(id);
        self.commit(self.giving_up(position, &body));
        position
    }

    fn giving_up<'a>(&'a self, position: Position, body: &'a Bytes) -> Transaction<'a> {
        let failures = Failures::default();
        let record = DeadLetterRecord::encode(Reason::Rejected, &failures, self.shard.clock.now(), body);
        let left = Left::new(self.mailbox(), position, body, Outcome::GivenUp("no".to_owned()), false);
        let slot = self.shard.dead_letters.slot().unwrap();
        Transaction::node(&self.shard).with(left).with(Added::new(slot, position, record, None))
    }

    fn waits_for(&self, position: Position) -> oneshot::Receiver<Outcome> {
        let (told, outcome) = oneshot::channel();
        let waiter = crate::mailbox::waiter::Waiter::Here { told, reply: true };
        self.mailbox().lock().add_waiter(false, position, waiter);
        outcome
    }

    fn transaction(&self) -> Transaction<'_> {
        Transaction::node(&self.shard)
    }
}

fn name_of(release: &Release) -> &'static str {
    match release {
        Release::Ring(_) => "ring",
        Release::Tell(_, Outcome::Replied(_)) => "tell the reply",
        Release::Tell(_, Outcome::Handled) => "tell that it was handled",
        Release::Tell(_, Outcome::GivenUp(_)) => "tell that it was given up on",
        Release::Tell(_, Outcome::Expired) => "tell that it has expired",
        Release::Tell(..) => "tell something else",
        Release::Depart(_) => "depart",
        Release::Acknowledge(_) => "acknowledge",
        Release::Forget(..) => "forget a reply elsewhere",
        Release::Answer(_) => "answer",
        Release::ReplyStored(_) => "the reply is stored",
        Release::RequestStored(_) => "the answer to a request is stored",
        Release::Log(_) => "log",
    }
}

/// What is done, and what is to be seen of it.
type Case = (&'static str, fn(&Fixture) -> Seen, Seen);

#[tokio::test(flavor = "multi_thread")]
async fn each_effect_does_what_it_says_and_nothing_else() {
    let cases: Vec<Case> = vec![
        ("a send here rings when it is durable", send_here, seen(["ring"], [true])),
        ("a send elsewhere waits in the outbox", send_there, seen([], [true])),
        ("a message that is done leaves, and whoever waits is told", done, seen(["tell the reply"], [false, true])),
        ("a state is forgotten when nothing waits", forget, seen([], [false, false])),
        ("a message that failed waits with its record", postponed, seen([], [true, true])),
        ("what is given up on becomes a dead letter", given_up, seen(["tell that it was given up on"], [false, true])),
        ("a dead letter is deleted", removed, seen([], [false])),
        ("a dead letter is sent again, and its activation is awake", replayed, seen([], [false, true])),
        ("what has expired leaves", expired, seen(["tell that it has expired"], [false])),
        ("a suspect is marked", marked, seen([], [true])),
        ("a timer is set", timer_set, seen([], [true])),
        ("an answer is kept under its key", answered, seen(["the answer to a request is stored"], [false, true])),
        ("keys whose time is over go", keys_expire, seen([], [false])),
        ("an actor is paused", paused, seen([], [true])),
        ("a type is paused", type_paused, seen([], [true])),
        ("records are put and deleted", records, seen([], [true, false])),
        ("what arrives is acknowledged when it is durable", arrivals, seen(["ring", "acknowledge"], [true, true])),
        ("what a peer has leaves the outbox", delivered, seen([], [false, true])),
        ("what expires in the outbox leaves it", withdrawn, seen([], [false])),
    ];
    for (what, case, expected) in cases {
        assert_eq!(case(&Fixture::new()), expected, "{what}");
    }
}

fn send_here(fixture: &Fixture) -> Seen {
    let envelope = fixture.envelope(&fixture.here, 1);
    let transaction = fixture.transaction().with(Send::new(&fixture.here, Handling::default(), envelope.clone()));
    assert_eq!(transaction.size().bytes, envelope.len(), "it reserves what it puts");
    let next = Position(fixture.shard.store.durable().0 + 1);
    let seen = fixture.see(transaction, &[fixture.mailbox().inbox_key(next)]);
    assert_eq!(fixture.shard.waiting(), 1);
    assert!(fixture.mailbox().lock().rules().contains(next), "and is in its mailbox");
    seen
}

fn send_there(fixture: &Fixture) -> Seen {
    let envelope = fixture.envelope(&fixture.there, 1);
    let next = Position(fixture.shard.store.durable().0 + 1);
    let Route::Remote(remote) = &fixture.there else { panic!("it lives elsewhere") };
    let transaction = fixture.transaction().with(Send::new(&fixture.there, Handling::default(), envelope));
    let seen = fixture.see(transaction, &[crate::shard::expiring::outbox_key(remote.lane, next)]);
    assert_eq!((fixture.shard.waiting(), remote.peer.outgoing().backlog().messages), (0, 1));
    seen
}

fn done(fixture: &Fixture) -> Seen {
    let (position, body) = fixture.in_flight(1);
    let _outcome = fixture.waits_for(position);
    let (header, _) = Header::decode(&body).unwrap();
    let mailbox = fixture.mailbox();
    let record = Some(Bytes::from_static(b"state"));
    let change = StateChange { mailbox, record, replaced: 0, forget: false, sends_to_itself: false };
    let done = Done::new(mailbox, position, &header, body.len(), Some(Bytes::from_static(b"reply")));
    let transaction = fixture.transaction().with(done).with(change);
    assert_eq!(transaction.size().bytes, "reply".len() + "state".len());
    let seen = fixture.see(transaction, &[mailbox.inbox_key(position), mailbox.state_key()]);
    assert!(mailbox.lock().rules().is_empty() && fixture.shard.waiting() == 0);
    seen
}

fn forget(fixture: &Fixture) -> Seen {
    done(fixture);
    let (position, body) = fixture.in_flight(2);
    let (header, _) = Header::decode(&body).unwrap();
    let mailbox = fixture.mailbox();
    let change = StateChange { mailbox, record: None, replaced: 5, forget: true, sends_to_itself: false };
    let transaction = fixture.transaction().with(Done::new(mailbox, position, &header, body.len(), None)).with(change);
    fixture.see(transaction, &[mailbox.inbox_key(position), mailbox.state_key()])
}

fn postponed(fixture: &Fixture) -> Seen {
    let (position, body) = fixture.in_flight(1);
    let (mailbox, until) = (fixture.mailbox(), fixture.shard.clock.steady().plus(Duration::from_secs(60)));
    let record = Failures { attempts: 1, not_before: until, ..Failures::default() }.encode();
    let postponed = Postponed { mailbox, position, body: &body, until, aside: false, record };
    let keys = [mailbox.inbox_key(position), mailbox.attempts_key(position)];
    let seen = fixture.see(fixture.transaction().with(postponed), &keys);
    let inner = mailbox.lock();
    assert!(inner.rules().in_flight().is_none() && inner.rules().contains(position));
    seen
}

fn given_up(fixture: &Fixture) -> Seen {
    let (position, body) = fixture.in_flight(1);
    let _outcome = fixture.waits_for(position);
    let keys = [fixture.mailbox().inbox_key(position), tables::dead_letter(position)];
    let seen = fixture.see(fixture.giving_up(position, &body), &keys);
    assert!(fixture.shard.dead_letters.contains(position) && fixture.shard.waiting() == 0);
    seen
}

fn removed(fixture: &Fixture) -> Seen {
    let dead_letter = fixture.dead(1);
    let seen = fixture.see(fixture.transaction().with(Removed::one(dead_letter)), &[tables::dead_letter(dead_letter)]);
    assert_eq!(fixture.shard.dead_letters.count(), 0);
    let again = fixture.transaction().with(Removed::one(dead_letter));
    let permit = again.try_reserve().unwrap();
    assert!(again.commit(permit).is_err_and(|why| matches!(why, Refused::Gone)), "once");
    seen
}

fn replayed(fixture: &Fixture) -> Seen {
    let dead_letter = fixture.dead(1);
    let next = Position(fixture.shard.store.durable().0 + 1);
    let transaction = fixture
        .transaction()
        .with(Send::new(&fixture.here, Handling::default(), fixture.envelope(&fixture.here, 1)))
        .with(Replayed::new(dead_letter, 1, MessageId(1), &fixture.here));
    let seen = fixture.see(transaction, &[tables::dead_letter(dead_letter), fixture.mailbox().inbox_key(next)]);
    assert_eq!((fixture.shard.dead_letters.count(), fixture.shard.dead_letters.revived()), (0, 1));
    seen
}

fn expired(fixture: &Fixture) -> Seen {
    let position = fixture.sent(1);
    let _outcome = fixture.waits_for(position);
    let expires = Expires { at: fixture.shard.clock.steady(), then: Some(Expiry::Drop) };
    let envelope = fixture.envelope(&fixture.here, 1);
    let expiring = expiring_in(fixture.mailbox(), position, expires, &envelope);
    let transaction = Transaction::upkeep(&fixture.shard).with(Expired::waiting(fixture.mailbox(), vec![expiring]));
    let seen = fixture.see(transaction, &[fixture.mailbox().inbox_key(position)]);
    assert!(fixture.shard.expiries.dropped(MessageId(1)).is_some() && fixture.shard.waiting() == 0);
    seen
}

fn marked(fixture: &Fixture) -> Seen {
    let position = fixture.sent(1);
    let record = Failures { alone: true, ..Failures::default() }.encode();
    let marked = Attempts::noted(fixture.mailbox(), position, record);
    fixture.see(fixture.transaction().with(marked), &[fixture.mailbox().attempts_key(position)])
}

fn timer_set(fixture: &Fixture) -> Seen {
    let shard = &fixture.shard;
    let set = |id| {
        let origin = Origin::plain(MessageId(id), shard.clock.wall());
        let schedule = crate::timer::Schedule::after(Duration::from_secs(60));
        let (address, by) = (fixture.here.address(), crate::timer::KnownBy::Itself);
        let new =
            crate::engine::new_timers::new_timer(shard, Here::TYPE, address, origin, &Ping, schedule, by).unwrap();
        let (key, mut changes) = (new.timer.key(), TimerChanges::default());
        changes.set(new);
        (key, changes)
    };
    let (key, changes) = set(1);
    let seen = fixture.see(fixture.transaction().with(Timers::of_turn(changes).unwrap()), &[key]);
    assert_eq!(shard.timers.len(), 1);
    let one_more = fixture.transaction().with(Timers::from_outside(set(2).1, 1));
    let permit = one_more.try_reserve().unwrap();
    assert!(one_more.commit(permit).is_err_and(|why| matches!(why, Refused::TimersFull(_))), "the limit");
    seen
}

fn answered(fixture: &Fixture) -> Seen {
    let (envelope, request) = fixture.keyed(1);
    let send = Send::new(&fixture.here, Handling::default(), envelope);
    fixture.commit(fixture.transaction().with(send));
    let mailbox = fixture.mailbox();
    let next = mailbox.lock().next(mailbox, fixture.shard.view(), |_, _| true, || 0);
    let Looked::Follow(Next::Deliver { position, body, .. }, _) = next else { panic!("it waits") };
    let (header, payload) = Header::decode(&body).unwrap();
    let content = Content::of(mailbox.actor_type.message(Ping::NAME), &header, payload);
    let reply = Bytes::from_static(b"yes");
    let answered = Answered::of(&fixture.shard, mailbox, &header, Some(content), Some(&reply)).unwrap();
    let done = Done::new(mailbox, position, &header, body.len(), Some(reply));
    let keys = [mailbox.inbox_key(position), tables::request(mailbox.partition, mailbox.id(), request.0)];
    fixture.see(fixture.transaction().with(done).with(answered), &keys)
}

fn keys_expire(fixture: &Fixture) -> Seen {
    let mailbox = fixture.mailbox();
    let request = RequestId::new(fixture.here.address(), "key");
    let key = crate::message::request::RequestKey { partition: mailbox.partition, mailbox: mailbox.id(), request };
    fixture.commit(fixture.transaction().with(Record::put(key.into(), Bytes::from_static(b"old"))));
    fixture.shard.requests.recovered(key, crate::base::clock::Steady(1));
    fixture.see(Transaction::upkeep(&fixture.shard).with(RequestsExpired::new(9)), &[key.into()])
}

fn pause() -> Paused {
    Paused { reason: PauseReason::Asked("a test".to_owned()), since: Micros(0) }
}

fn paused(fixture: &Fixture) -> Seen {
    let pausing = Supervision::new(fixture.mailbox(), SupervisionChange::Pause(pause()));
    let seen = fixture.see(fixture.transaction().with(pausing), &[fixture.mailbox().supervision_key()]);
    assert!(fixture.mailbox().lock().is_paused(fixture.mailbox()));
    let resuming = Supervision::new(fixture.mailbox(), SupervisionChange::Resume);
    let resumed = fixture.see(fixture.transaction().with(resuming), &[fixture.mailbox().supervision_key()]);
    assert_eq!(resumed.stored, [false], "nothing is left to be said");
    seen
}

fn type_paused(fixture: &Fixture) -> Seen {
    let actor_type = &fixture.shard.actor_types[Here::TYPE];
    let key = tables::supervision(everpost_persistence::Partition(0), mailbox_id(Here::TYPE));
    let seen = fixture.see(fixture.transaction().with(TypePaused::new(actor_type, Some(pause()))), &[key]);
    assert!(actor_type.is_paused());
    seen
}

fn records(fixture: &Fixture) -> Seen {
    let (one, other) = (tables::note(900), tables::note(901));
    fixture.commit(fixture.transaction().with(Record::put(other, Bytes::from_static(b"x"))));
    let transaction =
        fixture.transaction().with(Record::put(one, Bytes::from_static(b"y"))).with(Record::delete(other));
    fixture.see(transaction, &[one, other])
}

fn arrivals(fixture: &Fixture) -> Seen {
    let Route::Remote(remote) = &fixture.there else { panic!("it lives elsewhere") };
    let (mailbox, store) = (Arc::clone(fixture.mailbox()), everpost_persistence::ShardId(7));
    let lane = Lane { receiver_type: 5, partition: mailbox.partition.0 };
    let receiving = fixture.shard.cluster.producer(store);
    let mut receiving = receiving.lock().unwrap_or_else(PoisonError::into_inner);
    let receiving: &mut Receiving = &mut receiving;
    receiving.receive(lane, Sequence(0), Sequence(3)).unwrap();
    let mut arrived = vec![Arriving {
        place: Some((lane, Sequence(0), Sequence(3))),
        flags: 0,
        id: MessageId(1),
        keep_reply: false,
        handling: Handling::default(),
        mailbox: Arc::clone(&mailbox),
        envelope: fixture.envelope(&fixture.here, 1),
    }];
    let next = Position(fixture.shard.store.durable().0 + 1);
    let keys = [mailbox.inbox_key(next), tables::received(mailbox.partition, store, lane.receiver_type)];
    let mailboxes = [mailbox];
    let arrivals = Arrivals::new(&remote.peer, store, receiving, &mut arrived, &mailboxes);
    let seen = fixture.see(Transaction::node(&fixture.shard).with(arrivals), &keys);
    assert!(arrived.is_empty() && fixture.shard.waiting() == 1);
    seen
}

/// A message in the outbox.
fn departed(fixture: &Fixture) -> (Position, Key) {
    let send = Send::new(&fixture.there, Handling::default(), fixture.envelope(&fixture.there, 1));
    let position = fixture.commit(fixture.transaction().with(send)).position;
    let Route::Remote(remote) = &fixture.there else { panic!("it lives elsewhere") };
    (position, crate::shard::expiring::outbox_key(remote.lane, position))
}

fn delivered(fixture: &Fixture) -> Seen {
    let (position, key) = departed(fixture);
    let Route::Remote(remote) = &fixture.there else { panic!("it lives elsewhere") };
    let (receiver, lane) = (everpost_persistence::ShardId(9), remote.lane);
    let settled = [(lane, Sequence(position.0))];
    let cursor = tables::acknowledged(everpost_persistence::Partition(lane.partition), receiver, lane.receiver_type);
    let delivered = Delivered::new(receiver, &settled, Vec::new());
    fixture.see(Transaction::upkeep(&fixture.shard).with(delivered), &[key, cursor])
}

fn withdrawn(fixture: &Fixture) -> Seen {
    let (position, key) = departed(fixture);
    let Route::Remote(remote) = &fixture.there else { panic!("it lives elsewhere") };
    let place = Waits::Outbox(Arc::clone(&remote.peer), remote.lane);
    let (id, then) = (MessageId(1), Expiry::Drop);
    let expiring = Expiring { position, place, id, request: None, bytes: 1, then };
    let withdrawn = Withdrawn::dropped(&remote.peer, remote.lane, vec![expiring]);
    let seen = fixture.see(Transaction::upkeep(&fixture.shard).with(withdrawn), &[key]);
    assert_eq!(remote.peer.outgoing().backlog().messages, 0);
    seen
}

/// A commit that is refused leaves everything as it is, whichever of its effects does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn effects_commit_together_or_not_at_all() {
    let fixture = Fixture::new();
    let (durable, envelope) = (fixture.shard.store.durable(), fixture.envelope(&fixture.here, 1));
    let transaction = fixture
        .transaction()
        .with(Send::new(&fixture.here, Handling::default(), envelope))
        .with(Removed::one(Position(77)));
    let permit = transaction.try_reserve().unwrap();
    let Err(refused) = transaction.commit(permit) else { panic!("there is no such dead letter") };
    assert!(matches!(refused, Refused::Gone));
    assert_eq!((fixture.shard.waiting(), fixture.mailbox().lock().rules().is_empty()), (0, true));
    assert_eq!(fixture.shard.store.durable(), durable, "nothing was submitted");
}
