//! House rules that hold the architecture together, as tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use everpost_tests::sources::{root, sources};

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names in the `[dependencies]` of a package, without those for its tests.
fn dependencies(package: &str) -> BTreeSet<String> {
    let manifest = read(&format!("{package}/Cargo.toml"));
    let mut names = BTreeSet::new();
    let mut within = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            within = section == "dependencies]";
        } else if within && let Some(name) = line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty()) {
            names.insert(name.to_owned());
        }
    }
    names
}

/// The code of a file without comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

#[test]
fn leaves_know_nobody_else_of_the_workspace() {
    for package in ["persistence", "transport"] {
        let ours: Vec<_> = dependencies(package).into_iter().filter(|name| name.starts_with("everpost")).collect();
        assert!(ours.is_empty(), "{package} depends on {ours:?}");
        assert!(!read(&format!("{package}/Cargo.toml")).contains("path = \"../"), "{package} names a neighbour");
    }
}

#[test]
fn only_the_runtime_knows_ractor_and_only_the_store_knows_lmdb() {
    for package in ["persistence", "transport", "cli", "examples", "tests", "runtime/macros"] {
        assert!(!dependencies(package).contains("ractor"), "{package} depends on ractor");
    }
    for package in ["runtime", "transport", "cli", "examples", "runtime/macros"] {
        assert!(!dependencies(package).contains("heed"), "{package} depends on heed");
    }
    assert!(dependencies("runtime").contains("ractor") && dependencies("persistence").contains("heed"));
}

#[test]
fn only_the_transport_knows_quic_and_nobody_passes_by_the_runtime() {
    for package in ["runtime", "persistence", "cli", "examples", "runtime/macros"] {
        let known = dependencies(package);
        assert!(!known.contains("quinn") && !known.contains("rustls"), "{package} depends on QUIC or TLS");
    }
    for package in ["cli", "examples"] {
        assert!(!dependencies(package).contains("everpost-persistence"), "{package} opens stores by itself");
    }
    assert!(dependencies("transport").contains("quinn"));
}

#[test]
fn pure_modules_name_no_clock_no_disk_no_task_and_no_chance() {
    const FORBIDDEN: [&str; 12] = [
        "tokio",
        "heed",
        "ractor",
        "quinn",
        "rand::",
        "Instant",
        "SystemTime::now",
        "std::fs",
        "std::net",
        "std::thread",
        "Micros::now",
        "std::env",
    ];
    /// Wholly pure, beside every module that is called `rules`.
    const PURE: [&str; 7] = [
        "persistence/src/fold",
        "persistence/src/record",
        "runtime/src/commit/size.rs",
        "runtime/src/record",
        "runtime/src/timer",
        "transport/src/policy",
        "transport/src/protocol",
    ];
    let is_pure = |path: &Path| {
        let path = path.strip_prefix(root()).unwrap();
        PURE.iter().any(|pure| path.starts_with(pure))
            || path.components().any(|part| part.as_os_str() == "rules" || part.as_os_str() == "rules.rs")
    };
    let packages = ["persistence/src", "runtime/src", "transport/src"];
    let modules: Vec<PathBuf> = packages.iter().flat_map(|package| sources(&root().join(package))).collect();
    let modules: Vec<PathBuf> = modules.into_iter().filter(|path| is_pure(path)).collect();
    assert!(modules.len() > 60, "only {} modules are pure", modules.len());
    for module in modules.iter().filter(|module| !module.ends_with("tests.rs")) {
        let code = code(&fs::read_to_string(module).unwrap());
        for name in FORBIDDEN {
            assert!(!code.contains(name), "{} is pure, and names `{name}`", module.display());
        }
    }
}

/// A moment of the runtime's clock plus a wait that a user has chosen may be past the end of time, which panics.
#[test]
fn only_deadlines_add_a_wait_to_a_moment_and_only_the_clock_of_the_node_is_read() {
    for path in sources(&root().join("runtime/src")) {
        let code = code(&fs::read_to_string(&path).unwrap());
        let is_allowed = path.ends_with("runtime/src/base/clock/deadline.rs");
        assert!(is_allowed || !code.contains("Instant::now() +"), "{}: use `Deadline`", path.display());
        assert!(!code.contains("Micros::now()"), "{}: ask the clock of the node", path.display());
    }
}

/// A constant that is not judged may be one with which messages stand still.
#[test]
fn every_constant_of_an_actor_type_is_judged_at_the_start() {
    let actor = code(&read("runtime/src/actor.rs"));
    let (_, of_trait) = actor.split_once("pub trait Actor").unwrap();
    let (of_trait, _) = of_trait.split_once("fn handlers").unwrap();
    let constants: Vec<_> = of_trait.split("const ").skip(1).map(|rest| rest.split(':').next().unwrap()).collect();
    assert!(constants.contains(&"HOLDS_MAX"), "{constants:?}");
    let judged = read("runtime/src/actor/constants.rs");
    let missing: Vec<_> = constants.iter().filter(|constant| !judged.contains(**constant)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn unsafe_code_is_in_two_files_only() {
    let mut found = BTreeSet::new();
    for package in ["persistence", "transport", "runtime", "runtime/macros", "cli", "examples", "tests"] {
        for path in sources(&root().join(package)) {
            let is_test =
                |part: std::path::Component<'_>| part.as_os_str() == "tests" || part.as_os_str() == "tests.rs";
            let inside_tests = path.components().any(is_test) && package != "tests";
            let code = code(&fs::read_to_string(&path).unwrap());
            if !inside_tests
                && (code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl"))
            {
                found.insert(path.strip_prefix(root()).unwrap().display().to_string());
            }
        }
    }
    let allowed = ["persistence/src/lmdb/env.rs", "persistence/src/slots/map.rs"];
    assert_eq!(found, allowed.map(str::to_owned).into_iter().collect());
}

/// The documents that name tests.
const NAMING_TESTS: [&str; 2] = ["docs/GUARANTEES.md", "README.md"];

#[test]
fn every_test_that_is_named_exists_in_its_module() {
    let modules: Vec<(PathBuf, String)> = ["persistence", "transport", "runtime", "cli", "examples", "tests"]
        .iter()
        .flat_map(|package| sources(&root().join(package)))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    let is_there = |name: &str| {
        let mut parts = name.rsplit("::").filter(|part| *part != "tests");
        let (function, module) = (parts.next().unwrap(), parts.next().unwrap());
        let mut found = modules.iter().filter(|(_, text)| text.contains(&format!("fn {function}(")));
        found.any(|(path, _)| {
            path.iter().any(|part| part.to_str().is_some_and(|part| part.trim_end_matches(".rs") == module))
        })
    };
    let mut named = 0;
    for document in NAMING_TESTS {
        let text = read(document);
        let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
        for name in spans.filter(|name| is_test_name(name)) {
            assert!(is_there(name), "{document} names `{name}`, which does not exist");
            named += 1;
        }
    }
    assert!(named >= 300, "only {named} tests are named");
}

/// `module::test_name`, which has more words than the name of a method.
fn is_test_name(name: &str) -> bool {
    let Some((module, function)) = name.rsplit_once("::") else {
        return false;
    };
    let lower = |text: &str| {
        text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_:".contains(letter))
    };
    lower(module) && lower(function) && function.matches('_').count() >= 2
}

/// The calls of the macros of `tracing` in the code of the runtime, each from its name to its end.
fn logging_calls() -> Vec<(String, String)> {
    let mut calls = Vec::new();
    for path in sources(&root().join("runtime/src")) {
        let code = code(&fs::read_to_string(&path).unwrap());
        for level in ["error", "warn", "info", "debug", "info_span"] {
            for (begin, name) in code.match_indices(&format!("tracing::{level}!(")) {
                let arguments = within_parentheses(&code[begin + name.len()..]);
                calls.push((format!("{}: {name}", path.display()), arguments.to_owned()));
            }
        }
    }
    assert!(calls.len() > 30, "only {} calls", calls.len());
    calls
}

/// What comes before the parenthesis that closes the one in front of `code`.
fn within_parentheses(code: &str) -> &str {
    let (mut depth, mut in_text) = (1, false);
    for (index, letter) in code.char_indices() {
        match letter {
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..index];
        }
    }
    panic!("no end: {code}")
}

/// The id of a message once took the place of the text, since `tracing` calls the text `message`.
#[test]
fn no_field_of_a_log_is_called_message() {
    for (place, arguments) in logging_calls() {
        let fields = arguments.split('"').step_by(2).flat_map(|outside| outside.split(','));
        let names = fields.map(|field| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']));
        for name in names {
            assert!(name != "message", "{place} has a field `message`: call it `message_id`");
        }
    }
}

#[test]
fn every_event_of_the_logs_has_a_name_and_is_documented() {
    let logs = read("docs/LOGS.md");
    for (place, arguments) in logging_calls().into_iter().filter(|(place, _)| !place.contains("span")) {
        assert!(arguments.contains("event"), "{place} names no event: {arguments}");
        if let Some((_, name)) = arguments.split_once("event = \"") {
            let name = name.split('"').next().unwrap();
            assert!(logs.contains(&format!("`{name}`")), "docs/LOGS.md does not list `{name}` of {place}");
        }
    }
}

/// What needs somebody, or may, and cannot be said again and again about one thing; by its event, and why it cannot.
/// Everything else goes through an alarm, which says how often it was met.
const SAID_ONCE: [(&str, &str); 20] = [
    ("check not noted", "once in a check"),
    ("child failed", "as often as the budget of the group allows"),
    ("child killed", "as often as the budget of the group allows"),
    ("count below nothing", "once in a process"),
    ("died of a query", "at the start"),
    ("group gave up", "it has ended"),
    ("log lines left out", "once for each mebibyte that was written"),
    ("nested budgets", "when a group is supervised"),
    ("no note on time", "at the start"),
    ("record unreadable", "at the start"),
    ("runtime gone", "the node has ended"),
    ("store failed", "the node has ended"),
    ("store not closed", "the node has ended"),
    ("task does not yield", "when its group has ended"),
    ("task panicked", "the node has ended"),
    ("task restarted", "as often as the budget of services allows"),
    ("the start waits for the wall clock", "at the start"),
    ("the wall clock is believed", "a clock has to stand for a minute before"),
    ("timer cannot fire", "at the start, once for each reason; afterwards through the limiter"),
    ("unhandled messages given up on", "at the start"),
];

/// A trouble that lasts once filled the log with a line each second.
#[test]
fn what_may_be_said_again_and_again_goes_through_an_alarm() {
    let grave = |(place, _): &(String, String)| place.contains("warn!") || place.contains("error!");
    let mut said = BTreeSet::new();
    for (place, arguments) in logging_calls().into_iter().filter(grave) {
        let event = arguments.split_once("event = \"").and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
        let is_once = SAID_ONCE.iter().any(|(once, _)| *once == event);
        let is_alarm = arguments.split([',', ' ', '?']).any(|word| word == "times" || word == "lasts");
        assert!(is_alarm || is_once, "{place} says `{event}` each time: let it go through `Alarm` or `Recurring`");
        said.insert(event.to_owned());
    }
    let gone: Vec<_> = SAID_ONCE.iter().filter(|(once, _)| !said.contains(*once)).collect();
    assert!(gone.is_empty(), "nothing says {gone:?} any more");
}

/// What may begin a task or a thread, in how many places, and who sees its panic. Everything else goes through the
/// first two.
const BEGINS: [(&str, usize, &str); 23] = [
    ("runtime/src/shard/service.rs", 1, "this is the place for what runs as long as the node"),
    ("runtime/src/shard/tasks.rs", 3, "this is the place for what ends"),
    ("runtime/src/base/child.rs", 1, "its supervisor is told of its end"),
    ("runtime/src/base/own_runtime.rs", 1, "it does nothing that could panic"),
    ("runtime/src/shard/end.rs", 1, "whoever closes the store is told of its panic"),
    ("runtime/src/engine/reading.rs", 1, "whoever reads is told of its panic"),
    ("runtime/src/link/dialing.rs", 1, "the link fails of its panic, and is started anew"),
    ("runtime/src/link/listener.rs", 1, "the door fails of its panic, and is opened anew"),
    ("runtime/src/link/renewal.rs", 1, "the service that waits for it fails of its panic, and is started anew"),
    ("runtime/src/link/supervision.rs", 1, "the node watches the supervisor, which starts its children anew"),
    ("runtime/src/node/builder.rs", 1, "before there is a node; whoever starts it is told of its panic"),
    ("runtime/src/node/builder/starting.rs", 2, "before there is a node; whoever starts it is told of its panic"),
    ("runtime/src/node/reopen.rs", 2, "whoever calls it is told of its panic"),
    ("runtime/src/node/stop.rs", 1, "it lives as long as the program's runtime, and does nothing"),
    ("runtime/src/node/watchdog.rs", 1, "it keeps to the rules of services, on a thread"),
    ("runtime/src/supervise/group/family.rs", 1, "the group is told of the end of its children"),
    ("runtime/src/supervise/group/roots.rs", 2, "the supervisor sees its own panics, and is told of the end of groups"),
    ("runtime/src/supervise/supervision.rs", 1, "the node watches the supervisor, which starts its children anew"),
    ("runtime/src/telemetry/output.rs", 1, "it catches its panics: there is nobody to tell"),
    ("persistence/src/engine/threads.rs", 4, "its panic is the failure of the store"),
    ("transport/src/endpoint.rs", 1, "the door of the node sees that nobody accepts any more"),
    ("transport/src/endpoint/accept.rs", 1, "the acceptor sees it as a defect of that handshake"),
    ("transport/src/endpoint/tasks.rs", 1, "who uses its connection, or accepts, sees that it has gone"),
];

/// A gate that had panicked was gone without a word, and nothing was ever acknowledged again.
#[test]
fn no_task_and_no_thread_begins_where_nobody_sees_its_panic() {
    let mut begin = BTreeSet::new();
    for package in ["persistence", "runtime", "transport"] {
        for path in sources(&root().join(package).join("src")) {
            if path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs") {
                continue;
            }
            let code = code(&fs::read_to_string(&path).unwrap());
            let places: usize = ["spawn(", "spawn_blocking(", "spawn_linked(", "spawn_local(", "spawn_on("]
                .iter()
                .map(|spawn| code.matches(spawn).count() - code.matches(&format!("fn {spawn}")).count())
                .sum();
            if places > 0 {
                begin.insert((path.strip_prefix(root()).unwrap().display().to_string(), places));
            }
        }
    }
    assert_eq!(begin, BEGINS.iter().map(|(path, places, _)| ((*path).to_owned(), *places)).collect());
}

/// What a service of the node is called in the table of services, each of which is seen to panic in a test.
#[test]
fn every_service_of_the_node_is_seen_to_panic_and_told_in_the_architecture() {
    let text = read("runtime/src/shard/services.rs");
    let services = code(&text);
    let names: Vec<_> = services.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(names.len() >= 14, "only {names:?} were found");
    let (tests, table) = (read("tests/it/services.rs") + &read("tests/it/panics.rs"), read("docs/ARCHITECTURE.md"));
    for name in names {
        let is_untested = UNSEEN.contains(&name);
        assert_ne!(tests.contains(&format!("\"{name}\"")), is_untested, "no test lets `{name}` panic, or one does");
        assert!(
            table.contains(&format!("| `{name}` |")),
            "docs/ARCHITECTURE.md does not tell what the end of `{name}` means"
        );
    }
}

/// Nothing that a test can do lets these panic: they write no line, and what they call is of other libraries.
const UNSEEN: [&str; 1] = ["acceptor of connections"];

/// `main` printed `Error: Open(Missing { .. })`.
#[test]
fn public_errors_show_their_text_as_debug() {
    let mut errors = 0;
    for package in ["persistence", "transport", "runtime"] {
        for path in sources(&root().join(package).join("src")) {
            let code = code(&fs::read_to_string(&path).unwrap());
            for derive in code.split("#[derive(").skip(1).filter(|derive| derive.contains("thiserror::Error")) {
                let (derived, item) = derive.split_once(")]").unwrap();
                let item = item.lines().map(str::trim).find(|line| line.starts_with("pub ")).unwrap_or_default();
                if derived.contains("thiserror::Error")
                    && (item.starts_with("pub enum") || item.starts_with("pub struct"))
                {
                    errors += 1;
                    let shows = !derived.contains("Debug");
                    assert!(shows, "{}: `{item}` derives Debug: use `debug_as_text!`", path.display());
                }
            }
        }
    }
    assert!(errors >= 35, "only {errors} were found");
}
