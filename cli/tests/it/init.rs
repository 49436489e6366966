//! `everpost init`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use everpost::NodeFile;

use crate::support::{Nodes, lock, outcome, program, program_without_rights};

#[test]
fn three_nodes_are_made_and_pass_the_check() {
    let nodes = Nodes(tempfile::tempdir().unwrap());
    let made = nodes.init(&["--nodes", "east,west,north", "--cluster", "orders", "--port", "17400"]);
    made.succeeded();
    for (name, port) in [("east", 17401), ("west", 17402), ("north", 17403)] {
        assert!(made.output.contains(&format!("127.0.0.1:{port}")), "{}", made.output);
        let report = nodes.check(&format!("{name}.toml"));
        report.succeeded();
        report.says("ok", "file", &[&format!("node `{name}` of the cluster `orders`, 2 peers")]);
        report.says("ok", "dates", &["valid until 20", "(in 364 days)"]);
        report.says("ok", "trust", &["ca.crt", &format!("`{name}`")]);
        report.says("ok", "private key", &[]);
        report.says("ok", "data", &[&format!("{name}-data will be made")]);

        let file = NodeFile::read(&nodes.path(&format!("{name}.toml"))).unwrap();
        assert_eq!(file.listen.port(), port);
        assert_eq!(file.peers.len(), 2);
        for (peer, port) in
            [("east", 17401), ("west", 17402), ("north", 17403)].iter().filter(|(peer, _)| *peer != name)
        {
            assert_eq!(file.peers[*peer].addresses, [([127, 0, 0, 1], *port).into()]);
        }
    }
    let mode = |name: &str| fs::metadata(nodes.path(name)).unwrap().permissions().mode() & 0o777;
    for key in ["ca.key", "east.key", "west.key", "north.key"] {
        assert_eq!(mode(key), 0o600, "{key}");
    }
    assert_ne!(mode("ca.crt") & 0o200, 0);
    let mut names: Vec<_> = nodes.contents().into_keys().map(|path| path.file_name().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names.len(), 11, "only the files that were announced: {names:?}");
}

#[test]
fn what_the_comments_in_a_node_file_say_are_the_defaults() {
    let nodes = Nodes::new();
    let text = fs::read_to_string(nodes.path("west.toml")).unwrap();
    let plain = NodeFile::parse(&text, "west.toml", []).unwrap();
    let mut settings = 0;
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => {
                settings += 1;
                setting
            }
            _ => line,
        })
        .collect();
    let full = NodeFile::parse(&uncommented.join("\n"), "west.toml", []).unwrap();
    assert!(settings >= 20, "only {settings} settings are shown");
    assert_eq!(format!("{:?}", full.node), format!("{:?}", plain.node));
    assert_eq!(full.link, plain.link);
    let logs = full.logs.unwrap();
    assert_eq!((logs.format, logs.filter.as_str()), (everpost::LogFormat::Pretty, "info"));
    assert_eq!(full.actors["ledger"].nodes, ["east"]);
}

#[test]
fn nothing_is_overwritten_and_nothing_is_half_done() {
    let nodes = Nodes::new();
    let before = nodes.contents();
    nodes.init(&["--nodes", "east,north"]).failed(&["ca.key", "east.toml", "nothing was written", "--force"]);
    assert_eq!(nodes.contents(), before);

    // One file in the way is enough.
    let nodes = Nodes(tempfile::tempdir().unwrap());
    fs::write(nodes.path("west.key"), "precious").unwrap();
    nodes.init(&["--nodes", "east,west"]).failed(&["has west.key already", "nothing was written"]);
    assert_eq!(nodes.contents().into_values().collect::<Vec<_>>(), [b"precious"]);
}

#[test]
fn force_makes_everything_anew_and_the_old_certificates_are_out() {
    let nodes = Nodes::new();
    let old = nodes.contents();
    nodes.init(&["--nodes", "east,north", "--force"]).succeeded();
    let new = nodes.contents();
    for name in ["ca.crt", "ca.key", "east.crt", "east.key"] {
        assert_ne!(old[&nodes.path(name)], new[&nodes.path(name)], "{name} is the old one");
    }
    nodes.check("east.toml").succeeded();
    // The files of the node that was not named are as they were, and its certificate is of an authority that is gone.
    assert_eq!(old[&nodes.path("west.crt")], new[&nodes.path("west.crt")]);
    nodes.check("west.toml").says("problem", "trust", &["the authority of the cluster did not sign it"]);
}

#[test]
fn names_and_ports_that_cannot_be_are_refused() {
    let nodes = Nodes(tempfile::tempdir().unwrap());
    for (arguments, parts) in [
        (&["--nodes", "East"][..], &["`East` cannot be a name", "a-z"][..]),
        (&["--nodes", "east,,west"], &["`` cannot be a name"]),
        (&["--nodes", ""], &["`` cannot be a name"]),
        (&["--nodes", "a.b"], &["`a.b`"]),
        (&["--nodes", "../up"], &["`../up`"]),
        (&["--nodes", "east,west,east"], &["`east` twice"]),
        (&["--nodes", "ca"], &["the authority's files"]),
        (&["--nodes", "east", "--cluster", "My Cluster"], &["--cluster", "`My Cluster`"]),
        (&["--nodes", "a,b,c", "--port", "65533"], &["--port 65533", "a lower one"]),
    ] {
        nodes.init(arguments).failed(parts);
    }
    assert!(nodes.contents().is_empty());
    nodes.init(&["--nodes", "a,b", "--port", "65533"]).succeeded();
}

#[test]
fn a_command_line_that_is_wrong_ends_with_code_2() {
    let nodes = Nodes(tempfile::tempdir().unwrap());
    for arguments in
        [&["--nodes", "a", "--days", "0"][..], &["--nodes", "a", "--port", "70000"], &["--days", "1"], &["--oops"]]
    {
        let outcome = nodes.init(arguments);
        assert!(outcome.exit_code == 2 && outcome.error.contains("--help"), "{outcome:#?}");
    }
    assert!(nodes.contents().is_empty());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    lock(&locked);
    for dir in [locked.clone(), locked.join("new")] {
        let mut command = program_without_rights(folder.path());
        let outcome = outcome(command.args(["init", "--nodes", "east", "--dir"]).arg(&dir));
        outcome.failed(&[&locked.display().to_string(), "Permission denied", "nothing was changed"]);
    }
    assert_eq!(fs::read_dir(&locked).unwrap().count(), 0);

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    outcome(program().args(["init", "--nodes", "east", "--dir"]).arg(&file)).failed(&["/file", "nothing was changed"]);
}
