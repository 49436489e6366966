//! The work-queue example: each job is counted once, however often workers die and the program is killed.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::program::{assert_refused, ends_within, run, spawn, text, work_queue};
use crate::seeds::seeds;

const HARDNESS: u32 = 8;

fn command(data_dir: &Path, jobs: u64) -> Command {
    let mut command = work_queue();
    command.arg("--data-dir").arg(data_dir).args(["--jobs", &jobs.to_string(), "--json"]);
    command.args(["--hardness", &HARDNESS.to_string(), "--workers", "4"]);
    command
}

/// The figures of a run that has ended, which are those of jobs that were each done once.
#[track_caller]
fn assert_each_once(output: &Output, jobs: u64) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["jobs"], &figures["done"]), (&jobs.into(), &jobs.into()));
    let sum: u64 = (0..jobs).map(solution).sum();
    assert_eq!(figures["sum"], sum, "one is missing, and another was counted twice");
    let by_worker = figures["by_worker"].as_array().unwrap();
    assert_eq!(by_worker.iter().map(|jobs| jobs.as_u64().unwrap()).sum::<u64>(), jobs);
    figures
}

/// What must come of a job, found without the program.
fn solution(job: u64) -> u64 {
    let hash = |number: u64| blake3::hash(&[job.to_be_bytes(), number.to_be_bytes()].concat());
    (0..).find(|number| hash(*number).as_bytes()[0] == 0).unwrap()
}

#[test]
fn each_job_is_counted_once_although_workers_die_and_hang() {
    let folder = tempfile::tempdir().unwrap();
    let mut unreliable = command(folder.path(), 400);
    let figures = assert_each_once(&run(unreliable.args(["--dying", "0.3", "--hanging", "0.01"])), 400);
    assert!(figures["came_back"].as_u64().unwrap() > 100, "{figures}");
}

#[test]
fn workers_that_compete_get_their_share() {
    let folder = tempfile::tempdir().unwrap();
    let mut reliable = command(folder.path(), 400);
    let figures = assert_each_once(&run(reliable.args(["--dying", "0", "--hanging", "0"])), 400);
    for worker in 0..4 {
        assert!(figures["by_worker"][worker].as_u64().unwrap() > 20, "worker {worker}: {figures}");
    }
}

#[test]
fn a_second_run_reports_what_is_there_and_goes_on_with_more_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let figures = assert_each_once(&run(&mut command(folder.path(), 100)), 100);
    assert_eq!(assert_each_once(&run(&mut command(folder.path(), 100)), 100), figures);
    assert_eq!(assert_each_once(&run(command(folder.path(), 1).args(["--seed", "9"])), 100), figures);
    // More than one turn submits.
    assert_each_once(&run(&mut command(folder.path(), 1200)), 1200);
}

#[test]
fn killed_at_random_moments_each_job_is_counted_once() {
    for mut seed in seeds("work_queue::killed_at_random_moments_each_job_is_counted_once", 3) {
        let folder = tempfile::tempdir().unwrap();
        let number = seed.value().to_string();
        let start = || {
            let mut command = command(folder.path(), 1500);
            command.args(["--dying", "0.2", "--hanging", "0.001", "--seed", &number]);
            command
        };
        let mut kills = 0;
        for _ in 0..12 {
            let moment = Duration::from_millis(20 + seed.below(300));
            match ends_within(spawn(&mut start()), moment) {
                Some(output) => drop(assert_each_once(&output, 1500)),
                None => kills += 1,
            }
        }
        assert!(kills > 0, "there are too few jobs for this machine: no run was killed");
        let figures = assert_each_once(&run(&mut start()), 1500);
        assert!(figures["came_back"].as_u64().unwrap() > 0, "{figures}");
    }
}

#[test]
fn without_json_it_prints_a_table_that_lines_up() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(work_queue().arg("--data-dir").arg(folder.path()).args(["--jobs", "1000", "--hardness", "2"]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<_> = text(&output.stdout).lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["done", "1,000"]);
    assert_eq!(lines.len(), 4 + 1 + 8);
    assert!(lines.iter().all(|line| line.chars().count() == lines[0].chars().count()), "{lines:#?}");
}

#[test]
fn what_it_cannot_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_refused(&run(&mut command(&file, 1)), "file");
    for options in [["--dying", "0.5"], ["--workers", "0"], ["--jobs", "0"], ["--dying", "x"]] {
        let output = run(command(folder.path(), 1).args(options));
        assert_eq!(output.status.code(), Some(2), "{options:?}");
    }
}
