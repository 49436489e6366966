//! One message can be followed through the logs, from its send to its commit, and a chain of messages by its trace.

use everpost_tests::child::Child;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::worker::{Step, quick, worker};
use serde_json::Value;

/// Runs `steps` in a child that logs JSON; returns the id of the message, and the logs.
fn logs_of(steps: Vec<Step>, attempts_max: u32) -> (String, Vec<Value>) {
    let folder = everpost_tests::folder();
    let mut child = Child::up(&Setup {
        folder: folder.path().into(),
        attempts_max,
        open: true,
        logs: true,
        seat: None,
        waits: false,
    });
    child.tell(&Command::Send(vec![(worker("first"), steps)]));
    let accepted = child.wait_for("it is accepted", |event| matches!(event, Event::Accepted(_)));
    let Event::Accepted(id) = accepted else { unreachable!("it was waited for") };
    child.tell(&Command::Drain);
    child.wait_for("it drains", |event| *event == Event::Drained);
    child.tell(&Command::Stop);
    child.wait_for("it stops", |event| *event == Event::Stopped);
    child.end();
    let lines = child.stderr();
    // A panic writes lines of its own, between those of the logs.
    let logs = lines.iter().filter(|line| line.starts_with('{'));
    let logs = logs.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    (id, logs)
}

#[test]
fn a_message_can_be_followed_from_send_to_commit_by_its_id() {
    let (id, logs) = logs_of(vec![Step::Reach(0), Step::Send(quick("second"), vec![Step::Reach(1)])], 8);
    let text = serde_json::to_string(&logs).unwrap();
    let submitted = find(&logs, "submitted", &id).unwrap_or_else(|| panic!("{text}"));
    assert_eq!((&submitted["node"], &submitted["actor"]), (&"node".into(), &"worker/first".into()));
    assert!(submitted["seq"].is_u64(), "{submitted}");
    let reached = logs.iter().find(|log| log["gate"] == 0).unwrap_or_else(|| panic!("{text}"));
    let turn = &reached["spans"][0];
    assert!(reached["span"].is_null() && reached["spans"][1].is_null(), "each field once: {reached}");
    assert_eq!(
        (&turn["name"], &turn["message_id"], &turn["attempt"]),
        (&"turn".into(), &id.as_str().into(), &1.into())
    );
    assert_eq!((&turn["actor"], &turn["node"]), (&"worker/first".into(), &"node".into()));
    assert_eq!(turn["seq"], submitted["seq"]);
    let committed = find(&logs, "committed", &id).unwrap_or_else(|| panic!("{text}"));
    assert_eq!((&committed["actor"], &committed["seq"]), (&"worker/first".into(), &submitted["seq"]));
}

#[test]
fn a_chain_of_messages_can_be_followed_by_its_trace() {
    let third = vec![Step::Reach(2)];
    let second = vec![Step::Reach(1), Step::Send(worker("third"), third)];
    let (id, logs) = logs_of(vec![Step::Reach(0), Step::Send(quick("second"), second)], 8);
    for (gate, actor) in [(0, "worker/first"), (1, "quick/second"), (2, "worker/third")] {
        let reached = logs.iter().find(|log| log["gate"] == gate).unwrap();
        assert_eq!(
            (&reached["spans"][0]["trace"], &reached["spans"][0]["actor"]),
            (&id.as_str().into(), &actor.into())
        );
        let committed = logs.iter().find(|log| has(log, "committed") && log["actor"] == actor);
        assert_eq!(committed.unwrap()["trace"], id.as_str(), "{actor}");
    }
}

#[test]
fn failures_and_dead_letters_are_logged_with_the_message() {
    let (id, logs) = logs_of(vec![Step::FailUpTo(1), Step::PanicUpTo(9)], 3);
    let failures: Vec<_> = logs.iter().filter(|log| has(log, "handler failed") && names(log, &id)).collect();
    assert_eq!(failures.iter().map(|log| log["attempt"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    // One failure is nothing unusual.
    assert_eq!(failures.iter().map(|log| log["level"].as_str().unwrap()).collect::<Vec<_>>(), ["DEBUG", "WARN"]);
    assert!(
        failures
            .iter()
            .all(|log| log["actor"] == "worker/first" && log["message"].as_str().unwrap().contains("tried again"))
    );
    let dead = logs.iter().find(|log| has(log, "dead letter") && names(log, &id)).expect("the dead letter is logged");
    assert_eq!(
        (&dead["level"], &dead["attempt"], &dead["reason"]),
        (&"ERROR".into(), &3.into(), &"AttemptsSpent".into())
    );
}

fn find<'a>(logs: &'a [Value], event: &str, id: &str) -> Option<&'a Value> {
    logs.iter().find(|log| has(log, event) && names(log, id))
}

fn has(log: &Value, event: &str) -> bool {
    log["event"] == event
}

fn names(log: &Value, id: &str) -> bool {
    log["message_id"] == id
}
