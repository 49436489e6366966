//! What holds for everything public: what its documentation says, and which types may grow.

use std::collections::BTreeSet;

use super::surface::{Kind, awaited, named};
use super::{LIBRARIES, load};

/// The types and traits that a user of the library meets first; each shows in an example, which is run, how it is used.
const WITH_EXAMPLE: [&str; 34] = [
    "Actor",
    "ActorHandle",
    "Address",
    "Ask",
    "Budget",
    "Child",
    "ClusterConfig",
    "DeadLetter",
    "DeadLetters",
    "Durable",
    "Failure",
    "Fingerprint",
    "Group",
    "Handler",
    "Handlers",
    "Hold",
    "HoldHandler",
    "Message",
    "Micros",
    "Node",
    "NodeBuilder",
    "NodeConfig",
    "NodeFile",
    "Query",
    "QueryHandler",
    "Receipt",
    "Schedule",
    "SendBuilder",
    "Sequence",
    "State",
    "Supervised",
    "Timers",
    "Turn",
    "TurnSendBuilder",
];

/// What users match without a wildcard, or build by a literal. Everything else may get variants and fields. A struct
/// around one value is that value, and not asked about.
const EXHAUSTIVE: [&str; 36] = [
    // Settings, which users write as literals that end in `..Default::default()`; their documentation says so.
    "everpost::LinkConfig",
    "everpost::NodeConfig",
    "everpost_persistence::Config",
    // Users build them, and there is nothing to add.
    "everpost::Backoff",
    "everpost::IdentityFiles",
    // Complete by what they mean.
    "everpost::ByHold",
    "everpost::ByTurn",
    "everpost::ClockSkew",
    "everpost::Priority",
    "everpost::Restart",
    "everpost_persistence::Environment",
    // What a store is given, or is implemented for: a new case has to be thought about wherever it is made.
    "everpost_persistence::Change",
    "everpost_persistence::Class",
    "everpost_persistence::InFlight",
    "everpost_persistence::LogEntry",
    "everpost_persistence::Mark",
    "everpost_persistence::Origin",
    // What a caller of the transport fills in, or must handle case by case: leaving one out breaks the protocol.
    "everpost_transport::Settings",
    "everpost_transport::Streams",
    "everpost_transport::frame::Frame",
    "everpost_transport::frame::StreamKind",
    "everpost_transport::hello::Clocks",
    "everpost_transport::hello::EarlierRun",
    "everpost_transport::hello::Hello",
    "everpost_transport::hello::KnownStore",
    "everpost_transport::hello::ReceiverType",
    "everpost_transport::hello::Resume",
    "everpost_transport::hello::Run",
    "everpost_transport::link::Ack",
    "everpost_transport::link::Arrival",
    "everpost_transport::link::Data",
    "everpost_transport::link::DeliveryStatus",
    "everpost_transport::link::FlagOutcome",
    "everpost_transport::link::Lane",
    "everpost_transport::link::Next",
    "everpost_transport::link::Terms",
];

/// What only the compiler needs: it names these by itself, and no user does.
const HIDDEN: [&str; 3] = ["everpost::ByHold", "everpost::ByTurn", "everpost::Receives"];

#[test]
fn whatever_is_awaited_says_what_happens_when_it_is_dropped() {
    let mut silent = Vec::new();
    for (library, folder) in LIBRARIES {
        let awaited = awaited(library, &load(folder));
        let without = awaited.into_iter().filter(|awaited| !awaited.docs.lines().any(|line| line == "# Cancel safety"));
        silent.extend(without.map(|awaited| format!("{library}: {}", awaited.name)));
    }
    assert!(silent.is_empty(), "without `# Cancel safety`:\n{}", silent.join("\n"));
}

#[test]
fn each_main_type_has_an_example_that_is_run() {
    let named = named("everpost", &load("runtime"));
    let lacks = WITH_EXAMPLE.into_iter().filter(|name| {
        let path = format!("everpost::{name}");
        !named.iter().any(|named| named.path == path && has_example(&named.docs))
    });
    assert_eq!(lacks.collect::<Vec<_>>(), Vec::<&str>::new(), "without an example that is run");
}

#[test]
fn whatever_may_grow_says_so() {
    let mut exhaustive = BTreeSet::new();
    for (library, folder) in LIBRARIES {
        let named = named(library, &load(folder));
        let closed = named.into_iter().filter(|named| matches!(named.kind, Kind::Enum | Kind::Open));
        exhaustive.extend(closed.filter(|named| !named.is_non_exhaustive).map(|named| named.path));
    }
    let meant: BTreeSet<String> = EXHAUSTIVE.into_iter().map(str::to_owned).collect();
    let [new, gone] = [exhaustive.difference(&meant), meant.difference(&exhaustive)].map(Iterator::collect::<Vec<_>>);
    assert!(new.is_empty(), "mark them `#[non_exhaustive]`, or name them in EXHAUSTIVE: {new:#?}");
    assert!(gone.is_empty(), "they are not exhaustive any more: {gone:#?}");
}

#[test]
fn what_only_the_compiler_needs_is_not_shown() {
    let hidden: Vec<String> = named("everpost", &load("runtime"))
        .into_iter()
        .filter(|named| named.is_hidden)
        .map(|named| named.path)
        .collect();
    assert_eq!(hidden, HIDDEN);
}

/// Whether there is code, and rustdoc runs it.
fn has_example(docs: &str) -> bool {
    let fences: Vec<&str> = docs.lines().filter_map(|line| line.strip_prefix("```")).collect();
    fences.iter().step_by(2).any(|fence| fence.is_empty() || *fence == "rust")
}

#[test]
fn an_example_that_is_not_run_is_none() {
    assert!(has_example("It is.\n\n```\nrun();\n```\n") && has_example("```text\n|\n```\n```rust\nrun();\n```"));
    for docs in ["It is.", "```no_run\nrun();\n```", "```ignore\n```", "```text\n```", "```toml\n```"] {
        assert!(!has_example(docs), "{docs}");
    }
}
