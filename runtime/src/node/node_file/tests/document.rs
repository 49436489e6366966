//! `docs/CONFIGURATION.md` and the code say the same.

use std::collections::BTreeMap;

use super::*;
use crate::node::node_file::reader::Reader;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/CONFIGURATION.md");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the rows of all tables whose first cell is a key.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

#[test]
fn every_key_is_in_the_document_with_its_default_and_the_other_way_round() {
    let mut reader = Reader::default();
    parse(FILE, Path::new("east.toml"), [], &mut reader).unwrap();
    let code: BTreeMap<_, _> = reader.known().iter().map(|known| (known.key.clone(), known.default.clone())).collect();
    let document = document();
    let mut documented = BTreeMap::new();
    for row in rows(&document) {
        let [key, unit, default, meaning] = row[..] else { panic!("{row:?} has not four cells") };
        assert!(!unit.is_empty() && meaning.ends_with('.'), "{key}: no unit, or no sentence about it");
        let default = default.strip_prefix('`').map(|default| default.trim_end_matches('`').to_owned());
        let before = documented.insert(key.trim_matches('`').to_owned(), default);
        assert!(before.is_none(), "{key} is there twice");
    }
    assert_eq!(documented, code);
}

#[test]
fn the_file_in_the_document_is_valid() {
    let document = document();
    let example = document.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let file = read(example).unwrap();
    assert_eq!(file.actors["ledger"].nodes, ["west"]);
    assert_eq!(file.node.store.tables_map_bytes, 1 << 30);
}

#[test]
fn variables_know_every_section() {
    let mut reader = Reader::default();
    parse(FILE, Path::new("east.toml"), [], &mut reader).unwrap();
    for known in reader.known() {
        let part =
            known.key.to_ascii_uppercase().replace('.', "__").replace("NODE__", "WEST__").replace("TYPE__", "LEDGER__");
        let name = format!("EVERPOST_{part}");
        match read_with(&[(&name, "marker")]) {
            Ok(file) => assert!(format!("{file:?}").contains("marker"), "{name} was not looked at"),
            Err(error) => assert!(error.to_string().contains(&name), "{name}: {error}"),
        }
    }
}

/// The errors that the document shows are those that come.
#[test]
fn the_errors_in_the_document_are_real() {
    let document = document();
    let shown: Vec<_> = document.split("| kind | example |").nth(1).unwrap().lines().skip(2).collect();
    let add = |line: &str| read(&format!("{FILE}\n{line}\n")).unwrap_err();
    let replace = |from: &str, to: &str| read(&FILE.replace(from, to)).unwrap_err();
    let real = [
        NodeFile::read(Path::new("no-such-folder/east.toml")).unwrap_err(),
        replace("\"orders\"", "orders"),
        add("[limits]\natempts_max = 3"),
        replace("cluster = \"orders\"\n", ""),
        add("[limits]\nattempts_max = \"3\""),
        add("[times]\nask_timeout = 30"),
        add("[link]\nidle_timeout = \"1s\""),
        add("[store]\ncheckpoint_bytes = \"128MiB\""),
        replace("[\"west\"]", "[\"north\"]"),
        read_with(&[("EVERPOST_LISTEN", "localhost")]).unwrap_err(),
        read_with(&[("EVERPOST_LISTNE", "127.0.0.1:7401")]).unwrap_err(),
    ];
    assert_eq!(shown.len(), real.len());
    for (shown, real) in shown.iter().zip(real) {
        let real = real.to_string().replace("etc/", "").replace("no-such-folder/", "");
        assert!(shown.contains(&format!("`{real}`")), "shown: {shown}\nreal:  {real}");
    }
}
