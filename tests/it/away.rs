//! Asks across nodes: replies, retries, restarts of either side, circles, and what is out of reach.

use std::time::Duration;

use everpost::{AskError, NodeConfig, QueryError, Refusal, StopError};
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::wait::{eventually, soon};
use everpost_tests::worker::{Quick, Read, Script, Step, Target, Worker, quick, read, worker};

const GATE: u32 = 0;

/// Workers live in the west, quick ones in the east; a stop cuts off what runs.
fn net() -> Net {
    let config = NodeConfig { stop_timeout: Duration::from_millis(10), ..everpost_tests::config() };
    Net::new(&["east", "west"]).with("worker", &["west"]).with("quick", &["east"]).config(&config)
}

/// Stops a node in the middle of its turns.
async fn cut_off(node: everpost::Node) {
    let stopped = soon("it stops", node.stop()).await;
    assert!(matches!(stopped, Ok(()) | Err(StopError::CutOff(_))), "{stopped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_asks_another_node_gets_the_reply_and_the_asked_handler_runs_once_over_its_retries() {
    let net = net();
    let probe = Probe::new();
    let nodes = net.start_all(&probe).await;
    let ask = vec![Step::Note, Step::Append(7)];
    let steps = [Step::Ask(worker("asked"), ask), Step::FailUpTo(2), Step::PanicUpTo(4), Step::Append(9)];
    let asking = nodes[0].actor::<Quick>("asking");
    let reply = soon("it ends", async { asking.ask(Script::new(steps)).await }).await.unwrap();
    assert_eq!(reply, [7, 9]);
    let notes = probe.seen().of("worker/asked");
    assert_eq!(notes.len(), 1, "asked once: {notes:?}");
    assert_eq!(notes[0].sender.as_deref(), Some("quick/asking"));
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    assert_eq!(read(&nodes[0].actor::<Worker>("asked")).await.entries, [7]);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asked_handler_runs_once_although_either_node_is_restarted() {
    for restarted in ["east", "west"] {
        let net = net();
        let probe = Probe::new();
        let (mut east, mut west) = (net.start("east", &probe).await, net.start("west", &probe).await);
        // Before the ask is answered, and after.
        let ask = vec![Step::Reach(1), Step::Wait(1), Step::Note, Step::Append(7)];
        let ask = Step::Ask(worker("asked"), ask);
        let steps = [ask, Step::Reach(2), Step::Wait(2), Step::FailUpTo(1), Step::Append(9)];
        east.actor::<Quick>("asking").send(Script::new(steps)).await.unwrap();
        for gate in [1, 2] {
            for _ in 0..2 {
                let reached = probe.seen().times(gate);
                probe.reached(gate, reached.max(1)).await;
                if restarted == "east" {
                    cut_off(east).await;
                    east = net.start("east", &probe).await;
                } else {
                    cut_off(west).await;
                    west = net.start("west", &probe).await;
                }
                linked(&[&east, &west]).await;
            }
            probe.open(gate);
        }
        settled(&[&east, &west]).await;
        assert_eq!(read(&west.actor::<Worker>("asked")).await.entries, [7], "{restarted} was restarted");
        assert_eq!(read(&east.actor::<Quick>("asking")).await.entries, [7, 9], "{restarted} was restarted");
        assert_eq!(probe.seen().of("worker/asked").len(), 1, "{restarted} was restarted");
        stop([east, west]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_from_outside_gets_its_reply_or_learns_that_it_is_lost_when_the_asked_node_is_restarted() {
    let net = net();
    let probe = Probe::new();
    let (east, mut west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    let mut sent = 0;
    for gate in 0..4 {
        sent += 1;
        let asked = tokio::spawn({
            let actor = east.actor::<Worker>("asked");
            let steps = [Step::Append(sent), Step::Reach(gate), Step::Wait(gate)];
            async move { actor.ask(Script::new(steps)).await }
        });
        probe.reached(gate, 1).await;
        // Cut off in its turn, or as it ends.
        if gate % 2 == 0 {
            cut_off(west).await;
            probe.open(gate);
        } else {
            probe.open(gate);
            cut_off(west).await;
        }
        west = net.start("west", &probe).await;
        match soon("the ask ends", asked).await.unwrap() {
            Ok(reply) => assert_eq!(reply, (1..=sent).collect::<Vec<_>>()),
            // It was handled before the east could ask for it.
            Err(error) => assert!(matches!(error, AskError::ReplyLost), "{gate}: {error}"),
        }
        settled(&[&east, &west]).await;
        assert_eq!(read(&west.actor::<Worker>("asked")).await.entries, (1..=sent).collect::<Vec<_>>());
    }
    stop([east, west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ask_that_is_given_up_on_elsewhere_fails_the_asking_turn() {
    let config = NodeConfig { attempts_max: 3, ..everpost_tests::config() };
    let net = net().config(&config);
    let nodes = net.start_all(&Probe::new()).await;
    let asking = nodes[0].actor::<Quick>("asking");
    let steps = [Step::Ask(worker("asked"), vec![Step::Reject])];
    // Far below the ask timeout of 30 seconds: an attempt that waits for it is one that does not know.
    let outcome = asking.ask(Script::new(steps)).timeout(Duration::from_secs(10)).await;
    assert!(matches!(outcome, Err(AskError::GivenUp(_))), "{outcome:?}");
    let outcome = nodes[0].actor::<Worker>("asked").ask(Script::new([Step::Reject])).await;
    assert!(matches!(&outcome, Err(AskError::GivenUp(why)) if why.contains("told to reject")), "{outcome:?}");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circle_of_asks_over_nodes_fails_at_once() {
    let net = net();
    let nodes = net.start_all(&Probe::new()).await;
    let ask = |to: Target, steps: Vec<Step>| Step::TryAsk(to, steps);
    // The node's ask timeout is far longer than the test may take.
    let circles = [
        ("a", vec![ask(worker("b"), vec![ask(quick("a"), vec![])])]),
        ("c", vec![ask(worker("d"), vec![ask(worker("e"), vec![ask(quick("c"), vec![])])])]),
        ("f", vec![ask(worker("g"), vec![ask(quick("h"), vec![ask(worker("g"), vec![])])])]),
    ];
    for (key, steps) in circles {
        let asked = nodes[0].actor::<Quick>(key).ask(Script::new(steps)).timeout(Duration::from_secs(10)).await;
        asked.unwrap_or_else(|error| panic!("{key}: {error}"));
    }
    let refused = [
        (read(&nodes[1].actor::<Worker>("b")).await, "quick/a"),
        (read(&nodes[1].actor::<Worker>("e")).await, "quick/c"),
        (read(&nodes[0].actor::<Quick>("h")).await, "worker/g"),
    ];
    for (log, to) in refused {
        let error = String::from_utf8(log.ballast).unwrap();
        assert_eq!(error, AskError::WouldDeadlock { to: to.to_owned() }.to_string());
    }
    // Two that ask a third, and one that asks twice, are no circle.
    let shared = || Step::Ask(worker("shared"), vec![Step::Append(1)]);
    nodes[0].actor::<Quick>("x").ask(Script::new([shared(), shared(), shared()])).await.unwrap();
    assert_eq!(read(&nodes[1].actor::<Worker>("shared")).await.entries, [1, 1, 1]);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_reaches_other_nodes_and_says_when_it_cannot() {
    let net = net();
    let probe = Probe::new();
    let (east, west) = (net.start("east", &probe).await, net.start("west", &probe).await);
    linked(&[&east, &west]).await;
    let actor = east.actor::<Worker>("one");
    assert!(read(&actor).await.entries.is_empty());
    for number in 1..=50 {
        actor.ask(Script::new([Step::Append(number)])).await.unwrap();
        assert_eq!(read(&actor).await.entries.len(), number as usize);
    }
    // One that waits for a turn is lost with the link.
    actor.send(Script::new([Step::Reach(GATE), Step::Wait(GATE)])).await.unwrap();
    probe.reached(GATE, 1).await;
    let waiting = tokio::spawn({
        let actor = actor.clone();
        async move { actor.query(Read).await }
    });
    let late = actor.query(Read).timeout(Duration::from_millis(20)).await;
    assert!(matches!(late, Err(QueryError::Timeout(_))), "{late:?}");
    cut_off(west).await;
    let lost = soon("the query ends", waiting).await.unwrap();
    assert!(matches!(lost, Err(QueryError::Lost)), "{lost:?}");
    eventually("the link is down", || !east.is_linked_to("west")).await;
    let refused = actor.query(Read).await;
    assert!(
        matches!(&refused, Err(QueryError::NotAccepted(Refusal::NoLink { node })) if node == "west"),
        "{refused:?}"
    );
    probe.open(GATE);
    let west = net.start("west", &probe).await;
    linked(&[&east, &west]).await;
    settled(&[&east, &west]).await;
    assert_eq!(read(&actor).await.entries.len(), 50);
    stop([east, west]).await;
}
