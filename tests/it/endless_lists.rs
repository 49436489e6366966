//! A list says in its bytes how many elements it has, and elements without bytes cost nothing but time: ten bytes of a
//! peer said that there are 2^64 of them, and kept a thread of this node busy for ever.

use std::time::Duration;

use everpost::{
    Actor, AskError, Durable, Failure, Handler, Handlers, Message, QueryError, QueryHandler, Reason, Refusal, Turn,
    UpgradeError,
};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::wait::{eventually, soon};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

/// What is written as a list of 2^64 - 1 elements, without any.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::MAX)
    }
}

/// The types of the node that sends them, and of the one that takes them for lists.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "list", reply = u32)]
struct SentList(Endless);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "list", reply = u32)]
struct List(Vec<()>);

#[derive(Serialize, Deserialize, Message)]
#[message(name = "give", reply = Vec<()>)]
struct Ask;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "give", reply = Endless)]
struct Give;

/// A message whose upgrade panics, at its older version and at the present one.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "old", reply = u32)]
struct Old;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "old", version = 2, upgrade = panics, reply = u32)]
struct New;

fn panics(_: u16, _: &[u8]) -> Result<New, UpgradeError> {
    panic!("told to panic in the upgrade")
}

struct Sending;

impl Actor for Sending {
    const TYPE: &'static str = "lists";
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<SentList>();
        handlers.on::<Ask>();
        handlers.on::<Old>();
        handlers.on_query::<SentList>();
        handlers.on_query::<Ask>();
        handlers.on_query::<Old>();
    }
}

struct Taking;

impl Actor for Taking {
    const TYPE: &'static str = "lists";
    type State = u32;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<List>();
        handlers.on::<Give>();
        handlers.on::<New>();
        handlers.on_query::<List>();
        handlers.on_query::<Give>();
        handlers.on_query::<New>();
    }
}

/// Handles and answers a message of an actor with this.
macro_rules! with {
    ($($actor:ty, $message:ty => $reply:expr;)+) => {
        $(impl Handler<$message> for $actor {
            async fn handle(
                &self,
                _: &mut Durable<u32>,
                _: $message,
                _: &mut Turn<'_>,
            ) -> Result<<$message as Message>::Reply, Failure> {
                Ok($reply)
            }
        }

        impl QueryHandler<$message> for $actor {
            fn answer(&self, _: &u32, _: $message) -> <$message as Message>::Reply {
                $reply
            }
        })+
    };
}

with! {
    Sending, SentList => 0;
    Sending, Ask => Vec::new();
    Sending, Old => 0;
    Taking, List => 0;
    Taking, Give => Endless;
    Taking, New => 0;
}

const LONG: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn endless_lists_of_a_peer_in_messages_queries_replies_and_answers_are_refused_and_the_link_goes_on() {
    let (east, west) = ("lists-east", "lists-west");
    let net = Net::new(&[east, west]).with("lists", &[west]);
    let sending = net.seat(east).bare().actor(Sending).start().await.unwrap();
    let taking = net.seat(west).bare().actor(Taking).start().await.unwrap();
    linked(&[&sending, &taking]).await;
    let lists = sending.actor::<Sending>("one");

    let query = soon("the query ends", lists.query(SentList(Endless)).timeout(LONG)).await;
    let Err(QueryError::NotAccepted(Refusal::NotHandled { .. })) = query else { panic!("{query:?}") };
    let answer = soon("the answer ends", lists.query(Ask).timeout(LONG)).await;
    assert!(matches!(answer, Err(QueryError::Answer(_))), "{answer:?}");
    let reply = soon("the reply ends", lists.ask(Ask).timeout(LONG)).await;
    assert!(matches!(reply, Err(AskError::Reply(_))), "{reply:?}");
    lists.send(SentList(Endless)).await.unwrap();
    eventually("it is given up on", || taking.statistics().dead_lettered == 1).await;
    let letters = taking.dead_letters().list().await.unwrap();
    assert_eq!(letters[0].reason, Reason::Rejected);
    assert!(letters[0].errors.iter().any(|error| error.contains("more elements than there are bytes")), "{letters:?}");

    stop([sending, taking]).await;
}

/// It once failed the whole link of whoever asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_panics_fails_its_query_and_its_message_and_nothing_else() {
    let (east, west) = ("upgrade-east", "upgrade-west");
    let net = Net::new(&[east, west]).with("lists", &[west]);
    let sending = net.seat(east).bare().actor(Sending).start().await.unwrap();
    let taking = net.seat(west).bare().actor(Taking).start().await.unwrap();
    linked(&[&sending, &taking]).await;
    let lists = sending.actor::<Sending>("one");

    // More often than the restart budget of an actor allows.
    for _ in 0..12 {
        match soon("the query ends", lists.query(Old).timeout(LONG)).await {
            Err(QueryError::Failed(error)) => assert!(error.contains("told to panic in the upgrade"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((taking.statistics().failed, taking.paused()), (0, vec![]), "nothing was counted");
    assert!(sending.is_linked_to(west));
    let asked = soon("the message ends", lists.ask(Old).timeout(LONG)).await;
    assert!(
        matches!(&asked, Err(AskError::GivenUp(error)) if error.contains("told to panic in the upgrade")),
        "{asked:?}"
    );
    assert!(sending.is_linked_to(west));
    stop([sending, taking]).await;
}
