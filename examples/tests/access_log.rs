//! The access-log example: the same figures, however often it is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::log::Log;
use crate::program::{access_log, ends_within, run, spawn, text};

/// A folder with a log and its data folder.
pub(crate) struct Scene {
    folder: TempDir,
}

impl Scene {
    pub(crate) fn new(log: &[u8]) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        scene.write(log);
        scene
    }

    pub(crate) fn write(&self, log: &[u8]) {
        std::fs::write(self.input(), log).unwrap();
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.folder().join("access.log")
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder().join("data")
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = access_log();
        command.arg("--input").arg(self.input()).arg("--data-dir").arg(self.data_dir()).arg("--json");
        command
    }

    fn figures(&self) -> Value {
        figures(&run(&mut self.command()))
    }
}

pub(crate) fn figures(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_figures_are_right_and_stay_so() {
    let mut log = Log::new(1);
    log.grow(3000);
    let scene = Scene::new(&log.text);
    let output = run(&mut scene.command());
    assert_eq!(figures(&output), log.figures());
    let warnings = u64::try_from(text(&output.stderr).matches("line rejected").count()).unwrap();
    assert_eq!(Value::from(warnings), log.figures()["rejected_lines"], "each rejected line is logged");
    let again = run(&mut scene.command());
    assert_eq!(figures(&again), log.figures());
    assert_eq!(text(&again.stderr), "", "the second run reads nothing");
}

#[test]
fn killed_at_random_moments_it_ends_with_the_same_figures() {
    let mut log = Log::new(2);
    log.grow(15_000);
    let scene = Scene::new(&log.text);
    let mut kills = 0;
    for _ in 0..15 {
        let moment = Duration::from_millis(20 + log.below(250));
        match ends_within(spawn(&mut scene.command()), moment) {
            Some(output) => assert_eq!(figures(&output), log.figures(), "after {kills} kills"),
            None => kills += 1,
        }
    }
    assert!(kills > 0, "the log is too small for this machine: no run was killed");
    assert_eq!(scene.figures(), log.figures(), "after {kills} kills");
}

#[test]
fn a_log_that_grows_is_counted_on() {
    let mut log = Log::new(3);
    let scene = Scene::new(b"");
    assert_eq!(scene.figures(), log.figures());
    for lines in [1, 700, 3, 900] {
        log.grow(lines);
        scene.write(&log.text);
        assert_eq!(scene.figures(), log.figures());
    }
}

#[test]
fn without_json_it_prints_a_table() {
    let mut log = Log::new(4);
    log.grow(100);
    let scene = Scene::new(&log.text);
    let output = run(access_log().arg("--input").arg(scene.input()).arg("--data-dir").arg(scene.data_dir()));
    assert!(output.status.success());
    let requests = log.figures()["requests"].to_string();
    let row = text(&output.stdout).lines().next().unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["requests", &requests]);
}
