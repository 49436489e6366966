//! Texts and variables in, settings or one line out.

mod document;
mod mistakes;

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// The shortest file with a peer and a placement, 17 lines; what a test adds begins on line 19.
const FILE: &str = r#"name = "east"
cluster = "orders"
data = "east-data"
listen = "127.0.0.1:7401"

[identity]
certificate = "east.crt"
key = "east.key"
authority = "/etc/ca.crt"

[peers.west]
addresses = [
    "127.0.0.1:7402",
]

[actors.ledger]
nodes = ["west"]
"#;

fn read(text: &str) -> Result<NodeFile, NodeFileError> {
    NodeFile::parse(text, "etc/east.toml", [])
}

fn read_with(variables: &[(&str, &str)]) -> Result<NodeFile, NodeFileError> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    NodeFile::parse(FILE, "etc/east.toml", variables)
}

#[test]
fn a_short_file_gives_the_defaults_and_paths_beside_the_file() {
    let file = read(FILE).unwrap();
    assert_eq!((file.name.as_str(), file.cluster.as_str()), ("east", "orders"));
    assert_eq!(file.data, Path::new("etc/east-data"));
    assert_eq!(file.identity.certificate, Path::new("etc/east.crt"));
    assert_eq!(file.identity.authority, Path::new("/etc/ca.crt"));
    assert_eq!(file.listen, "127.0.0.1:7401".parse().unwrap());
    assert_eq!(file.peers["west"].addresses, ["127.0.0.1:7402".parse().unwrap()]);
    assert_eq!(file.actors["ledger"].nodes, ["west"]);
    assert_eq!(format!("{:?}", file.node), format!("{:?}", NodeConfig::default()));
    assert_eq!(file.link, LinkConfig::default());
    assert_eq!(file.logs, None);
}

/// Each with a value of its own.
const EVERY_SETTING: &str = r#"
[limits]
attempts_max = 1
mailbox_messages_max = 2
message_bytes_max = "3KiB"
window_bytes_max = 4
activations_max = 5
queries_max = 6
outbox_messages_max = 7
outbox_bytes_max = "8GiB"
timers_max = 34
[times]
idle_after = "9s"
ask_timeout = "10m"
stop_timeout = "11h"
send_timeout = "12ms"
backoff_first = "13ms"
backoff_cap = "14ms"
[store]
partitions = 15
journal_map_bytes = "16MiB"
tables_map_bytes = "17MiB"
queue_turns_max = 18
queue_bytes_max = "19MiB"
group_turns_max = 20
group_bytes_max = 21
checkpoint_bytes = 22
checkpoint_age = "23s"
overlay_bytes_max = 44
reserve_disk_bytes = 25
disk_headroom_bytes = 26
[link]
keep_alive = "27ms"
idle_timeout = "81ms"
handshake_first = "28ms"
handshake_cap = "129ms"
reconnect_first = "29ms"
reconnect_cap = "30ms"
send_window_bytes = "31KiB"
lane_window_bytes = "30KiB"
streams = 33
[logs]
format = "json"
filter = "warn,everpost=debug"
"#;

#[test]
fn every_setting_reaches_its_field() {
    let text = format!("{FILE}\n{EVERY_SETTING}");
    let NodeFile { node, link, logs, .. } = read(&text).unwrap();
    let (seconds, milliseconds) = (Duration::from_secs, Duration::from_millis);
    assert_eq!((node.attempts_max, node.mailbox_messages_max, node.message_bytes_max), (1, 2, 3 << 10));
    assert_eq!((node.window_bytes_max, node.activations_max, node.queries_max), (4, 5, 6));
    assert_eq!((node.outbox_messages_max, node.outbox_bytes_max, node.timers_max), (7, 8 << 30, 34));
    assert_eq!((node.idle_after, node.ask_timeout), (seconds(9), seconds(600)));
    assert_eq!((node.stop_timeout, node.send_timeout), (seconds(11 * 3600), milliseconds(12)));
    assert_eq!((node.backoff.first, node.backoff.cap), (milliseconds(13), milliseconds(14)));
    let store = everpost_persistence::Config {
        partitions: 15.try_into().unwrap(),
        journal_map_bytes: 16 << 20,
        tables_map_bytes: 17 << 20,
        queue_turns_max: 18,
        queue_bytes_max: 19 << 20,
        group_turns_max: 20,
        group_bytes_max: 21,
        checkpoint_bytes: 22,
        checkpoint_age: seconds(23),
        overlay_bytes_max: 44,
        reserve_disk_bytes: 25,
        disk_headroom_bytes: 26,
    };
    assert_eq!(node.store, store);
    let expected = LinkConfig {
        keep_alive: milliseconds(27),
        idle_timeout: milliseconds(81),
        handshake_first: milliseconds(28),
        handshake_cap: milliseconds(129),
        reconnect_first: milliseconds(29),
        reconnect_cap: milliseconds(30),
        send_window_bytes: 31 << 10,
        lane_window_bytes: 30 << 10,
        streams: 33,
    };
    assert_eq!(link, expected);
    assert_eq!(logs, Some(LogFile { format: LogFormat::Json, filter: "warn,everpost=debug".to_owned() }));
}

#[test]
fn variables_override_the_file_and_texts_in_them_need_no_quotes() {
    let file = read_with(&[
        ("EVERPOST_LISTEN", "0.0.0.0:9"),
        ("EVERPOST_DATA", "123"),
        ("EVERPOST_CLUSTER", "\"quoted\""),
        ("EVERPOST_LIMITS__ATTEMPTS_MAX", "3"),
        ("EVERPOST_STORE__TABLES_MAP_BYTES", "1GiB"),
        ("EVERPOST_STORE__JOURNAL_MAP_BYTES", "1048576"),
        ("EVERPOST_TIMES__ASK_TIMEOUT", "250ms"),
        ("EVERPOST_LOGS__FORMAT", "json"),
        ("EVERPOST_PEERS__WEST__ADDRESSES", r#"["127.0.0.1:1", "127.0.0.1:2"]"#),
        ("EVERPOST_ACTORS__LEDGER__NODES", r#"["east"]"#),
    ]);
    let file = file.unwrap();
    assert_eq!(file.listen, "0.0.0.0:9".parse().unwrap());
    assert_eq!((file.data.as_path(), file.cluster.as_str()), (Path::new("etc/123"), "quoted"));
    assert_eq!(file.node.attempts_max, 3);
    assert_eq!((file.node.store.tables_map_bytes, file.node.store.journal_map_bytes), (1 << 30, 1 << 20));
    assert_eq!(file.node.ask_timeout, Duration::from_millis(250));
    assert_eq!(file.logs.unwrap().format, LogFormat::Json);
    assert_eq!(file.peers["west"].addresses.len(), 2);
    assert_eq!(file.actors["ledger"].nodes, ["east"]);
}

#[test]
fn an_underscore_in_a_variable_stands_for_the_hyphen_of_a_name() {
    let text = FILE.replace("peers.west", "peers.west-1").replace("\"west\"", "\"west-1\"");
    for name in ["EVERPOST_PEERS__WEST_1__ADDRESSES", "EVERPOST_PEERS__WEST-1__ADDRESSES"] {
        let variable = (name.to_owned(), r#"["127.0.0.1:1"]"#.to_owned());
        let file = NodeFile::parse(&text, "east.toml", [variable]).unwrap();
        assert_eq!(file.peers["west-1"].addresses, ["127.0.0.1:1".parse().unwrap()], "{name}");
    }
}

#[test]
fn variables_of_harnesses_and_orchestrators_are_left_alone() {
    for name in [
        "EVERPOST_ACCESS_LOG",
        "EVERPOST_MEASURE",
        "EVERPOST_TEST_SEED",
        "EVERPOST_TEST_SEEDS",
        "EVERPOST_TEST_CHILD",
        "EVERPOST_WRITE_GOLDEN",
        "EVERPOST_SERVICE_HOST",
        "EVERPOST_PORT",
        "EVERPOST_PORT_7401_UDP_ADDR",
        "EVERPOST",
        "LISTEN",
    ] {
        read_with(&[(name, "anything")]).unwrap();
    }
}

#[test]
fn a_file_is_read_from_the_disk_and_a_missing_one_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("east.toml");
    let error = NodeFile::read(&path).unwrap_err().to_string();
    let expected = format!("{} cannot be read: No such file", path.display());
    assert!(error.starts_with(&expected) && error.ends_with("check the path and its permissions"), "{error}");
    std::fs::write(&path, FILE).unwrap();
    assert_eq!(NodeFile::read(&path).unwrap().data, folder.path().join("east-data"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever a slip of an editor makes of a file, the answer is one line.
    #[test]
    fn a_damaged_file_gives_settings_or_one_line(
        at in 0..FILE.len(),
        taken in 0usize..40,
        put in "[a-z0-9\\[\\]{}\"'=.,#\n -]{0,6}",
    ) {
        let end = (at + taken).min(FILE.len());
        let text = format!("{}{put}{}", &FILE[..at], &FILE[end..]);
        if let Err(error) = read(&text) {
            prop_assert!(!error.to_string().contains(char::is_control), "not one line: {}", error);
        }
    }

    #[test]
    fn a_damaged_variable_gives_settings_or_one_line(
        name in "EVERPOST_[A-Z_]{0,12}(__[A-Z_-]{0,12}){0,3}",
        value in any::<String>(),
    ) {
        if let Err(error) = read_with(&[(&name, &value)]) {
            prop_assert!(error.to_string().contains(&name), "the variable is not named: {}", error);
        }
    }

    #[test]
    fn any_value_of_a_known_variable_gives_settings_or_names_it(
        name in prop_oneof![Just("EVERPOST_NAME"), Just("EVERPOST_LISTEN"), Just("EVERPOST_STORE__PARTITIONS"),
            Just("EVERPOST_TIMES__IDLE_AFTER"), Just("EVERPOST_PEERS__WEST__ADDRESSES"),
            Just("EVERPOST_LINK__STREAMS")],
        value in prop_oneof![any::<String>(), "[0-9a-z.:\"\\[\\]-]{0,20}"],
    ) {
        if let Err(error) = read_with(&[(name, &value)]) {
            prop_assert!(error.to_string().contains(name), "the variable is not named: {}", error);
            prop_assert!(!error.to_string().contains(char::is_control), "not one line: {}", error);
        }
    }
}
