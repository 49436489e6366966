//! What a store cannot take is found at the start, at the door or on its lane, and never breaks a link: accepted
//! settings once made one that was dialed again for ever.

use std::time::Duration;

use everpost::{AskError, NodeConfig, Refusal, SendError, StartError, StoreConfig};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, read};

/// Settings of a node with a small journal, and all else as by default.
fn small_journal(journal_map_bytes: u64) -> NodeConfig {
    let store = StoreConfig { journal_map_bytes, ..StoreConfig::default() };
    NodeConfig { store, attempts_max: 2, ..everpost_tests::config() }
}

fn padded(step: Step, bytes: usize) -> Script {
    Script::padded([step], bytes)
}

/// The link was made once, and everything else on it goes on.
async fn the_link_stands(east: &everpost::Node, west_name: &str) {
    for number in 0..20 {
        let other = east.actor::<Worker>(&format!("other {number}"));
        let asked = other.ask(Script::new([Step::Append(1)])).timeout(Duration::from_secs(100));
        assert_eq!(soon("others are answered", async { asked.await }).await.unwrap(), [1]);
    }
    assert_eq!(logs::lines(west_name, "link up").len(), 1, "the link is as it was");
    assert!(logs::lines(west_name, "link down").iter().all(|line| line.field("reason").contains("has not made")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_the_store_of_the_other_node_does_not_take_is_refused_at_the_door() {
    logs::keep();
    let mut net = Net::new(&["fits-a-east", "fits-a-west"]).with("worker", &["fits-a-west"]);
    net.seat_mut("fits-a-west").config = small_journal(128 << 20);
    let probe = Probe::new();
    let (east, west) = (net.start("fits-a-east", &probe).await, net.start("fits-a-west", &probe).await);
    linked(&[&east, &west]).await;
    let limit = small_journal(128 << 20).message_bytes_limit();
    let one = east.actor::<Worker>("one");
    let refused = one.send(padded(Step::Append(1), 10 << 20)).await.unwrap_err();
    let SendError::NotAccepted { reason: Refusal::TooLargeForNode { node, bytes_max, .. }, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((node.as_str(), bytes_max), ("fits-a-west", limit));
    one.send(padded(Step::Append(2), limit - 1000)).await.unwrap();
    the_link_stands(&east, "fits-a-west").await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.entries, [2]);
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_accepted_too_early_holds_up_its_lane_only_and_its_asker_is_told() {
    logs::keep();
    let mut net = Net::new(&["fits-b-east", "fits-b-west"]).with("worker", &["fits-b-west"]);
    net.seat_mut("fits-b-west").config = small_journal(4 << 20);
    let probe = Probe::new();
    let east = net.start("fits-b-east", &probe).await;
    let large = east.actor::<Worker>("large");
    let asking =
        tokio::spawn(
            async move { large.ask(padded(Step::Append(1), 1 << 20)).timeout(Duration::from_secs(100)).await },
        );
    eventually("it is in the outbox", || east.statistics().outbox == 1).await;
    let west = net.start("fits-b-west", &probe).await;
    let told = soon("the asker is told", asking).await.unwrap().unwrap_err();
    let AskError::Undeliverable(reason) = told else { panic!("{told:?}") };
    let limit = small_journal(4 << 20).message_bytes_limit().to_string();
    assert!(reason.contains("fits-b-west") && reason.contains(&limit), "{reason}");
    let line = logs::line("fits-b-east", "message too large for the peer", "message_bytes_max").await;
    assert_eq!((line.field("peer"), line.field("bytes_max")), ("fits-b-west", limit.as_str()));
    the_link_stands(&east, "fits-b-west").await;
    stop([west]).await;
    net.seat_mut("fits-b-west").config = small_journal(1 << 30);
    let west = net.start("fits-b-west", &probe).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("large")).await.entries, [1]);
    stop([east, west]).await;
}

/// What is read from the link at once was stored at once, which was more than such a store takes.
#[tokio::test(flavor = "multi_thread")]
async fn many_messages_to_a_node_with_a_small_journal_arrive_over_one_link() {
    logs::keep();
    let mut net = Net::new(&["fits-c-east", "fits-c-west"]).with("worker", &["fits-c-west"]);
    net.seat_mut("fits-c-west").config = small_journal(4 << 20);
    let probe = Probe::new();
    let east = net.start("fits-c-east", &probe).await;
    for number in 0..60 {
        let actor = east.actor::<Worker>(&(number % 7).to_string());
        drop(
            actor
                .send(padded(Step::Append(number), if number % 3 == 0 { 100 } else { 100_000 }))
                .submit()
                .await
                .unwrap(),
        );
    }
    let west = net.start("fits-c-west", &probe).await;
    settled(&[&east, &west]).await;
    let mut entries = Vec::new();
    for key in 0..7 {
        entries.extend(read(&west.actor::<Worker>(&key.to_string())).await.entries);
    }
    entries.sort_unstable();
    assert_eq!(entries, (0..60).collect::<Vec<_>>());
    assert_eq!(logs::lines("fits-c-west", "link up").len(), 1);
    stop([east, west]).await;
}

/// Its dead letter is larger than the message: it did not fit, and the message was tried again without a pause, for
/// ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_that_is_taken_can_be_given_up_on_and_replayed() {
    let folder = everpost_tests::folder();
    let config = small_journal(4 << 20);
    let limit = config.message_bytes_limit();
    let probe = Probe::new();
    let node = everpost_tests::worker::workers(folder.path(), &probe).config(config).start().await.unwrap();
    let actor = node.actor::<Worker>("one");
    let refused = actor.send(padded(Step::FailUpTo(9), limit)).await.unwrap_err();
    let SendError::NotAccepted { reason: Refusal::MessageTooLarge { bytes, bytes_max }, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(bytes_max, limit);
    actor.send(padded(Step::FailUpTo(9), limit - (bytes - limit))).await.unwrap();
    eventually("it is given up on", || node.dead_letters().count() == 1).await;
    soon("that is durable", node.drained()).await.unwrap();
    let letter = node.dead_letters().list().await.unwrap().remove(0);
    assert_eq!(letter.attempts, 2);
    node.dead_letters().replay(letter.sequence).await.unwrap();
    eventually("it is given up on again", || node.dead_letters().count() == 1 && node.statistics().dead_lettered == 2)
        .await;
    stop([node]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_size_that_the_store_does_not_take_refuses_the_start_with_both_numbers_and_the_remedy() {
    let folder = everpost_tests::folder();
    let config = NodeConfig { message_bytes_max: 1 << 20, ..small_journal(4 << 20) };
    let error = everpost_tests::worker::workers(folder.path(), &Probe::new()).config(config).start().await.unwrap_err();
    assert!(matches!(error, StartError::Config(_)), "{error}");
    let text = error.to_string();
    let named = ["message_bytes_max", "1048576", "122624", "`store.journal_map_bytes` to at least"];
    assert!(named.iter().all(|word| text.contains(word)), "{text}");
}
