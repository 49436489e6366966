//! Nodes far apart: they link and exchange with the settings that they have by default.

use std::time::Duration;

use everpost::LinkConfig;
use everpost_tests::logs;
use everpost_tests::net::{Net, linked, settled, stop};
use everpost_tests::probe::Probe;
use everpost_tests::puppet::Puppet;
use everpost_tests::relay::{Faults, Relay};
use everpost_tests::wait::soon;
use everpost_tests::worker::{Quick, Script, Step, Worker, read};
use everpost_transport::DialError;

/// Every packet between the two nodes takes this long, each way.
async fn check(name: &str, each_way: Duration) {
    logs::keep();
    let names = ["east", "west"].map(|place| format!("{name}-{place}"));
    let [east, west] = names.each_ref().map(String::as_str);
    let mut net = Net::new(&[east, west]).with("worker", &[west]).with("quick", &[east]);
    let faults = Faults { delay_min: each_way, delay_max: each_way, ..Faults::default() };
    let relay = Relay::start(net.seat(west).listen, 1, faults).await;
    net.route(east, west, relay.address());
    for name in [east, west] {
        net.seat_mut(name).link = LinkConfig::default();
    }
    let nodes = net.start_all(&Probe::new()).await;
    linked(&nodes.iter().collect::<Vec<_>>()).await;
    for number in 1..=20 {
        drop(nodes[0].actor::<Worker>("one").send(Script::new([Step::Count(number)])).submit().await.unwrap());
        drop(nodes[1].actor::<Quick>("one").send(Script::new([Step::Count(number)])).submit().await.unwrap());
    }
    let asked = async { nodes[0].actor::<Worker>("two").ask(Script::new([Step::Append(7)])).await };
    assert_eq!(soon("a reply", asked).await.unwrap(), [7]);
    settled(&nodes.iter().collect::<Vec<_>>()).await;
    let logs = [read(&nodes[1].actor::<Worker>("one")).await, read(&nodes[0].actor::<Quick>("one")).await];
    for log in logs {
        assert_eq!((log.count, log.last, log.jumps), (20, 20, 0));
    }
    for name in [east, west] {
        assert_eq!(logs::lines(name, "link up").len(), 1, "{name}: one link, which stays");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_350_ms_each_way() {
    check("distant", Duration::from_millis(350)).await;
}

/// No answer can come within the first wait, nor within the idle timeout of two seconds.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_1500_ms_each_way() {
    check("remote", Duration::from_millis(1500)).await;
    let why = logs::line_on("remote-east", "link down", "remote-west", "did not answer within 1s").await;
    assert_eq!(why.level, tracing::Level::INFO, "{}", why.text());
}

/// Who answers too late is told apart from who is silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_answers_too_late_is_named_as_that() {
    let net = Net::new(&["east", "west"]);
    let west = net.start("west", &Probe::new()).await;
    let (seat, delay) = (net.seat("east"), Duration::from_millis(400));
    let faults = Faults { delay_min: delay, delay_max: delay, ..Faults::default() };
    let relay = Relay::start(net.seat("west").listen, 1, faults).await;
    let puppet = Puppet::new(seat, &seat.identity);
    // One round trip, and not two.
    let within = Duration::from_millis(1500);
    let late = async {
        loop {
            let error =
                puppet.endpoint.dial("west", relay.address(), within).await.expect_err("it takes two round trips");
            // On a busy machine the first round trip may take longer.
            if matches!(error, DialError::TimedOut { answered: true, .. }) {
                return error;
            }
        }
    };
    let words = soon("an answer that is too late", late).await.to_string();
    assert!(words.contains("answered too late, over a path that is slow or loses packets"), "{words}");
    relay.cut();
    let error = puppet.endpoint.dial("west", relay.address(), within).await.unwrap_err();
    assert_eq!(error, DialError::TimedOut { address: relay.address(), within, answered: false });
    stop([west]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_has_only_addresses_of_another_family_is_named() {
    logs::keep();
    let mut net = Net::new(&["four-east", "six-west"]);
    net.route("four-east", "six-west", "[::1]:7".parse().unwrap());
    let east = net.start("four-east", &Probe::new()).await;
    let words = "is an IPv6 address, and `listen` is an IPv4 address: listen on `[::]`";
    logs::line_on("four-east", "link down", "six-west", words).await;
    stop([east]).await;
}

/// The loopback of a network of its own takes no packet of the size that QUIC needs.
#[test]
fn a_way_that_takes_no_packet_of_the_least_size_is_named() {
    let own_network = || {
        let mut command = std::process::Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c"]);
        command
    };
    let narrow = "ip link set lo mtu 1000 && ip link set lo up";
    if !own_network().arg(narrow).status().is_ok_and(|status| status.success()) {
        eprintln!("this machine lets nobody make a network: not tested");
        return;
    }
    let outcome = own_network()
        .arg(format!("{narrow} && exec \"$0\" slow_paths::in_a_narrow_network --exact --nocapture"))
        .arg(std::env::current_exe().unwrap())
        .env(NARROW, "1")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && output.contains("1 passed"), "{output}");
}

const NARROW: &str = "EVERPOST_TEST_NARROW";

#[tokio::test(flavor = "multi_thread")]
async fn in_a_narrow_network() {
    if std::env::var_os(NARROW).is_none() {
        return;
    }
    logs::keep();
    let net = Net::new(&["narrow-east", "narrow-west"]);
    let nodes = net.start_all(&Probe::new()).await;
    let line = logs::line_on("narrow-east", "link down", "narrow-west", "takes no packet of 1200 bytes").await;
    assert!(line.text().contains("raise the MTU"), "{}", line.text());
    stop(nodes).await;
}
