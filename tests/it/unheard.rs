//! Whoever reads the logs may go away, or stop reading: the node goes on.

use everpost_tests::child::Child;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::wait::eventually;
use everpost_tests::worker::{Script, Step, Worker, read, worker};
use serde_json::Value;

fn drain(child: &mut Child) {
    child.tell(&Command::Drain);
    child.wait_for("it drains", |event| *event == Event::Drained);
}

fn stop_child(child: &mut Child) {
    child.tell(&Command::Stop);
    child.wait_for("it stops", |event| *event == Event::Stopped);
    let (status, _) = child.end();
    assert!(status.success(), "{status}");
}

/// Each line used to panic: a retry hung its actor type, a link never came back, and a stop failed.
#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_to_read_its_logs_a_node_retries_links_gives_up_and_stops() {
    let net = Net::new(&["east", "west"]).with("worker", &["west"]);
    let probe = Probe::new();
    let mut west = Child::up_unheard(&Setup { logs: true, ..Setup::seated(net.seat("west")) });
    let east = net.start("east", &probe).await;
    eventually("they are linked", || east.is_linked_to("west")).await;
    west.tell(&Command::Send(vec![
        (worker("fails"), vec![Step::FailUpTo(5), Step::Reach(1)]),
        (worker("panics"), vec![Step::PanicUpTo(3), Step::Reach(2)]),
        (worker("given up"), vec![Step::Reject]),
    ]));
    let mut reached = Vec::new();
    west.wait_for("both are tried again until they succeed", |event| {
        reached.extend(if let Event::Reached(gate) = event { Some(*gate) } else { None });
        reached.contains(&1) && reached.contains(&2)
    });
    drain(&mut west);
    // The link goes and comes, which the logs would tell.
    stop([east]).await;
    let east = net.start("east", &probe).await;
    eventually("they are linked again", || east.is_linked_to("west")).await;
    let receipt = east.actor::<Worker>("fails").send(Script::new([Step::Append(7)])).submit().await.unwrap();
    receipt.processed().await.unwrap();
    assert_eq!(read(&east.actor::<Worker>("fails")).await.entries, [7]);
    stop_child(&mut west);
    stop([east]).await;
    // Nothing was left behind half done.
    let nodes = net.start_all(&probe).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    stop(nodes).await;
}

/// The node used to stand still as soon as the pipe was full.
#[test]
fn with_a_reader_of_its_logs_that_has_stopped_a_node_goes_on_and_says_what_was_left_out() {
    let folder = everpost_tests::folder();
    let mut child = Child::up_unread(&Setup { logs: true, ..Setup::alone(folder.path()) });
    // Far more lines than a pipe and what may wait have room for; and a panic, which would be told there, too.
    let append = |number: u32| (worker(&(number % 50).to_string()), vec![Step::Append(number)]);
    let panicking = (worker("panics"), vec![Step::PanicUpTo(1), Step::Append(1)]);
    child.tell(&Command::Send((0..5000).map(append).chain([panicking]).collect()));
    drain(&mut child);
    let mut child = child.heard();
    // What is said from now on can be read again.
    child.tell(&Command::Send(vec![append(1)]));
    drain(&mut child);
    stop_child(&mut child);
    let lines = child.stderr();
    let logs: Vec<Value> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let left_out = logs.iter().find(|log| log["event"] == "log lines left out");
    let left_out = left_out.unwrap_or_else(|| panic!("{} lines", logs.len()))["lines"].as_u64().unwrap();
    assert!(left_out > 0, "{left_out}");
    // How many were left out may be told after them.
    let last = logs.iter().rfind(|log| log["event"] != "log lines left out");
    assert_eq!(last.unwrap()["event"], "stopped", "the last lines were lost");
}
