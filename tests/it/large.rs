//! Replies, queries and volatile messages that are larger than the other node takes, and queries at their bound: what
//! they are for ends with an error that says so, and nothing else.

use std::time::Duration;

use everpost::{Actor, AskError, Handlers, Message, NodeConfig, QueryError, QueryHandler, Reason, Refusal, SendError};
use everpost_tests::logs;
use everpost_tests::net::{Net, Seat, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Read, Script, Step, Worker, read, worker};
use serde::{Deserialize, Serialize};

/// The least that a node may be set to.
const SMALL: usize = 1024;
/// More than a small node takes, its allowance for headers included.
const LARGE: usize = 200_000;

/// Answers how long a query is.
struct Measuring;

#[derive(Serialize, Deserialize, Message)]
#[message(name = "how_long", reply = usize)]
struct HowLong(Vec<u8>);

impl Actor for Measuring {
    const TYPE: &'static str = "measuring";
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on_query::<HowLong>();
    }
}

impl QueryHandler<HowLong> for Measuring {
    fn answer(&self, (): &(), HowLong(bytes): HowLong) -> usize {
        bytes.len()
    }
}

/// Workers and measuring actors live in the west, quick ones in the east.
fn net(names: [&str; 2]) -> Net {
    let [east, west] = names;
    let config = NodeConfig { attempts_max: 4, ..everpost_tests::config() };
    Net::new(&names).with("worker", &[west]).with("measuring", &[west]).with("quick", &[east]).config(&config)
}

async fn start(seat: &Seat, probe: &std::sync::Arc<Probe>) -> everpost::Node {
    seat.builder(probe).actor(Measuring).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_too_large_for_the_asking_node_is_lost_and_the_asked_handler_runs_once() {
    let mut net = net(["large-reply-east", "large-reply-west"]);
    net.seat_mut("large-reply-east").config.message_bytes_max = SMALL;
    let probe = Probe::new();
    let east = start(net.seat("large-reply-east"), &probe).await;
    let west = start(net.seat("large-reply-west"), &probe).await;
    linked(&[&east, &west]).await;
    // What a worker replies is all that it has.
    let entries = vec![Step::Append(u32::MAX); LARGE / 5];
    west.actor::<Worker>("asked").ask(Script::new(entries)).await.unwrap();

    let ask = vec![Step::Note, Step::Append(7)];
    let asking = east.actor::<Quick>("asking");
    asking.send(Script::new([Step::Ask(worker("asked"), ask)])).await.unwrap();
    settled(&[&east, &west]).await;
    let letters = east.dead_letters().list().await.unwrap();
    assert_eq!((letters.len(), letters[0].reason), (1, Reason::AttemptsSpent), "{letters:?}");
    let lost = AskError::ReplyLost.to_string();
    assert!(letters[0].errors.iter().all(|error| error.contains(&lost)), "{letters:?}");
    assert_eq!(probe.seen().of("worker/asked").len(), 1, "asked once over all attempts");
    assert_eq!(read(&west.actor::<Worker>("asked")).await.entries.len(), LARGE / 5 + 1);

    let outside = soon("it ends", async { east.actor::<Worker>("asked").ask(Script::new([])).await }).await;
    assert!(matches!(outside, Err(AskError::ReplyLost)), "{outside:?}");
    let looked = soon("it ends", async { east.actor::<Worker>("asked").query(Read).await }).await;
    assert!(matches!(&looked, Err(QueryError::Failed(why)) if why.contains("message_bytes_max")), "{looked:?}");
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_or_volatile_message_too_large_for_the_other_node_is_refused_and_the_link_goes_on() {
    logs::keep();
    let mut net = net(["large-query-east", "large-query-west"]);
    net.seat_mut("large-query-west").config.message_bytes_max = SMALL;
    let probe = Probe::new();
    let east = start(net.seat("large-query-east"), &probe).await;
    let west = start(net.seat("large-query-west"), &probe).await;
    linked(&[&east, &west]).await;
    let measuring = east.actor::<Measuring>("one");
    let refused = soon("it ends", async { measuring.query(HowLong(vec![0; LARGE])).await }).await;
    let by_name = matches!(&refused, Err(QueryError::NotAccepted(Refusal::TooLargeForNode { .. })));
    assert!(by_name, "not lost, which would say that it may be asked again: {refused:?}");
    let dropped = east.actor::<Worker>("one").send_volatile(Script::padded([Step::Append(1)], SMALL));
    let back = matches!(&dropped, Err(SendError::NotAccepted { reason: Refusal::TooLargeForNode { .. }, .. }));
    assert!(back, "{dropped:?}");

    assert_eq!(measuring.query(HowLong(vec![0; 100])).await.unwrap(), 100);
    east.actor::<Worker>("one").send(Script::new([Step::Append(2)])).await.unwrap();
    settled(&[&east, &west]).await;
    assert_eq!(east.actor::<Worker>("one").query(Read).await.unwrap().entries, [2]);
    for node in ["large-query-east", "large-query-west"] {
        assert_eq!(logs::lines(node, "link up").len(), 1, "{node} has never lost the link");
    }
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_of_two_nodes_at_their_bound_do_not_hold_up_each_others_answers() {
    let config = NodeConfig { queries_max: 1, ask_timeout: Duration::from_secs(20), ..everpost_tests::config() };
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]).config(&config);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let (worker, quick) = (east.actor::<Worker>("one"), west.actor::<Quick>("one"));
    let fine = |answer: Result<_, QueryError>| matches!(answer, Ok(_) | Err(QueryError::Lost));
    let both = async {
        for _ in 0..200 {
            let (there, back) = tokio::join!(async { worker.query(Read).await }, async { quick.query(Read).await });
            assert!(fine(there) && fine(back), "answered or lost, and soon");
        }
    };
    tokio::time::timeout(config.ask_timeout, both).await.expect("nobody waits for the other");
    worker.query(Read).await.unwrap();
    stop([east, west]).await;
}
