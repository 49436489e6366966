//! The logs of the nodes in this process, kept for tests that look at them. Tests run side by side: each that looks at
//! lines gives its nodes names of their own, which is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::wait::eventually;

/// A line of the logs.
#[derive(Clone, Debug)]
pub struct Line {
    /// How grave it is.
    pub level: Level,
    /// Its fields, as text.
    pub fields: BTreeMap<&'static str, String>,
}

impl Line {
    /// A field; nothing when there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// All of it, as it would be read.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{} {:?}", self.level, self.fields)
    }
}

/// Keeps logs from now on.
///
/// # Panics
///
/// When something else of this process takes the logs.
pub fn keep() {
    static KEPT: OnceLock<()> = OnceLock::new();
    KEPT.get_or_init(|| tracing::subscriber::set_global_default(Keeper).expect("nothing else takes the logs"));
}

/// From now on the line of the node `node` about `event` panics, so many times. Lines of every level can.
///
/// # Panics
///
/// As [`keep`].
pub fn plant(node: &str, event: &str, times: u32) {
    plant_mine(Mine { node: node.to_owned(), event: event.to_owned(), task: None, times });
}

/// From now on this task of the node `node` panics when it is about to run on, so many times: where it waits, whatever
/// that is for.
///
/// # Panics
///
/// As [`keep`].
pub fn plant_task(node: &str, task: &str, times: u32) {
    plant_mine(Mine { node: node.to_owned(), event: "task polled".to_owned(), task: Some(task.to_owned()), times });
}

fn plant_mine(mine: Mine) {
    keep();
    use_name(&mine.node, true);
    mines().push(mine);
    // What is enabled was decided when each line was first met.
    tracing::callsite::rebuild_interest_cache();
}

/// No line of the node `node` panics any more.
pub fn clear(node: &str) {
    mines().retain(|mine| mine.node != node);
}

/// A line that panics.
struct Mine {
    node: String,
    event: String,
    /// Of this task only.
    task: Option<String>,
    times: u32,
}

impl Mine {
    fn is(&self, line: &Line) -> bool {
        let is_of_task = self.task.as_deref().is_none_or(|task| line.field("task") == task);
        is_of_task && (line.field("node"), line.field("event")) == (self.node.as_str(), self.event.as_str())
    }
}

fn mines() -> MutexGuard<'static, Vec<Mine>> {
    static MINES: Mutex<Vec<Mine>> = Mutex::new(Vec::new());
    MINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this line is one that panics now.
fn is_mine(line: &Line) -> bool {
    let mut mines = mines();
    let mine = mines.iter_mut().find(|mine| mine.times > 0 && mine.is(line));
    mine.is_some_and(|mine| {
        mine.times -= 1;
        true
    })
}

/// The lines that the node `node` has written about `event` so far.
///
/// # Panics
///
/// When another test has a node of this name.
#[must_use]
pub fn lines(node: &str, event: &str) -> Vec<Line> {
    use_name(node, true);
    let of = |line: &&Line| line.field("node") == node && line.field("event") == event;
    lines_kept().iter().filter(of).cloned().collect()
}

/// Waits until the node has written a line about `event` that contains `words`, and returns it.
///
/// # Panics
///
/// When that takes too long.
pub async fn line(node: &str, event: &str, words: &str) -> Line {
    wait_for(node, event, words, |_| true).await
}

/// The same, for a line about one peer.
///
/// # Panics
///
/// When that takes too long.
pub async fn line_on(node: &str, event: &str, peer: &str, words: &str) -> Line {
    wait_for(node, event, words, |line| line.field("peer") == peer).await
}

async fn wait_for(node: &str, event: &str, words: &str, wanted: impl Fn(&Line) -> bool) -> Line {
    let found = || lines(node, event).into_iter().find(|line| wanted(line) && line.text().contains(words));
    eventually(&format!("`{node}` writes `{event}` with `{words}`"), || found().is_some()).await;
    found().expect("lines are never taken away")
}

/// A test has a node of this name, and may look at its lines. Those of a node of another test would be taken for them,
/// in a run of all tests in one process, and only when both run at that moment.
pub(crate) fn use_name(node: &str, looks: bool) {
    #[derive(Default)]
    struct Use {
        tests: BTreeSet<String>,
        is_looked_at: bool,
    }
    static USES: Mutex<BTreeMap<String, Use>> = Mutex::new(BTreeMap::new());
    // The thread of a test has the name of the test; other threads are those of a runtime.
    let thread = thread::current();
    let Some(test) = thread.name().filter(|name| name.contains("::")) else { return };
    let mut uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
    let of_name = uses.entry(node.to_owned()).or_default();
    of_name.tests.insert(test.to_owned());
    of_name.is_looked_at |= looks;
    assert!(!of_name.is_looked_at || of_name.tests.len() == 1, "these tests have a node `{node}`: {:?}", of_name.tests);
}

fn lines_kept() -> MutexGuard<'static, Vec<Line>> {
    static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_wanted = *metadata.level() <= Level::INFO || !mines().is_empty();
        !metadata.is_span() && is_wanted && metadata.target().starts_with("everpost")
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = Line { level: *event.metadata().level(), fields: fields.0 };
        assert!(!is_mine(&line), "the log was told to panic: {}", line.text());
        if line.level <= Level::INFO {
            lines_kept().push(line);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
