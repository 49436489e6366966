//! The arrows between the modules of each library go one way, and what is to be in one place is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use everpost_tests::sources::{root, sources};

/// The modules of the runtime from the bottom to the top: each may use those before it, and no other.
const RUNTIME: [&str; 18] = [
    "base",
    "tables",
    "message",
    "telemetry",
    "config",
    "record",
    "cluster",
    "mailbox",
    "timer",
    "shard",
    "commit",
    "engine",
    "actor",
    "activation",
    "api",
    "supervise",
    "link",
    "node",
];

/// Which modules of a library each module at its top uses.
type Uses = BTreeMap<String, BTreeSet<String>>;

/// The code of a file without comments and without its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| ["tests", "tests.rs"].iter().any(|name| part.as_os_str() == *name))
}

/// The first name of each path that begins at the root of the library.
fn used_in(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, path) in code.match_indices("crate::") {
        // `$crate` and `my_crate` are something else.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || "_$".contains(letter)) {
            continue;
        }
        let rest = code[at + path.len()..].trim_start();
        let names = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        let first =
            |name: &str| name.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned);
        used.extend(names.into_iter().filter_map(first).filter(|name| !name.is_empty()));
    }
    used
}

/// What the modules at the top of a library use of each other.
fn uses_of(package: &str) -> Uses {
    let src = root().join(package).join("src");
    let mut uses = Uses::new();
    for path in sources(&src).into_iter().filter(|path| !is_test(path)) {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let module = first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module != "lib" {
            uses.entry(module).or_default().extend(used_in(&code(&path)));
        }
    }
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    for (module, used) in &mut uses {
        used.retain(|name| name != module && modules.contains(name));
    }
    uses
}

/// The modules that can be reached from one.
fn reached<'u>(uses: &'u Uses, from: &'u str) -> BTreeSet<&'u str> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        for used in &uses[module] {
            if found.insert(used.as_str()) {
                open.push(used);
            }
        }
    }
    found
}

/// The modules that use themselves by a detour.
fn in_cycles(uses: &Uses) -> Vec<&str> {
    uses.keys().map(String::as_str).filter(|module| reached(uses, module).contains(module)).collect()
}

#[test]
fn no_library_has_an_import_cycle() {
    for package in ["persistence", "transport", "runtime"] {
        let uses = uses_of(package);
        assert!(uses.len() > 8, "{package} has only {} modules", uses.len());
        assert_eq!(in_cycles(&uses), [""; 0], "{package} has modules that use each other");
    }
}

#[test]
fn the_layers_of_the_runtime_use_only_what_is_below() {
    let uses = uses_of("runtime");
    let known: BTreeSet<&str> = RUNTIME.into_iter().collect();
    assert_eq!(uses.keys().map(String::as_str).collect::<BTreeSet<_>>(), known, "each module has its place");
    let below = |module: &str| RUNTIME.iter().position(|layer| *layer == module).unwrap();
    for (module, used) in &uses {
        let above: Vec<_> = used.iter().filter(|used| below(used) > below(module)).collect();
        assert!(above.is_empty(), "`{module}` uses {above:?}, which are above it");
    }
}

#[test]
fn a_cycle_is_found_through_any_number_of_modules() {
    let uses = |text: &str| -> Uses {
        let arrow = |line: &str| line.split_once(" -> ").map(|(from, to)| (from.to_owned(), to.to_owned())).unwrap();
        let mut uses = Uses::new();
        for (from, to) in text.split(", ").map(arrow) {
            uses.entry(to.clone()).or_default();
            uses.entry(from).or_default().insert(to);
        }
        uses
    };
    assert_eq!(in_cycles(&uses("a -> b, b -> c, a -> c")), [""; 0]);
    assert_eq!(in_cycles(&uses("a -> b, b -> c, c -> b, c -> d")), ["b", "c"]);
    assert_eq!(
        used_in("use crate::{base::clock, shard}; let x = crate::commit::Y; $crate::no; my_crate::no"),
        ["base", "commit", "shard"].map(str::to_owned).into_iter().collect()
    );
}

/// Methods would hide from the imports who uses whom.
#[test]
fn what_the_shard_does_is_written_beside_it_or_above_it_as_functions() {
    for path in sources(&root().join("runtime/src")) {
        let path = path.strip_prefix(root()).unwrap().to_path_buf();
        let is_beside = path.starts_with("runtime/src/shard") || path == Path::new("runtime/src/shard.rs");
        let has_methods = code(&root().join(&path)).lines().any(|line| line.starts_with("impl Shard"));
        assert!(is_beside || !has_methods, "{} adds methods to the shard", path.display());
    }
}

#[test]
fn one_file_submits_to_the_store() {
    let submits = |path: &PathBuf| code(path).contains("store.submit(");
    let found: Vec<PathBuf> = sources(&root().join("runtime/src")).into_iter().filter(submits).collect();
    assert_eq!(found, [root().join("runtime/src/commit/transaction.rs")]);
    for (name, file) in
        [("enum Effect", "commit/effect.rs"), ("enum Route", "shard/route.rs"), ("struct Shard", "shard.rs")]
    {
        let defines = |path: &PathBuf| code(path).contains(&format!("pub(crate) {name}"));
        let found: Vec<PathBuf> = sources(&root().join("runtime/src")).into_iter().filter(defines).collect();
        assert_eq!(found, [root().join("runtime/src").join(file)], "{name}");
    }
}
