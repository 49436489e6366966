//! `everpost check`: each thing that can be wrong is named on one line, with what to do.

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use rcgen::ExtendedKeyUsagePurpose;
use time::{Duration, OffsetDateTime};

use crate::support::{Nodes, lock, outcome, program_without_rights, run};

#[test]
fn a_missing_file_and_an_unknown_key_are_one_line() {
    run(&["check", "no/such/east.toml"]).failed(&["no/such/east.toml cannot be read", "No such file"]);
    let nodes = Nodes::new();
    let text = fs::read_to_string(nodes.path("east.toml")).unwrap();
    fs::write(nodes.path("east.toml"), text.replace("cluster =", "klusster =")).unwrap();
    nodes.check("east.toml").failed(&["east.toml, line 9: `klusster` is not a key of a node file"]);
}

#[test]
fn variables_of_the_environment_count() {
    let nodes = Nodes::new();
    let report = nodes.check_with("east.toml", &[("EVERPOST_CLUSTER", "other"), ("EVERPOST_TEST_SEED", "1")]);
    report.says("ok", "file", &["of the cluster `other`"]);
    let report = nodes.check_with("east.toml", &[("EVERPOST_LISTNE", "127.0.0.1:1")]);
    report.failed(&["variable EVERPOST_LISTNE", "did you mean EVERPOST_LISTEN?"]);
}

#[test]
fn nothing_is_changed_by_looking() {
    let nodes = Nodes::new();
    let before = nodes.contents();
    nodes.check("east.toml").succeeded();
    assert_eq!(nodes.contents(), before);
}

#[test]
fn files_that_hold_no_identity_are_named() {
    for (file, text, parts) in [
        ("east.crt", "garbage", &["east.crt: holds no certificate"][..]),
        ("east.crt", "", &["east.crt: holds no certificate"]),
        (
            "east.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &["east.crt: holds no usable certificate"],
        ),
        ("east.key", "garbage", &["east.key: holds no private key"]),
        ("east.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &["east.key"]),
        ("ca.crt", "garbage", &["ca.crt: holds no certificate"]),
        (
            "ca.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &["ca.crt: holds no usable authority"],
        ),
    ] {
        let nodes = Nodes::new();
        fs::write(nodes.path(file), text).unwrap();
        nodes.check("east.toml").says("problem", "identity", parts);
    }
    for file in ["east.crt", "east.key", "ca.crt"] {
        let nodes = Nodes::new();
        fs::remove_file(nodes.path(file)).unwrap();
        nodes.check("east.toml").says("problem", "identity", &[file, "No such file"]);
    }
}

#[test]
fn a_key_that_does_not_match_is_named() {
    let nodes = Nodes::new();
    fs::copy(nodes.path("west.key"), nodes.path("east.key")).unwrap();
    nodes.check("east.toml").says(
        "problem",
        "identity",
        &["east.key: is not the key of the certificate in", "east.crt"],
    );
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let (nodes, others) = (Nodes::new(), Nodes::new());
    fs::copy(others.path("ca.crt"), nodes.path("ca.crt")).unwrap();
    let report = nodes.check("east.toml");
    report.says(
        "problem",
        "trust",
        &["east.crt", "the authority of the cluster did not sign it", "everpost init --force"],
    );
    report.says("ok", "dates", &[]);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let nodes = Nodes::new();
    fs::copy(nodes.path("west.crt"), nodes.path("east.crt")).unwrap();
    fs::copy(nodes.path("west.key"), nodes.path("east.key")).unwrap();
    nodes.check("east.toml").says("problem", "trust", &["is for `west`, and the node is called `east`"]);
}

#[test]
fn a_certificate_for_one_end_only_is_refused() {
    for (usage, end) in
        [(ExtendedKeyUsagePurpose::ServerAuth, "client"), (ExtendedKeyUsagePurpose::ClientAuth, "server")]
    {
        let nodes = Nodes::new();
        nodes.reissue(|params| params.extended_key_usages = vec![usage]);
        nodes.check("east.toml").says("problem", "trust", &[&format!("from a {end}")]);
    }
}

#[test]
fn certificates_of_another_time_say_when() {
    let now = OffsetDateTime::now_utc();
    let expired = Nodes::new();
    expired.reissue(|params| params.not_after = now - Duration::days(3));
    let report = expired.check("east.toml");
    report.says("problem", "dates", &["expired on 20", "(3 days ago)", "everpost init --force"]);
    // That is all that is wrong with it.
    report.says("ok", "trust", &[]);

    let early = Nodes::new();
    early.reissue(|params| params.not_before = now + Duration::hours(49));
    early.check("east.toml").says("problem", "dates", &["not valid before 20", "(in 2 days)", "clock"]);

    let ends_soon = Nodes::new();
    ends_soon.init(&["--nodes", "east", "--force", "--days", "30"]).succeeded();
    ends_soon.check("east.toml").says("warning", "dates", &["(in 29 days)"]);

    let backwards = Nodes::new();
    backwards.reissue(|params| {
        params.not_before = now + Duration::days(3);
        params.not_after = now - Duration::days(3);
    });
    backwards.check("east.toml").says("problem", "dates", &[]);
}

#[test]
fn a_key_that_others_can_read_is_a_warning() {
    let nodes = Nodes::new();
    fs::set_permissions(nodes.path("east.key"), Permissions::from_mode(0o640)).unwrap();
    let report = nodes.check("east.toml");
    report.says("warning", "private key", &["chmod 600"]);
    assert!(report.output.ends_with("warning\n") || report.output.ends_with("warnings\n"), "{}", report.output);
}

#[test]
fn an_address_that_is_taken_or_of_another_machine_is_told() {
    let nodes = Nodes::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    nodes.check_with("east.toml", &[("EVERPOST_LISTEN", &address)]).says("warning", "listen", &[&address, "in use"]);
    // An address that is kept for documents, so that no machine has it.
    let report = nodes.check_with("east.toml", &[("EVERPOST_LISTEN", "192.0.2.1:7401")]);
    report.says("problem", "listen", &["192.0.2.1:7401 cannot be used"]);
    nodes.check_with("east.toml", &[("EVERPOST_LISTEN", "127.0.0.1:0")]).says("ok", "listen", &[]);
}

#[test]
fn a_peer_that_cannot_be_reached_is_a_warning() {
    let nodes = Nodes::new();
    let report = nodes.check_with("east.toml", &[("EVERPOST_PEERS__WEST__ADDRESSES", "[\"127.0.0.1:0\"]")]);
    report.says("warning", "peers", &["`west`"]);
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named() {
    let nodes = Nodes::new();
    let files = nodes.contents();
    let data = |path: &str| nodes.check_with("east.toml", &[("EVERPOST_DATA", path)]);
    data("ca.crt").says("problem", "data", &["ca.crt cannot be written", "change `data`"]);
    data("ca.crt/data").says("problem", "data", &["so ", "ca.crt/data cannot be made"]);
    fs::create_dir(nodes.path("there")).unwrap();
    data("there").says("ok", "data", &["there can be written"]);
    data("there/deep/er").says("ok", "data", &["will be made"]);
    assert_eq!(fs::read_dir(nodes.path("there")).unwrap().count(), 0);

    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    lock(&locked);
    for file in files.into_keys() {
        let copy = folder.path().join(file.file_name().unwrap());
        fs::copy(&file, &copy).unwrap();
        // Whoever runs the check may read what it checks.
        fs::set_permissions(copy, Permissions::from_mode(0o644)).unwrap();
    }
    let mut command = program_without_rights(folder.path());
    command.env("EVERPOST_DATA", locked.join("data")).arg("check").arg(folder.path().join("east.toml"));
    outcome(&mut command).says(
        "problem",
        "data",
        &["locked cannot be written: Permission denied", "locked/data cannot be made"],
    );
}

#[test]
fn peers_that_the_socket_of_the_node_cannot_send_to_are_named() {
    let nodes = Nodes::new();
    let check = |listen, peer| {
        nodes.check_with("east.toml", &[("EVERPOST_LISTEN", listen), ("EVERPOST_PEERS__WEST__ADDRESSES", peer)])
    };
    let report = check("0.0.0.0:0", r#"["[::1]:7402"]"#);
    report.says("problem", "peers", &["`west` is not reached: [::1]:7402", "is an IPv6 address", "listen on `[::]`"]);
    let report = check("[::1]:0", r#"["127.0.0.1:7402"]"#);
    report.says("problem", "peers", &["`west` is not reached: 127.0.0.1:7402", "is an IPv4 address"]);
    let report = check("0.0.0.0:0", r#"["127.0.0.1:7402", "[::1]:7402"]"#);
    report.says("warning", "peers", &["`west` is not reached at [::1]:7402"]);
    check("[::]:0", r#"["127.0.0.1:7402", "[::1]:7402"]"#).succeeded();
}

#[test]
fn limits_of_the_process_that_are_too_small_are_named() {
    let nodes = Nodes::new();
    for (limit, parts) in [
        ("ulimit -v 20000000", &["20480000000 bytes of address space", "RLIMIT_AS", "store.tables_map_bytes"][..]),
        ("ulimit -n 40", &["40 open files", "RLIMIT_NOFILE"]),
        ("ulimit -u 30", &["30 threads", "RLIMIT_NPROC"]),
    ] {
        let mut command = Command::new("bash");
        command.env_clear().arg("-c").arg(format!("{limit}; exec \"$0\" check \"$1\""));
        command.arg(env!("CARGO_BIN_EXE_everpost")).arg(nodes.path("east.toml"));
        outcome(&mut command).says("problem", "limits", parts);
    }
    nodes.check("east.toml").succeeded();
}
