//! One message can be followed through the logs, from its send to its commit, and a chain of messages by its trace.

use std::collections::BTreeSet;

use everpost_tests::child::Child;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::worker::{Step, quick, worker};
use serde_json::Value;

/// Runs `steps` in a child that logs JSON; returns the id of the message, and the logs.
fn logs_of(steps: Vec<Step>, attempts_max: u32) -> (String, Vec<Value>) {
    let (id, lines) = lines_of(Child::up, steps, attempts_max);
    // A panic writes lines of its own, between those of the logs.
    let logs = lines.iter().filter(|line| line.starts_with('{'));
    let logs = logs.map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect();
    (id, logs)
}

fn lines_of(up: fn(&Setup) -> Child, steps: Vec<Step>, attempts_max: u32) -> (String, Vec<String>) {
    let folder = everpost_tests::folder();
    let mut child = up(&Setup { attempts_max, logs: true, ..Setup::alone(folder.path()) });
    child.tell(&Command::Send(vec![(worker("first"), steps)]));
    let accepted = child.wait_for("it is accepted", |event| matches!(event, Event::Accepted(_)));
    let Event::Accepted(id) = accepted else { unreachable!("it was waited for") };
    child.tell(&Command::Drain);
    child.wait_for("it drains", |event| *event == Event::Drained);
    child.tell(&Command::Stop);
    child.wait_for("it stops", |event| *event == Event::Stopped);
    child.end();
    (id, child.stderr())
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

/// The node used to log what became of a turn inside of the span that has the same fields.
#[test]
fn no_field_is_there_twice_in_the_line_of_a_failure_or_of_a_dead_letter() {
    let steps = || vec![Step::FailUpTo(1), Step::PanicUpTo(9)];
    let events = ["handler failed", "handler failed", "dead letter"];

    let (id, logs) = logs_of(steps(), 3);
    let logs: Vec<_> =
        logs.iter().filter(|log| names(log, &id) && events.iter().any(|event| has(log, event))).collect();
    assert_eq!(logs.iter().map(|log| log["event"].as_str().unwrap()).collect::<Vec<_>>(), events);
    for log in logs {
        let spans = log["spans"].as_array().map_or(&[][..], Vec::as_slice);
        let mut inherited = spans.iter().flat_map(|span| span.as_object().unwrap().keys());
        assert!(inherited.all(|field| log.get(field).is_none()), "{log}");
    }

    let (id, lines) = lines_of(Child::up_pretty, steps(), 3);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&format!("message_id={id:?}"))).collect();
    for (event, times) in [("handler failed", 2), ("dead letter", 1)] {
        let lines: Vec<_> = lines.iter().filter(|line| line.contains(&format!("event={event:?}"))).collect();
        assert_eq!(lines.len(), times, "{lines:?}");
        for line in lines {
            let fields = fields_of(line);
            let names: BTreeSet<_> = fields.iter().collect();
            assert!(fields.len() > 5 && names.len() == fields.len(), "{fields:?}: {line}");
        }
    }
}

/// An error comes from anywhere, and may be of any length; the store keeps it shortened, and so does the log.
#[test]
fn an_error_of_any_length_is_shortened_in_the_log() {
    let (id, logs) = logs_of(vec![Step::RejectWith(1 << 20)], 3);
    let dead = find(&logs, "dead letter", &id).expect("the dead letter is logged");
    let error = dead["error"].as_str().unwrap();
    assert!(error.starts_with("xxx") && error.ends_with("xxx ...") && error.len() < 5000, "{} bytes", error.len());
}

/// The names of the fields of a line as people read it.
fn fields_of(line: &str) -> Vec<&str> {
    let outside_of_texts = line.split('"').step_by(2);
    let words = outside_of_texts.flat_map(|part| part.split([' ', '{', '}']));
    words.filter_map(|word| Some(word.split_once('=')?.0)).collect()
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
