//! What others can make a node say is bounded, however often they come and whatever they say.

use std::net::{Ipv4Addr, SocketAddr};

use everpost_tests::child::Child;
use everpost_tests::logs::{self, Line};
use everpost_tests::net::Net;
use everpost_tests::net::stop;
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::puppet::Puppet;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Script, Step, Worker, workers_named};
use everpost_transport::hello::ReceiverType;

use crate::strangers::stranger;

/// How many lines one kind of trouble may make within a minute, with some to spare.
const LINES_MAX: usize = 70;

/// They once wrote 70,000 lines in 20 seconds.
#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_come_again_and_again_from_many_addresses_make_a_bounded_number_of_lines_which_say_how_many() {
    logs::keep();
    let west = "flooded-west";
    let net = Net::new(&["flooded-east", west]);
    let node = net.start(west, &Probe::new()).await;
    let listen: SocketAddr = net.seat(west).listen;
    let [.., authority] = &net.seat(west).identity;
    // Each comes from a port of its own, and from one of 60 addresses.
    for round in 0..10 {
        let mut dialing = tokio::task::JoinSet::new();
        for address in 1..=60 {
            let endpoint = stranger(Ipv4Addr::new(127, 0, round, address), authority);
            let connecting = endpoint.connect(listen, west).unwrap();
            dialing.spawn(async move {
                if let Ok(connection) = connecting.await {
                    // TLS alone is content before the other side has looked.
                    let _ = connection.accept_bi().await;
                }
                drop(endpoint);
            });
        }
        soon("they are refused", dialing.join_all()).await;
    }
    let lines = || ["connection refused", "connection lost"].map(|event| logs::lines(west, event));
    eventually("somebody is told of", || !lines()[0].is_empty()).await;
    soon("it stops", node.stop()).await.unwrap();
    for lines in lines() {
        assert!(lines.len() <= 25, "{} lines of 600 attempts", lines.len());
    }
}

/// A hello with 100,000 types once made as many lines, at each attempt.
#[tokio::test(flavor = "multi_thread")]
async fn a_hello_full_of_contradictions_makes_a_bounded_number_of_lines_of_bounded_length() {
    logs::keep();
    let (north, west) = ("contradicting-north", "contradicting-west");
    let net = Net::new(&[north, west]);
    let node = net.start(west, &Probe::new()).await;
    let mut puppet = Puppet::new(net.seat(north), &net.seat(north).identity);
    let name = |number: usize| format!("{number}{}", "x".repeat(if number < 9 { 50_000 } else { 10 }));
    puppet.hello.receiver_types = (0..20_000).map(|number| ReceiverType { name: name(number), placement: 7 }).collect();
    for _ in 0..3 {
        let conversation = puppet.converse(west, net.seat(west).listen).await;
        drop(conversation);
        puppet.run_again();
    }
    // It comes with another store each time, too.
    for _ in 0..20 {
        puppet.hello.run.shard = rand::random();
        let mut conversation = soon("it is let in", puppet.dial(west, net.seat(west).listen)).await.unwrap();
        conversation.go_on(Vec::new()).await;
    }
    let differs = logs::lines(west, "placement differs");
    assert!(differs.len() > 1 && differs.len() <= LINES_MAX, "{} lines", differs.len());
    let stores = logs::lines(west, "peer has a new store");
    assert!(stores.len() > 1 && stores.len() <= 10, "{} lines", stores.len());
    let length = |line: &Line| line.text().len();
    assert!(differs.iter().map(length).max().unwrap() < 6_000, "a name of a peer is in the log as long as it is");
    soon("it stops", node.stop()).await.unwrap();
}

/// The words of a peer once began lines of their own in the log of this node.
#[tokio::test(flavor = "multi_thread")]
async fn words_of_a_peer_begin_no_line_of_their_own_and_are_cut() {
    let (north, west) = ("worded-north", "worded-west");
    let net = Net::new(&[north, west]);
    let mut child = Child::up_pretty(&Setup::seated(net.seat(west)));
    let mut puppet = Puppet::new(net.seat(north), &net.seat(north).identity);
    let evil = "x\n2026-01-01T00:00:00Z ERROR everpost: \u{1b}[31mthe payment was made\r\u{202e}";
    puppet.hello.cluster = evil.repeat(2_000);
    for _ in 0..5 {
        let mut conversation = soon("the handshake ends", puppet.dial(west, net.seat(west).listen)).await.unwrap();
        conversation.refused().await;
    }
    child.tell(&Command::Stop);
    child.wait_for("it stops", |event| *event == Event::Stopped);
    child.end();
    let lines = child.stderr();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("the payment was made")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("peer refused") && told[0].len() < 20_000, "{} bytes: {}", told[0].len(), told[0]);
    assert!(!told[0].contains(['\u{1b}', '\u{202e}']), "{}", told[0]);
}

/// Whoever can send can make messages that are given up on, each with an error in the log.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_one_actor_and_of_many_that_are_given_up_on_make_a_bounded_number_of_lines() {
    logs::keep();
    let name = "giving-up";
    let folder = everpost_tests::folder();
    let node = workers_named(name, folder.path(), &Probe::new()).start().await.unwrap();
    let each = 300_u64;
    for number in 0..each {
        let other = number.to_string();
        for key in ["one", &other] {
            node.actor::<Worker>(key).send(Script::new([Step::Reject])).await.unwrap();
        }
    }
    eventually("all are given up on", || node.statistics().dead_lettered == 2 * each).await;
    let lines = logs::lines(name, "dead letter");
    assert!(lines.iter().any(|line| line.field("actor") == "worker/one"), "its first one is told of");
    assert!(lines.len() > 1 && lines.len() <= LINES_MAX, "{} lines", lines.len());
    stop([node]).await;
}
