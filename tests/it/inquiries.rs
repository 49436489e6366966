//! What became of messages, asked long after the fact: each inquiry went through the mailbox and all dead letters, on
//! the task that hears acknowledgements.

use everpost::{Node, ProcessedError, Receipt};
use everpost_tests::net::{Net, linked, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Script, Step, Worker};

const GATE: u32 = 0;
/// Of each of two kinds.
const RECEIPTS: usize = 4000;

async fn submit(node: &Node, key: &str, step: Step) -> Vec<Receipt> {
    let mut receipts = Vec::with_capacity(RECEIPTS);
    for _ in 0..RECEIPTS {
        receipts.push(node.actor::<Worker>(key).send(Script::new([step.clone()])).submit().await.unwrap());
    }
    for receipt in &receipts {
        soon("it is delivered", receipt.delivered()).await.unwrap();
    }
    receipts
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_receipts_after_the_fact_are_answered_with_one_look_while_messages_go_on() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    west.actor::<Worker>("waiting").pause("so that they wait over the restart").await.unwrap();
    let given_up = submit(&east, "given_up", Step::Reject).await;
    let waiting = submit(&east, "waiting", Step::Wait(GATE)).await;
    soon("they are given up on", async {
        while west.dead_letters().count() < RECEIPTS {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Their bodies are in its store only from here on.
    stop([west]).await;
    let west = net.start("west", &probe).await;
    linked(&[&east, &west]).await;
    let before = west.store_statistics().records_read;
    let outcomes: Vec<_> =
        given_up.into_iter().chain(waiting).map(|receipt| tokio::spawn(receipt.processed())).collect();
    let mut both_ways = Vec::new();
    for number in 0..200 {
        let script = || Script::new([Step::Append(number)]);
        both_ways.push(west.actor::<Quick>("back").send(script()).submit().await.unwrap());
        both_ways.push(east.actor::<Worker>("forth").send(script()).submit().await.unwrap());
    }
    for receipt in both_ways {
        soon("acknowledgements go on", receipt.delivered()).await.unwrap();
    }
    probe.open(GATE);
    west.actor::<Worker>("waiting").resume().await.unwrap();
    let (mut handled, mut dead) = (0, 0);
    for outcome in outcomes {
        match soon("each is told", outcome).await.unwrap() {
            Ok(()) => handled += 1,
            Err(ProcessedError::GivenUp(reason)) => {
                assert!(reason.contains("told to reject"), "{reason}");
                dead += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((handled, dead), (RECEIPTS, RECEIPTS));
    let read = west.store_statistics().records_read - before;
    // Each waiting body for its turn, each letter once, and a few looks at the bodies that wait.
    assert!(read < 40 * RECEIPTS as u64, "{read} records were read for {} inquiries", 2 * RECEIPTS);
    stop([east, west]).await;
}
