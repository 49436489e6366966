//! Reads the sections of a node file key by key. It keeps in mind which keys were asked for: those are the keys that
//! exist, and every other key in the file is a mistake.

use std::time::Duration;

use super::amounts;
use super::error::{Fault, Origin};
use super::tree::{Item, Table, Value};
use super::values::{Wrong, bytes, count, duration, number_text};
use crate::base::words::nearest;

/// Keys that had another name in an earlier version, and what they are called now.
const RENAMED: [(&str, &str); 1] = [("questions_max", "queries_max")];

/// What was asked for so far, and what was wrong.
#[derive(Debug, Default)]
pub(super) struct Reader {
    known: Vec<Known>,
    unknown: Vec<(Origin, String)>,
    wrong: Vec<Fault>,
    missing: Vec<Fault>,
}

/// A key that exists.
#[derive(Debug)]
pub(super) struct Known {
    /// With its sections; `NODE` and `TYPE` stand for names that the file chooses.
    pub(super) key: String,
    /// As it would be written; `None` if there must be one.
    pub(super) default: Option<String>,
}

/// A section that is being read; also if it is not in the file, so that its keys are known.
pub(super) struct Section<'a> {
    reader: &'a mut Reader,
    table: Option<&'a Table>,
    origin: Origin,
    /// The keys of the sections around and this one, with a dot at the end.
    path: String,
    /// As `path`, with what stands for names.
    pattern: String,
}

impl Reader {
    /// The whole file, as a section.
    pub(super) fn file<'a>(&'a mut self, tree: &'a Item) -> Section<'a> {
        let table = match &tree.value {
            Value::Table(table) => Some(table),
            _ => None,
        };
        let origin = tree.origin.clone();
        Section { reader: self, table, origin, path: String::new(), pattern: String::new() }
    }

    /// The keys that exist, in the order in which they were asked for.
    pub(super) fn known(&self) -> &[Known] {
        &self.known
    }

    /// The fault to tell: an unknown key before all others, since a misspelt key is a missing one too.
    pub(super) fn first_fault(&self) -> Option<Fault> {
        let first = |faults: &[Fault]| faults.iter().min_by_key(|fault| fault.origin.clone()).cloned();
        let unknown = self.unknown.iter().min();
        unknown
            .map(|unknown| self.unknown_fault(unknown))
            .or_else(|| first(&self.wrong))
            .or_else(|| first(&self.missing))
    }

    fn unknown_fault(&self, (origin, key): &(Origin, String)) -> Fault {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let split = |known: &'_ Known| {
            let (section, name) = known.key.rsplit_once('.').unwrap_or(("", &known.key));
            (section.to_owned(), name.to_owned())
        };
        let pattern = pattern_of(section);
        let known: Vec<_> = self.known.iter().map(split).collect();
        let near = known.iter().filter(|(of, _)| *of == pattern).map(|(_, other)| other.as_str());
        let sections =
            known.iter().filter(|_| section.is_empty()).map(|(of, _)| of.split('.').next().unwrap_or_default());
        let renamed = RENAMED.iter().find(|(before, _)| *before == name).map(|(_, now)| now);
        let advice = if let Some(now) = renamed {
            format!("it is called `{now}` now")
        } else if let Some((of, _)) = known.iter().find(|(of, other)| other == name && *of != pattern) {
            match of.as_str() {
                "" => format!("`{name}` belongs above the first section"),
                of => format!("`{name}` belongs to the section `[{of}]`"),
            }
        } else if let Some(meant) = nearest(name, near.chain(sections)) {
            format!("did you mean `{meant}`?")
        } else {
            "docs/CONFIGURATION.md lists the keys".to_owned()
        };
        Fault { origin: origin.clone(), key: key.clone(), problem: "is not a key of a node file".to_owned(), advice }
    }
}

impl<'a> Section<'a> {
    /// A section inside this one. Call [`end`](Self::end) when all of its keys were asked for.
    pub(super) fn section(&mut self, name: &str) -> Section<'_> {
        self.inner(name, name)
    }

    /// The section of a name that the file chooses; `stands_for` is what the reference calls such names.
    pub(super) fn named(&mut self, name: &str, stands_for: &str) -> Section<'_> {
        self.inner(name, stands_for)
    }

    /// The names in this section.
    pub(super) fn names(&self) -> Vec<String> {
        self.table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether the section is in the file.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// A value that may be left out: changes `into` if it is there.
    pub(super) fn set<T>(
        &mut self,
        key: &str,
        into: &mut T,
        show: impl Fn(&T) -> String,
        read: impl Fn(&Item) -> Result<T, Wrong>,
    ) {
        let default = show(into);
        if let Some(value) = self.value(key, Some(default), read) {
            *into = value;
        }
    }

    /// How many there are of something.
    pub(super) fn count<T: Copy + TryFrom<u64> + TryInto<u64>>(&mut self, key: &str, into: &mut T) {
        let default = number_text((*into).try_into().unwrap_or(u64::MAX));
        self.set(key, into, |_| default.clone(), |item| count(item, &default));
    }

    /// How many bytes.
    pub(super) fn bytes<T: Copy + TryFrom<u64> + TryInto<u64>>(&mut self, key: &str, into: &mut T) {
        let default = format!("\"{}\"", amounts::bytes_text((*into).try_into().unwrap_or(u64::MAX)));
        self.set(key, into, |_| default.clone(), |item| bytes(item, &default));
    }

    /// How long.
    pub(super) fn duration(&mut self, key: &str, into: &mut Duration) {
        let default = format!("\"{}\"", amounts::duration_text(*into));
        self.set(key, into, |_| default.clone(), |item| duration(item, &default));
    }

    /// A value that must be there; `example` is what could be written, and `what` it is for.
    pub(super) fn required<T>(
        &mut self,
        key: &str,
        what: &str,
        example: &str,
        read: impl Fn(&Item) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.table.is_some_and(|table| table.contains_key(key)) {
            let place = if self.path.is_empty() {
                "above the first section".to_owned()
            } else {
                format!("below `[{}]`", self.path.trim_end_matches('.'))
            };
            self.reader.missing.push(Fault {
                origin: self.origin.clone(),
                key: format!("{}{key}", self.path),
                problem: format!("is missing: {what}"),
                advice: format!("write a line like `{key} = {example}` {place}"),
            });
        }
        self.value(key, None, read)
    }

    /// Ends the section: what was not asked for is unknown.
    pub(super) fn end(self) {
        let depth = self.pattern.len();
        let known: Vec<&str> = self.reader.known.iter().map(|known| known.key.as_str()).collect();
        let is_known = |name: &str| {
            let under = known.iter().filter(|key| key.starts_with(&self.pattern)).map(|key| &key[depth..]);
            under.into_iter().any(|rest| rest.split('.').next() == Some(name))
        };
        let unknown = self.table.into_iter().flatten().filter(|(name, _)| !is_known(name));
        let unknown: Vec<_> =
            unknown.map(|(name, item)| (item.origin.clone(), format!("{}{name}", self.path))).collect();
        self.reader.unknown.extend(unknown);
    }

    fn inner(&mut self, name: &str, stands_for: &str) -> Section<'_> {
        let path = format!("{}{name}.", self.path);
        let item = self.table.and_then(|table| table.get(name));
        let table = match item.map(|item| &item.value) {
            Some(Value::Table(table)) => Some(table),
            _ => None,
        };
        if let Some(item) = item.filter(|_| table.is_none()) {
            self.reader.wrong.push(Fault {
                origin: item.origin.clone(),
                key: format!("{}{name}", self.path),
                problem: format!("is {}, and must be a section", item.value.kind()),
                advice: format!("write `[{}{name}]` on a line of its own, and its keys below", self.path),
            });
        }
        let origin = item.map_or_else(|| self.origin.clone(), |item| item.origin.clone());
        let pattern = format!("{}{stands_for}.", self.pattern);
        Section { reader: self.reader, table, origin, path, pattern }
    }

    fn value<T>(&mut self, key: &str, default: Option<String>, read: impl Fn(&Item) -> Result<T, Wrong>) -> Option<T> {
        self.reader.known.push(Known { key: format!("{}{key}", self.pattern), default });
        let item = self.table?.get(key)?;
        match read(item) {
            Ok(value) => Some(value),
            Err(Wrong { problem, advice }) => {
                let key = format!("{}{key}", self.path);
                self.reader.wrong.push(Fault { origin: item.origin.clone(), key, problem, advice });
                None
            }
        }
    }
}

/// The section of the reference that a section of a file is described in.
fn pattern_of(section: &str) -> String {
    match section.split_once('.') {
        Some(("peers", _)) => "peers.NODE".to_owned(),
        Some(("actors", _)) => "actors.TYPE".to_owned(),
        _ => section.to_owned(),
    }
}
