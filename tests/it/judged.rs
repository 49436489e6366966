//! Certificates are judged by the wall clock that is believed. Whole nodes, in processes whose clock is set.

use std::thread;

use everpost::{IdentityFiles, Micros};
use everpost_tests::child::Child;
use everpost_tests::net::Net;
use everpost_tests::protocol::{Command, Event, Setup};
use everpost_tests::waits::Order;
use everpost_tests::wall::Wall;
use everpost_tests::worker::{Step, worker};
use rcgen::date_time_ymd;

const TWELVE_YEARS: i64 = 12 * 365 * 24 * 60 * 60;

/// Nodes whose clocks are set, by so many seconds. The east dials.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    east: i64,
    west: i64,
}

/// Neither where others are judged, nor where a node looks at its own certificate before it starts.
#[test]
fn a_clock_that_was_set_just_now_costs_no_link_and_no_start() {
    let (ahead, back) = (TWELVE_YEARS, -TWELVE_YEARS);
    let cases = [(ahead, 0), (back, 0), (0, ahead), (0, back)].map(|(east, west)| Ahead { east, west });
    all(cases, |wrong| {
        let mut pair = Pair::new([Years::NOW, Years::NOW], Ahead { east: 0, west: 0 });
        pair.send("their clocks are right");
        pair.walls[0].set(wrong.east);
        pair.walls[1].set(wrong.west);
        for name in [0, 1] {
            pair.nodes[name].tell(&Command::Stop);
            pair.nodes[name].wait_for("it stops", |event| *event == Event::Stopped);
            pair.nodes[name].end();
            pair.nodes[name] = Child::up_at(&pair.setups[name], &pair.walls[name]);
            pair.send("one of them was started with a clock that is not believed");
        }
    });
}

/// A store that is new has nothing else to believe than the clock of its machine.
#[test]
fn a_node_that_believes_a_wrong_clock_has_its_links_when_the_clock_was_right_for_a_minute() {
    let cases = [TWELVE_YEARS, -TWELVE_YEARS].map(|west| Ahead { east: 0, west });
    all(cases, |wrong| {
        // Its own certificate is good for as long as it takes, or it would not start.
        let mut pair = Pair::new([Years::NOW, Years(20)], wrong);
        pair.tell_east();
        // It goes on saying so, while others are silent.
        pair.nodes[1].tell(&Command::Waits(Order::Prepare));
        pair.nodes[1].tell(&Command::Waits(Order::Begin));
        pair.walls[1].set(0);
        pair.hear_west("its clock is right again");
        let west = &mut pair.nodes[1];
        west.kill();
        let words = if wrong.west > 0 { "expired" } else { "not valid yet" };
        let said = west.stderr();
        let is_told = said.iter().any(|line| line.contains("connection refused") && line.contains(words));
        assert!(is_told, "{wrong:?}: nobody is told: {said:#?}");
    });
}

/// Runs all cases side by side.
fn all<const N: usize>(cases: [Ahead; N], check: fn(Ahead)) {
    let running = cases.map(|case| thread::spawn(move || check(case)));
    let ended = running.map(thread::JoinHandle::join);
    for (case, ended) in cases.iter().zip(ended) {
        assert!(ended.is_ok(), "{case:?}: see above");
    }
}

/// For how many years before and after the present a certificate is valid, at least.
#[derive(Clone, Copy)]
struct Years(i32);

impl Years {
    const NOW: Self = Self(1);
}

/// East and west, whose workers live in the west.
struct Pair {
    setups: [Setup; 2],
    walls: [Wall; 2],
    nodes: [Child; 2],
    _net: Net,
}

impl Pair {
    fn new(valid: [Years; 2], ahead: Ahead) -> Self {
        let names = ["east", "west"];
        let actors = ["worker", "waiting-long", "waiting-short"];
        let mut net = actors.iter().fold(Net::new(&names), |net, actor| net.with(actor, &["west"]));
        let year = i32::try_from(1970 + Micros::now().0 / (365 * 24 * 3600 * 1_000_000)).expect("a year");
        for (name, Years(years)) in names.iter().zip(valid) {
            let IdentityFiles { certificate, key, authority } = net.authority.issue(name, |params| {
                params.not_before = date_time_ymd(year - years - 1, 1, 1);
                params.not_after = date_time_ymd(year + years + 1, 1, 1);
            });
            net.seat_mut(name).identity = [certificate, key, authority];
        }
        let setups = names.map(|name| Setup { waits: true, ..Setup::seated(net.seat(name)) });
        let walls = [ahead.east, ahead.west].map(|seconds| {
            let wall = Wall::new();
            wall.set(seconds);
            wall
        });
        let nodes = [0, 1].map(|node: usize| Child::up_at(&setups[node], &walls[node]));
        Self { setups, walls, nodes, _net: net }
    }

    fn send(&mut self, what: &str) {
        self.tell_east();
        self.hear_west(what);
    }

    fn tell_east(&mut self) {
        self.nodes[0].tell(&Command::Send(vec![(worker("one"), vec![Step::Note])]));
    }

    fn hear_west(&mut self, what: &str) {
        self.nodes[1].wait_for(what, |event| matches!(event, Event::Noted(_)));
    }
}
