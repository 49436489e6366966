//! The demonstration: it holds what it says, and finds a bug that is planted.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{DEADLINE, assert_refused, demonstration, ends_within, run, spawn, text};

/// A small run with `--json` and these options.
fn small(options: &[&str]) -> Command {
    let mut command = demonstration();
    command.args(["--transfers", "3000", "--accounts", "100", "--kills", "5", "--json"]).args(options);
    command
}

fn outcome(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

#[track_caller]
fn assert_clean(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let outcome = outcome(output);
    for (key, value) in [("sent", 3000), ("acknowledged", 3000), ("kills", 5), ("lost", 0), ("duplicated", 0)] {
        assert_eq!(outcome[key], value, "{key}");
    }
    assert_eq!(outcome["balance_before"], outcome["balance_after"]);
    assert!(outcome["handled"].as_u64().unwrap() >= 9000, "a transfer is three turns");
    outcome
}

#[test]
fn nothing_is_lost_and_nothing_happens_twice() {
    let outcome = assert_clean(&run(&mut small(&[])));
    let keys: Vec<_> = outcome.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "acknowledged",
            "balance_after",
            "balance_before",
            "duplicated",
            "handled",
            "kills",
            "lost",
            "replayed",
            "sent",
            "turns_per_second"
        ]
    );
    assert_eq!(outcome["balance_before"], 100 * 100_000);
}

#[test]
fn a_second_run_on_the_same_folder_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    assert_clean(&run(&mut small(&["--data-dir", data_dir, "--seed", "6"])));
    assert_clean(&run(&mut small(&["--data-dir", data_dir, "--seed", "7"])));
}

#[test]
fn a_planted_bug_is_found() {
    let lost = run(&mut small(&["--plant", "lose"]));
    assert_eq!(lost.status.code(), Some(1));
    assert_eq!(outcome(&lost)["lost"], 30);
    assert_eq!(outcome(&lost)["duplicated"], 0);
    assert!(text(&lost.stderr).contains("the sum of all balances"), "{}", text(&lost.stderr));
    let duplicated = run(&mut small(&["--plant", "duplicate"]));
    assert_eq!(duplicated.status.code(), Some(1));
    assert_eq!(outcome(&duplicated)["lost"], 0);
    assert_eq!(outcome(&duplicated)["duplicated"], 30);
}

#[test]
fn the_smallest_run() {
    let mut command = demonstration();
    let output = run(command.args(["--transfers", "1", "--accounts", "2", "--kills", "3"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<_> = text(&output.stdout).lines().collect();
    assert_eq!(lines.len(), 10);
    assert_eq!(lines[7].split_whitespace().last(), Some("2,000.00"));
}

#[test]
fn what_cannot_work_is_refused() {
    for options in [["--accounts", "0"], ["--accounts", "1"], ["--transfers", "0"], ["--kills", "1000000"]] {
        let output = run(demonstration().args(options));
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(text(&output.stderr).contains("is not in"), "{}", text(&output.stderr));
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_refused(&run(demonstration().arg("--data-dir").arg(&file)), "file");
}

#[test]
fn the_child_ends_when_its_parent_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut command = demonstration();
    let mut parent = spawn(command.args(["--transfers", "10000000", "--kills", "0", "--data-dir"]).arg(&data_dir));
    wait_for(|| moves_money(&data_dir));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for(|| !is_in_use(&data_dir));
    assert_clean(&run(&mut small(&["--data-dir", data_dir.to_str().unwrap()])));
}

#[test]
fn an_interrupt_ends_the_child_and_removes_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let entries = || std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut command = demonstration();
    command.args(["--transfers", "10000000"]).env("TMPDIR", folder.path());
    let parent = spawn(&mut command);
    wait_for(|| entries().iter().any(|entry| moves_money(entry)));
    kill_process(Pid::from_child(&parent), Signal::INT).unwrap();
    let output = ends_within(parent, DEADLINE).expect("it ends before the deadline");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(entries(), [] as [&Path; 0]);
}

/// Whether the journal of the store in this folder has grown, as it does with the first transfers.
fn moves_money(data_dir: &Path) -> bool {
    std::fs::metadata(data_dir.join("journal").join("data.mdb")).is_ok_and(|journal| journal.len() > 200_000)
}

/// Whether a process holds the store in this folder. Looking takes the lock for a moment, so nobody may be about to.
fn is_in_use(data_dir: &Path) -> bool {
    let Ok(lock) = std::fs::File::open(data_dir.join("lock")) else { return false };
    matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

#[expect(clippy::disallowed_methods, reason = "a condition of another process can only be looked at again and again")]
fn wait_for(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "the condition did not come true in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}
