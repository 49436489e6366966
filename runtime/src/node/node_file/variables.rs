//! Environment variables that override a node file: `EVERPOST_STORE__TABLES_MAP_BYTES=1GiB` stands for
//! `tables_map_bytes` in `[store]`.
//!
//! Not every variable that begins like that is meant for the file: test harnesses and orchestrators set some too. One
//! is looked at if it has two underscores in a row, or if its first word is a key or section at the top of the file, or
//! one slip away from it. So `EVERPOST_TEST_SEED` is left alone, and `EVERPOST_LISTNE` is a mistake.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;

use super::error::{Fault, NodeFileError, Origin};
use super::tree::{Item, Table, Value};
use super::words::{nearest, slips};

/// What all of them begin with.
const PREFIX: &str = "EVERPOST_";

/// What a variable can stand for as a whole.
const KEYS: [&str; 4] = ["name", "cluster", "data", "listen"];

/// What a variable can name before two underscores.
const SECTIONS: [&str; 8] = ["identity", "peers", "actors", "limits", "times", "store", "link", "logs"];

/// The variables of this process that may be meant for the file at `path`.
pub(super) fn of_process(path: &Path) -> Result<BTreeMap<String, String>, NodeFileError> {
    let mut variables = BTreeMap::new();
    for (name, value) in env::vars_os() {
        let Some(name) = name.to_str().filter(|name| part_for_file(name).is_some()) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            return Err(fault(name, "the variable", "is not in UTF-8", "write it again").in_file(path));
        };
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

/// Puts the values of variables into the tree of the file.
pub(super) fn apply(tree: &mut Item, variables: impl IntoIterator<Item = (String, String)>) -> Result<(), Fault> {
    // Sorted, so that of several mistakes it is always the same one that is told.
    for (name, value) in variables.into_iter().collect::<BTreeMap<_, _>>() {
        if let Some(part) = part_for_file(&name) {
            put(tree, &name, part, value)?;
        }
    }
    Ok(())
}

/// What comes after the prefix, if the variable is meant for the file.
fn part_for_file(name: &str) -> Option<&str> {
    let part = name.strip_prefix(PREFIX)?;
    let first = part.split('_').next().unwrap_or_default().to_ascii_lowercase();
    let near = KEYS.iter().chain(&SECTIONS).any(|key| slips(&first, key) <= 1);
    (part.contains("__") || near).then_some(part)
}

fn put(tree: &mut Item, name: &str, part: &str, value: String) -> Result<(), Fault> {
    let parts: Vec<String> = part.split("__").map(str::to_ascii_lowercase).collect();
    let key = parts.join(".");
    let first = parts[0].split('_').next().unwrap_or_default();
    if part.chars().any(|letter| letter.is_ascii_lowercase()) {
        let advice = format!("write {PREFIX}{}", part.to_ascii_uppercase());
        return Err(fault(name, &key, "is written in small letters", &advice));
    }
    if parts.len() == 1 && !KEYS.contains(&key.as_str()) {
        return Err(not_a_key(name, part, &key, first));
    }
    let mut parts = parts.as_slice();
    let mut here = tree;
    let mut path = String::new();
    while let [section, rest @ ..] = parts
        && !rest.is_empty()
    {
        let Value::Table(table) = &mut here.value else {
            return Err(fault(name, &key, &format!("is inside `{path}`, which is not a section"), "leave it out"));
        };
        let chosen = match path.as_str() {
            "peers" | "actors" => Some(chosen_name(table, section).map_err(|known| unknown_name(name, &key, known))?),
            _ => None,
        };
        let section = chosen.unwrap_or_else(|| section.clone());
        path = if path.is_empty() { section.clone() } else { format!("{path}.{section}") };
        let origin = Origin::Variable(name.to_owned());
        here = table.entry(section).or_insert_with(|| Item { origin, value: Value::Table(Table::new()) });
        parts = rest;
    }
    let item = Item { origin: Origin::Variable(name.to_owned()), value: Value::Variable(value) };
    match (&mut here.value, parts) {
        (Value::Table(table), [last]) => {
            table.insert(last.clone(), item);
            Ok(())
        }
        _ => Err(fault(name, &key, &format!("is inside `{path}`, which is not a section"), "leave it out")),
    }
}

/// The name in the file that a part of a variable stands for. A shell takes no `-` in a variable, so `_` stands for it
/// too. Otherwise the names in the file.
fn chosen_name(table: &Table, part: &str) -> Result<String, Vec<String>> {
    let alike = |name: &&String| name.replace('-', "_") == part.replace('-', "_");
    let mut found = table.keys().filter(alike);
    match (found.next(), found.next()) {
        (Some(name), None) => Ok(name.clone()),
        _ => Err(table.keys().cloned().collect()),
    }
}

/// Variables change the peers and placements of a file and never add one: a misspelt name would move actors.
fn unknown_name(name: &str, key: &str, known: Vec<String>) -> Fault {
    let advice = match known.is_empty() {
        true => "add it to the file, which has none".to_owned(),
        false => format!("name one of those in the file, which are: {}", known.join(", ")),
    };
    fault(name, key, "does not say which one in the file is meant", &advice)
}

fn not_a_key(name: &str, part: &str, key: &str, first: &str) -> Fault {
    let advice = if let Some(rest) = part.get(first.len() + 1..).filter(|_| SECTIONS.contains(&first)) {
        format!("two underscores follow a section: {PREFIX}{}__{rest}", first.to_ascii_uppercase())
    } else if let Some(meant) = nearest(first, KEYS.into_iter().chain(SECTIONS)) {
        let more = if SECTIONS.contains(&meant) { "__..." } else { "" };
        format!("did you mean {PREFIX}{}{more}? Otherwise unset it", meant.to_ascii_uppercase())
    } else {
        "unset it".to_owned()
    };
    fault(name, key, "is not a key of a node file", &advice)
}

fn fault(name: &str, key: &str, problem: &str, advice: &str) -> Fault {
    Fault {
        origin: Origin::Variable(name.to_owned()),
        key: key.to_owned(),
        problem: problem.to_owned(),
        advice: advice.to_owned(),
    }
}
