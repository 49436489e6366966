//! Each mistake gives one line that names the place, the key, what is wrong and what to write.

use super::*;

/// What comes of the short file with `lines` added, without the name of the file; the first is line 19.
fn added(lines: &str) -> String {
    message(read(&format!("{FILE}\n{lines}\n")))
}

fn replaced(from: &str, to: &str) -> String {
    assert!(FILE.contains(from), "{from} is not in the file");
    message(read(&FILE.replacen(from, to, 1)))
}

fn variable(name: &str, value: &str) -> String {
    message(read_with(&[(name, value)]))
}

fn message(answer: Result<NodeFile, NodeFileError>) -> String {
    let message = answer.unwrap_err().to_string();
    assert!(!message.contains('\n'), "more than one line: {message}");
    message.strip_prefix("etc/east.toml, ").unwrap_or_else(|| panic!("no file: {message}")).to_owned()
}

fn check(message: String, place: &str, key: &str, parts: &[&str]) {
    let begin = format!("{place}: `{key}` ");
    assert!(message.starts_with(&begin), "{message}\ndoes not begin with: {begin}");
    for part in parts {
        assert!(message.contains(part), "{message}\ndoes not contain: {part}");
    }
}

#[test]
fn a_key_that_has_another_name_now_says_which() {
    let renamed = added("[limits]\nquestions_max = 6");
    check(renamed, "line 20", "limits.questions_max", &["is not a key", "it is called `queries_max` now"]);
}

#[test]
fn what_is_not_toml_names_the_line() {
    for (text, line) in [("name = ", "line 1:"), ("a = 1\nb = [\n", "line"), ("a = 1\n\na = 2", "line 3:")] {
        let message = message(read(text));
        assert!(message.starts_with(line) && message.contains("not TOML"), "{message}");
    }
}

#[test]
fn what_is_there_twice_is_named_with_both_lines() {
    let again = added("[limits]\nattempts_max = 3\n\n[times]\nidle_after = \"1s\"\n\n[limits]\ntimers_max = 1");
    assert!(again.starts_with("line 25: ") && again.contains("`limits` is there already, in line 19"), "{again}");
    let again = added("[limits]\nattempts_max = 3\ntimers_max = 1\nattempts_max = 4");
    assert!(
        again.starts_with("line 22: ") && again.contains("`limits.attempts_max` is there already, in line 20"),
        "{again}"
    );
    let again = message(read(&format!("name = \"x\"\n{FILE}")));
    assert!(again.starts_with("line 2: ") && again.contains("`name` is there already, in line 1"), "{again}");
    let again = added("[peers.\"a\"]\naddresses = []\n[peers.a]\naddresses = []");
    assert!(again.starts_with("line 21: ") && again.contains("`peers.a` is there already, in line 19"), "{again}");
}

#[test]
fn unknown_keys_are_named_before_all_else() {
    check(replaced("name = ", "naem = "), "line 1", "naem", &["did you mean `name`?"]);
    check(replaced("listen = ", "port = "), "line 4", "port", &["lists the keys"]);
    check(added("[limts]\nattempts_max = 1"), "line 19", "limts", &["did you mean `limits`?"]);
    check(
        added("[limits]\n\nask_timeout = \"1s\""),
        "line 21",
        "limits.ask_timeout",
        &["belongs to the section `[times]`"],
    );
    check(added("[logs]\nlisten = \"x\""), "line 20", "logs.listen", &["belongs above the first section"]);
    check(added("[peers.north]\nadress = []"), "line 20", "peers.north.adress", &[]);
    check(added("[peers.north]\naddreses = []"), "line 20", "peers.north.addreses", &["did you mean `addresses`?"]);
    // Two mistakes: the one that is higher up.
    check(added("[link]\nzebra = 1\naardvark = 1"), "line 20", "link.zebra", &[]);
}

#[test]
fn missing_keys_say_where_they_belong() {
    check(
        replaced("listen = \"127.0.0.1:7401\"\n", ""),
        "line 1",
        "listen",
        &["is missing", "above the first section"],
    );
    check(replaced("key = \"east.key\"\n", ""), "line 6", "identity.key", &["`key = \"east.key\"` below `[identity]`"]);
    check(added("[peers.north]"), "line 19", "peers.north.addresses", &["below `[peers.north]`"]);
    check(message(read("")), "line 1", "name", &["is missing"]);
}

#[test]
fn wrong_types_say_what_was_found_and_what_to_write() {
    check(
        replaced("\"east\"", "7"),
        "line 1",
        "name",
        &["is a whole number, and must be a text in quotes", "\"east\""],
    );
    check(replaced("\"east-data\"", "\"\""), "line 3", "data", &["is empty"]);
    check(
        replaced("127.0.0.1:7401", "localhost:7401"),
        "line 4",
        "listen",
        &["is \"localhost:7401\"", "IP address and a port"],
    );
    check(replaced("127.0.0.1:7402", "127.0.0.1"), "line 12", "peers.west.addresses", &["not an address"]);
    check(
        replaced("[\"west\"]", "\"west\""),
        "line 17",
        "actors.ledger.nodes",
        &["a text, and must be a list", "[\"west\"]"],
    );
    check(
        added("[limits]\nattempts_max = 1.5"),
        "line 20",
        "limits.attempts_max",
        &["a number with a fraction", "`8`"],
    );
    check(added("[limits]\nattempts_max = -1"), "line 20", "limits.attempts_max", &["below zero"]);
    check(added("[limits]\nattempts_max = 4294967296"), "line 20", "limits.attempts_max", &["too large"]);
    check(added("[link]\nstreams = 256"), "line 20", "link.streams", &["too large"]);
    check(added("[limits]\nmessage_bytes_max = \"1MB\""), "line 20", "limits.message_bytes_max", &["\"1MB\"", "MiB"]);
    check(added("[limits]\nmessage_bytes_max = true"), "line 20", "limits.message_bytes_max", &["true or false"]);
    check(added("[times]\nask_timeout = 30"), "line 20", "times.ask_timeout", &["without a unit", "`\"30s\"`"]);
    check(added("[times]\nask_timeout = \"30\""), "line 20", "times.ask_timeout", &["not a duration"]);
    check(added("[times]\nask_timeout = 1979-05-27"), "line 20", "times.ask_timeout", &["a date"]);
    check(added("[logs]\nformat = \"xml\""), "line 20", "logs.format", &["\"pretty\"", "\"json\""]);
    check(added("[logs]\nfilter = \"everpost=loud\""), "line 20", "logs.filter", &["not a filter"]);
    check(
        replaced("[peers.west]\naddresses", "[peers]\nwest"),
        "line 12",
        "peers.west",
        &["must be a section", "[peers.west]"],
    );
    check(message(read(&format!("store = 3\n{FILE}"))), "line 1", "store", &["must be a section", "`[store]`"]);
}

#[test]
fn names_are_dns_names() {
    // A line break in a value is told without breaking the line.
    check(replaced("\"east\"", r#""ea\nst""#), "line 1", "name", &[r#"is "ea\nst""#]);
    let long = "a".repeat(64);
    for wrong in ["", "East", "ea st", "ea_st", "-east", "east-", "ea.st", "7", "öst", long.as_str()] {
        check(replaced("\"east\"", &format!("\"{wrong}\"")), "line 1", "name", &["cannot be a name", "a-z"]);
        check(replaced("\"orders\"", &format!("\"{wrong}\"")), "line 2", "cluster", &["cannot be a name"]);
    }
    check(replaced("peers.west", "peers.West"), "line 11", "peers.West", &["a-z"]);
    check(added("[actors.Page]\nnodes = [\"west\"]"), "line 19", "actors.Page", &["a-z"]);
    read(&FILE.replace("\"east\"", &format!("\"{}\"", "a".repeat(63)))).unwrap();
}

#[test]
fn peers_that_cannot_be_are_refused() {
    check(added("[peers.east]\naddresses = [\"127.0.0.1:1\"]"), "line 19", "peers.east", &["is this node itself"]);
    check(replaced("\n    \"127.0.0.1:7402\",\n", ""), "line 12", "peers.west.addresses", &["empty list"]);
    check(replaced("7402", "7401"), "line 13", "peers.west.addresses", &["where this node listens itself"]);
    let everywhere = FILE.replace("\"127.0.0.1:7401\"", "\"0.0.0.0:7402\"");
    check(message(read(&everywhere)), "line 13", "peers.west.addresses", &["where this node listens itself"]);
    check(
        added("[peers.north]\naddresses = [\"127.0.0.1:1\",\n\"127.0.0.1:7402\"]"),
        "line 13",
        "peers.west.addresses",
        &["which is an address of the peer `north` too"],
    );
    check(replaced("7402\",", "7402\", \"127.0.0.1:7402\","), "line 13", "peers.west.addresses", &["twice"]);
    // The system chooses the port: these are not the same address.
    read(&FILE.replace(":7401", ":0").replace(":7402", ":0")).unwrap();
}

#[test]
fn placements_name_nodes_that_exist() {
    check(replaced("[\"west\"]", "[]"), "line 17", "actors.ledger.nodes", &["empty list"]);
    check(
        replaced("[\"west\"]", "[\"north\"]"),
        "line 17",
        "actors.ledger.nodes",
        &["\"north\"", "west, east", "[peers.north]"],
    );
    check(replaced("[\"west\"]", "[\"west\", \"west\"]"), "line 17", "actors.ledger.nodes", &["twice"]);
    read(&FILE.replace("[\"west\"]", "[\"west\", \"east\"]")).unwrap();
}

#[test]
fn settings_that_contradict_each_other_are_named_with_their_lines() {
    check(
        added("[link]\nidle_timeout = \"1499ms\""),
        "line 20",
        "link.idle_timeout",
        &["three times `link.keep_alive`"],
    );
    check(
        added("[link]\nkeep_alive = \"2s\""),
        "line 20",
        "link.idle_timeout",
        &["(\"2s\" by default, not in the file)"],
    );
    check(added("[link]\nkeep_alive = \"0s\""), "line 20", "link.keep_alive", &["is too short", "\"1ms\""]);
    check(added("[link]\nreconnect_first = \"2s\""), "line 20", "link.reconnect_first", &["exceeds"]);
    check(added("[link]\nreconnect_first = \"0ms\""), "line 20", "link.reconnect_first", &["is too short", "\"1ms\""]);
    check(added("[link]\nreconnect_cap = \"2h\""), "line 20", "link.reconnect_cap", &["for hours", "\"1h\""]);
    check(added("[link]\nidle_timeout = \"25h\""), "line 20", "link.idle_timeout", &["too long", "\"24h\""]);
    check(added("[link]\nhandshake_cap = \"25h\""), "line 20", "link.handshake_cap", &["too long", "\"24h\""]);
    let short = "[link]\nhandshake_first = \"1ms\"\nhandshake_cap = \"99ms\"";
    check(added(short), "line 21", "link.handshake_cap", &["is too short", "\"100ms\""]);
    check(added("[link]\nlane_window_bytes = 1"), "line 20", "link.lane_window_bytes", &["too small"]);
    check(added("[link]\nsend_window_bytes = \"512KiB\""), "line 20", "link.lane_window_bytes", &["exceeds"]);
    check(added("[link]\nstreams = 0"), "line 20", "link.streams", &["from 1 to 64"]);
    check(added("[limits]\nattempts_max = 0"), "line 20", "limits.attempts_max", &["tried at least once"]);
    check(added("[times]\n\nidle_after = \"0s\""), "line 21", "times.idle_after", &["longer than zero"]);
    check(added("[times]\nbackoff_first = \"31s\""), "line 20", "times.backoff_first", &["`times.backoff_cap`"]);
    check(added("[times]\nbackoff_cap = \"1ms\""), "line 20", "times.backoff_first", &["not in the file"]);
    check(
        added("[limits]\nmessage_bytes_max = \"1MiB\"\n[store]\nqueue_bytes_max = \"1MiB\""),
        "line 20",
        "limits.message_bytes_max",
        &["1048576", "515840", "`store.queue_bytes_max`"],
    );
    check(added("[store]\npartitions = 0"), "line 20", "store.partitions", &["at least 1"]);
    check(
        added("[store]\ntables_map_bytes = 4096"),
        "line 20",
        "store.tables_map_bytes",
        &["4096", "at least 1048576"],
    );
    check(added("[store]\ngroup_bytes_max = \"3TiB\""), "line 20", "store.group_bytes_max", &["at most"]);
    check(
        added("[store]\ncheckpoint_bytes = 100\noverlay_bytes_max = 10"),
        "line 21",
        "store.overlay_bytes_max",
        &["is 10, and must be at least 200"],
    );
}

#[test]
fn a_mistake_in_a_variable_names_the_variable() {
    let check = |name: &str, value: &str, key: &str, parts: &[&str]| {
        check(variable(name, value), &format!("variable {name}"), key, parts);
    };
    check("EVERPOST_LISTEN", "7401", "listen", &["not an address"]);
    check("EVERPOST_NAME", "west", "peers.west", &[]);
    check("EVERPOST_LISTEN", "127.0.0.1:7402", "peers.west.addresses", &["listens itself"]);
    check("EVERPOST_LINK__STREAMS", "many", "link.streams", &["is a text, and must be a whole number"]);
    check("EVERPOST_LINK__KEEP_ALIVE", "1m", "link.idle_timeout", &["three times"]);
    check("EVERPOST_PEERS__WEST__ADDRESSES", "127.0.0.1:1", "peers.west.addresses", &["must be a list"]);
    check("EVERPOST_PEERS__WEST__ADDRESSES", "[\"127.0.0.1:7401\"]", "peers.west.addresses", &["listens itself"]);
    check("EVERPOST_ACTORS__LEDGER__NODES", "[\"a\"]", "actors.ledger.nodes", &["\"a\""]);
}

#[test]
fn a_variable_that_names_no_key_is_a_mistake() {
    let check = |name: &str, key: &str, parts: &[&str]| {
        check(variable(name, "1"), &format!("variable {name}"), key, parts);
    };
    check("EVERPOST_LISTNE", "listne", &["did you mean EVERPOST_LISTEN?"]);
    check("EVERPOST_LOG", "log", &["did you mean EVERPOST_LOGS__...?"]);
    check("EVERPOST_STORE_PARTITIONS", "store_partitions", &["EVERPOST_STORE__PARTITIONS"]);
    check("EVERPOST_STORE", "store", &["is not a key"]);
    check("EVERPOST_STORE__PARTITION", "store.partition", &["did you mean `partitions`?"]);
    check("EVERPOST_STORES__PARTITIONS", "stores", &["did you mean `store`?"]);
    check("EVERPOST_Listen", "listen", &["EVERPOST_LISTEN"]);
    check("EVERPOST_STORE__", "store.", &[]);
    check("EVERPOST_NAME__FIRST", "name.first", &["not a section"]);
    check("EVERPOST_PEERS__WSET__ADDRESSES", "peers.wset.addresses", &["are: west"]);
    check("EVERPOST_PEERS__WEST", "peers.west", &["must be a section"]);
}
