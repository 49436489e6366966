//! Where actors live: nodes that do not agree, types that a node does not have, and data that would be stranded.

use std::time::Duration;

use everpost::{Node, NodeConfig, StartError, StopError};
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::eventually;
use everpost_tests::worker::{Quick, Script, Step, Worker, read};

fn count(number: u32) -> Script {
    Script::new([Step::Count(number)])
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_whose_placement_of_a_type_differs_stop_that_type_and_lose_nothing() {
    logs::keep();
    let (east_name, west_name) = ("split-east", "split-west");
    let mut net = Net::new(&[east_name, west_name]).with("worker", &[west_name]).with("quick", &[west_name]);
    let probe = Probe::new();
    // The west believes that workers live on both; none of those that the east sends to are its own by both.
    net.seat_mut(west_name).place("worker", &[east_name, west_name]);
    let (mut east, west) = (net.start(east_name, &probe).await, net.start(west_name, &probe).await);
    linked(&[&east, &west]).await;
    for key in 0..20 {
        for number in 1..=5 {
            east.actor::<Worker>(&key.to_string()).send(count(number)).await.unwrap();
            east.actor::<Quick>(&key.to_string()).send(count(number)).await.unwrap();
        }
    }
    for (node, peer) in [(east_name, west_name), (west_name, east_name)] {
        let line = logs::line_on(node, "placement differs", peer, "worker").await;
        assert_eq!((line.level, line.field("actor_type")), (tracing::Level::ERROR, "worker"));
    }
    eventually("the other type goes on", || east.statistics().outbox == 100).await;
    // A restart of the sender changes nothing.
    stop([east]).await;
    east = net.start(east_name, &probe).await;
    linked(&[&east, &west]).await;
    for key in 0..20 {
        east.actor::<Quick>(&key.to_string()).send(count(6)).await.unwrap();
    }
    eventually("the other type goes on", || east.statistics().outbox == 100).await;
    stop([west]).await;

    net.seat_mut(west_name).place("worker", &[west_name]);
    let west = net.start(west_name, &probe).await;
    settled(&[&east, &west]).await;
    for key in 0..20 {
        let log = read(&west.actor::<Worker>(&key.to_string())).await;
        assert_eq!((log.count, log.last, log.jumps), (5, 5, 0));
        let log = read(&west.actor::<Quick>(&key.to_string())).await;
        assert_eq!((log.count, log.last, log.jumps), (6, 6, 0));
    }
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_type_that_the_other_node_does_not_have_wait_until_it_has() {
    logs::keep();
    let (east_name, west_name) = ("rich-east", "poor-west");
    let net = Net::new(&[east_name, west_name]).with("worker", &[west_name]).with("quick", &[west_name]);
    let probe = Probe::new();
    let east = net.start(east_name, &probe).await;
    let seat = net.seat(west_name);
    let poor = Node::builder(west_name, &seat.folder).config(seat.config.clone()).cluster(seat.cluster());
    let poor = poor.actor(Quick::new(&probe)).start().await.unwrap();
    east.actor::<Worker>("one").send(count(1)).await.unwrap();
    let asked = async { east.actor::<Quick>("one").ask(Script::new([Step::Append(1)])).await };
    assert_eq!(everpost_tests::wait::soon("others go on", asked).await.unwrap(), [1]);
    eventually("the others are acknowledged", || east.statistics().outbox == 1).await;
    stop([poor]).await;
    let west = net.start(west_name, &probe).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&west.actor::<Worker>("one")).await.count, 1);
    stop([east, west]).await;
}

/// What a start says of a store that holds what belongs elsewhere.
async fn stranded(net: &Net, name: &str) -> (usize, &'static str, String, String) {
    let refused = net.seat(name).builder(&Probe::new()).start().await.expect_err("it does not start");
    let StartError::Stranded { node, records, what, actor_type, owner } = refused else { panic!("{refused:?}") };
    assert_eq!(node, name);
    (records, what, actor_type, owner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_would_strand_what_is_stored_refuses_to_start_and_says_what() {
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    let mut net = Net::new(&["east", "north", "west"]).with("worker", &["west"]).config(&config);
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    // States and a waiting message in the west; messages on their way in the east.
    west.actor::<Worker>("kept").ask(count(1)).await.unwrap();
    west.actor::<Worker>("slow").send(Script::new([Step::Reach(0), Step::Wait(0)])).await.unwrap();
    probe.reached(0, 1).await;
    west.actor::<Worker>("slow").send(count(1)).await.unwrap();
    assert!(matches!(west.stop().await, Err(StopError::CutOff(1))));
    drop(west);
    for number in 1..=3 {
        east.actor::<Worker>("owed").send(count(number)).await.unwrap();
    }
    stop([east]).await;

    for name in ["east", "west", "north"] {
        net.seat_mut(name).place("worker", &["north"]);
    }
    assert_eq!(stranded(&net, "west").await, (2, "waiting messages", "worker".to_owned(), "north".to_owned()));
    // What is on its way has not left: it goes where it belongs now.
    let north = net.start("north", &probe).await;
    let east = net.start("east", &probe).await;
    settled(&[&east, &north]).await;
    let log = read(&north.actor::<Worker>("owed")).await;
    assert_eq!((log.count, log.last, log.jumps), (3, 3, 0));
    stop([east, north]).await;

    // With the list as it was, everything is there.
    for name in ["east", "west", "north"] {
        net.seat_mut(name).place("worker", &["west"]);
    }
    assert_eq!(stranded(&net, "north").await, (1, "states", "worker".to_owned(), "west".to_owned()));
    probe.open(0);
    let west = net.start("west", &probe).await;
    settled(&[&west]).await;
    assert_eq!(read(&west.actor::<Worker>("slow")).await.count, 1);
    assert_eq!(read(&west.actor::<Worker>("kept")).await.count, 1);
    west.actor::<Worker>("kept").ask(Script::new([Step::Forget])).await.unwrap();
    stop([west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_this_node_owes_itself_by_a_new_configuration_refuse_to_start() {
    let mut net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let east = net.start("east", &Probe::new()).await;
    for number in 1..=3 {
        east.actor::<Worker>("owed").send(count(number)).await.unwrap();
    }
    stop([east]).await;
    net.seat_mut("east").place("worker", &["east"]);
    assert_eq!(stranded(&net, "east").await, (3, "messages on their way", "worker".to_owned(), "east".to_owned()));
}
