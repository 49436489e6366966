//! The access-log example on several nodes: the same figures as on one, however often any of them is killed.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use rustix::process::Signal;

use crate::access_log::{Scene, figures};
use crate::log::Log;
use crate::nodes::Nodes;
use crate::program::{Running, access_log, assert_refused, line_with, run, spawn, text};

#[test]
fn two_nodes_give_the_figures_of_one_and_go_on_where_they_were() {
    let mut log = Log::new(11);
    log.grow(2000);
    let nodes = Nodes::new(&["east", "west"], &log.text);
    let west = nodes.serve("west");
    for lines in [0, 700, 0] {
        log.grow(lines);
        fs::write(nodes.input(), &log.text).unwrap();
        assert_eq!(figures(&run(&mut nodes.ingest("east"))), log.figures());
    }
    assert_stopped(&west.interrupt(Signal::TERM));
}

#[test]
fn either_killed_at_random_moments_the_figures_are_the_same() {
    let mut log = Log::new(12);
    log.grow(15_000);
    let nodes = Nodes::new(&["east", "west"], &log.text);
    let start_east = || Running::new(spawn(&mut nodes.ingest("east")));
    let (mut west, mut east) = (nodes.serve("west"), start_east());
    let mut kills = [0, 0];
    for round in 0..24 {
        let moment = Duration::from_millis(20 + log.below(250));
        if let Some(output) = east.ends_within(moment) {
            assert_eq!(figures(&output), log.figures(), "in round {round}, after {kills:?} kills");
            east = start_east();
            continue;
        }
        let victims = 1 + log.below(3);
        if victims & 1 != 0 {
            kills[0] += u32::from(east.kill().is_none());
            east = start_east();
        }
        if victims & 2 != 0 {
            kills[1] += u32::from(west.kill().is_none());
            west = nodes.serve("west");
        }
    }
    assert!(kills[0] > 0 && kills[1] > 0, "the log is too small for this machine: {kills:?} kills");
    let output = east.ends();
    assert_eq!(figures(&output), log.figures(), "after {kills:?} kills");
    assert_stopped(&west.interrupt(Signal::TERM));
}

#[test]
fn whoever_starts_first_waits_for_the_other_and_says_so() {
    let mut log = Log::new(13);
    log.grow(300);
    let nodes = Nodes::new(&["east", "west"], &log.text);
    let mut east = spawn(&mut nodes.ingest("east"));
    let said = line_with("waiting", east.stderr.take().unwrap());
    assert_eq!(said.unwrap(), "access_log: waiting for west: there is no link");
    let west = nodes.serve("west");
    assert_eq!(figures(&Running::new(east).ends()), log.figures());
    assert_stopped(&west.interrupt(Signal::INT));
}

#[test]
fn three_nodes() {
    let mut log = Log::new(14);
    log.grow(1500);
    let nodes = Nodes::new(&["east", "west", "north"], &log.text);
    let others = [nodes.serve("north"), nodes.serve("east")];
    assert_eq!(figures(&run(&mut nodes.ingest("west"))), log.figures());
    others.into_iter().for_each(|node| assert_stopped(&node.interrupt(Signal::TERM)));
}

#[test]
fn two_logs_on_two_nodes_are_counted_together() {
    let mut log = Log::new(15);
    log.grow(800);
    let (first, figures_of_first) = (log.text.clone(), log.figures());
    log.grow(800);
    let nodes = Nodes::new(&["east", "west"], &first);
    let rest = nodes.path("rest.log");
    fs::write(&rest, &log.text[first.len()..]).unwrap();

    let west = nodes.serve("west");
    assert_eq!(figures(&run(&mut nodes.ingest("east"))), figures_of_first);
    assert_stopped(&west.interrupt(Signal::TERM));
    let east = nodes.serve("east");
    assert_eq!(figures(&run(&mut nodes.ingest_from("west", &rest))), log.figures());
    assert_stopped(&east.interrupt(Signal::TERM));
}

#[test]
fn the_figures_of_a_real_log() {
    let from_variable = std::env::var_os("EVERPOST_ACCESS_LOG");
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/access.log");
    let path = from_variable.map_or(beside, Into::into);
    let Ok(log) = fs::read(&path) else {
        return eprintln!("skipped: {} is not there; name a log with EVERPOST_ACCESS_LOG", path.display());
    };
    let alone = figures(&run(&mut Scene::new(&log).command()));
    let nodes = Nodes::new(&["east", "west"], &log);
    let west = nodes.serve("west");
    assert_eq!(figures(&run(&mut nodes.ingest("east"))), alone);
    assert_stopped(&west.interrupt(Signal::TERM));
}

#[test]
fn interrupted_while_it_waits_it_stops_in_order_and_goes_on_later() {
    let mut log = Log::new(16);
    log.grow(300);
    let nodes = Nodes::new(&["east", "west"], &log.text);
    let mut east = spawn(&mut nodes.ingest("east"));
    line_with("waiting for west", east.stderr.take().unwrap()).unwrap();
    assert_eq!(Running::new(east).interrupt(Signal::INT).status.code(), Some(130));
    let _west = nodes.serve("west");
    assert_eq!(figures(&run(&mut nodes.ingest("east"))), log.figures());
}

#[test]
fn what_a_node_cannot_use_is_refused() {
    let nodes = Nodes::new(&["east", "west"], b"");
    let serve = |name| run(access_log().arg("--config").arg(nodes.file(name)));
    assert_refused(&serve("north"), "north.toml cannot be read");
    fs::remove_file(nodes.input()).unwrap();
    assert_refused(&run(&mut nodes.ingest("east")), "access.log cannot be read");

    let file = fs::read_to_string(nodes.file("east")).unwrap();
    let listen = file.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap().trim_matches('"');
    let other = UdpSocket::bind(listen).unwrap();
    assert_refused(&serve("east"), "in use");
    drop(other);
    fs::write(nodes.file("east"), format!("data_dir = \"x\"\n{file}")).unwrap();
    assert_refused(&serve("east"), "line 1: `data_dir` is not a key");
    fs::write(nodes.file("east"), format!("{file}\n[actors.ingest]\nnodes = [\"west\"]\n")).unwrap();
    fs::write(nodes.input(), "").unwrap();
    assert_refused(&run(&mut nodes.ingest("east")), "do not live on node `east`");
    fs::remove_file(nodes.path("west.crt")).unwrap();
    assert_refused(&serve("west"), "west.crt");
}

/// That a node that served has ended in order.
#[track_caller]
fn assert_stopped(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}
