//! A node that fails while a program runs ends the program, with an exit code that says so.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::nodes::Nodes;
use crate::program::{Running, line_with, orders, spawn, text, work_queue};

/// Work for far longer than it takes to fail.
fn long_work_queue(folder: &Path) -> Command {
    let mut command = work_queue();
    command.arg("--data-dir").arg(folder).args(["--jobs", "1000000", "--hardness", "20"]);
    command
}

fn long_orders(folder: &Path) -> Command {
    let mut command = orders();
    command.arg("--data-dir").arg(folder).args(["--orders", "100000"]);
    command
}

/// What the journal of a folder that is gone takes nobody would find again.
#[test]
fn a_store_that_fails_ends_the_program_with_the_exit_code_1() {
    for command in [long_work_queue, long_orders] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let mut child = spawn(command(&folder).env("RUST_LOG", "everpost=debug"));
        line_with("committed", child.stderr.take().unwrap()).expect("it runs");
        let running = Running::new(child);
        fs::rename(&folder, parent.path().join("aside")).unwrap();
        assert_eq!(running.ends().status.code(), Some(1));
    }
}

/// Nothing else would ever happen in it.
#[test]
fn a_store_that_fails_ends_a_program_that_does_nothing_but_serve() {
    let nodes = Nodes::new(&["east", "west"], b"");
    let west = nodes.serve("west");
    fs::rename(nodes.path("west-data"), nodes.path("aside")).unwrap();
    let output = west.ends();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("data folder"), "{}", text(&output.stderr));
}

/// The lines of the node's own tasks go to a reader that has gone, of which the log of this program panics.
#[test]
fn a_task_of_the_node_that_panics_ends_the_program_with_the_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = spawn(long_work_queue(folder.path()).env("RUST_LOG", "everpost::shard=trace"));
    let mut said = child.stderr.take().unwrap();
    let mut some = [0; 16];
    std::io::Read::read_exact(&mut said, &mut some).expect("they run");
    drop(said);
    assert_eq!(Running::new(child).ends().status.code(), Some(1));
}
