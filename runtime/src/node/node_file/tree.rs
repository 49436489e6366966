//! The text of a node file as a tree of values that know where they come from.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Origin};

/// The entries of a section.
pub(super) type Table = BTreeMap<String, Item>;

/// A value and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// A value, as far as a node file can use it.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(i128),
    List(Vec<Item>),
    Table(Table),
    /// The text of an environment variable: TOML or a plain string, whichever is asked for.
    Variable(String),
    /// Something that no key takes; in words.
    Other(&'static str),
}

/// Reads the whole file.
pub(super) fn parse(text: &str) -> Result<Item, Fault> {
    let lines = Lines::of(text);
    match DeTable::parse(text) {
        Ok(table) => Ok(Item { origin: Origin::Line(1), value: lines.table(table.get_ref()) }),
        Err(error) => {
            let byte = error.span().map_or(0, |span| span.start);
            let said = || error.message().trim_end().replace('\n', ", ");
            let is_twice = error.message().starts_with("duplicate key");
            let problem = is_twice.then(|| twice(text, byte)).flatten().unwrap_or_else(said);
            Err(Fault { origin: lines.at(byte), key: String::new(), problem, advice: String::new() })
        }
    }
}

/// What is there twice, and where it was first: TOML says of a second section or key at this byte no more than that it
/// is one.
fn twice(text: &str, byte: usize) -> Option<String> {
    let line_start = text[..byte].rfind('\n').map_or(0, |end| end + 1);
    let (before, rest) = text.split_at(line_start);
    let is_header = |line: &&str| line.starts_with('[');
    let name_of = |header: &str| header.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
    let line = rest.lines().next()?.trim();
    let path = if is_header(&line) {
        name_of(line)
    } else {
        let key = line.split('=').next()?.trim();
        match before.lines().rev().map(str::trim).find(is_header) {
            Some(header) => format!("{}.{key}", name_of(header)),
            None => key.to_owned(),
        }
    };
    // What is above it has no mistake.
    let first = parse(before).ok()?.find(&path.replace(['"', '\''], ""))?.origin.clone();
    Some(format!("`{path}` is there already, in {first}; make one of the two"))
}

impl Item {
    /// The value at `path`, a key with its sections.
    pub(super) fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |item, part| match &item.value {
            Value::Table(table) => table.get(part),
            _ => None,
        })
    }

    /// The value; that of a variable as TOML, or as plain text if it is not TOML.
    pub(super) fn read(&self) -> Self {
        let Value::Variable(text) = &self.value else {
            return self.clone();
        };
        let value = match DeValue::parse(text) {
            Ok(value) => Lines::of(text).value(value.get_ref()).come_from(&self.origin),
            Err(_) => Value::Text(text.clone()),
        };
        Self { origin: self.origin.clone(), value }
    }
}

impl Value {
    /// What it is, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Variable(_) => "a text",
            Self::Number(_) => "a whole number",
            Self::List(_) => "a list",
            Self::Table(_) => "a section",
            Self::Other(kind) => kind,
        }
    }

    /// The same value with another origin for the elements of a list.
    fn come_from(self, origin: &Origin) -> Self {
        let Self::List(items) = self else {
            return self;
        };
        let items = items.into_iter().map(|item| Item { origin: origin.clone(), value: item.value.come_from(origin) });
        Self::List(items.collect())
    }
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect())
    }

    /// The line that the byte is in.
    fn at(&self, byte: usize) -> Origin {
        Origin::Line(self.0.partition_point(|start| *start <= byte))
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        Value::Table(table.iter().map(|(key, value)| (key.get_ref().to_string(), self.entry(key, value))).collect())
    }

    /// An entry is where its key is: a value may begin lines below it, and an unknown key is looked for by its name.
    fn entry<K>(&self, key: &Spanned<K>, value: &Spanned<DeValue<'_>>) -> Item {
        Item { origin: self.at(key.span().start), value: self.value(value.get_ref()) }
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
                .map_or(Value::Other("a number that is far too large"), Value::Number),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Boolean(_) => Value::Other("true or false"),
            DeValue::Datetime(_) => Value::Other("a date or time"),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.element(item)).collect()),
            DeValue::Table(table) => self.table(table),
        }
    }

    fn element(&self, item: &Spanned<DeValue<'_>>) -> Item {
        Item { origin: self.at(item.span().start), value: self.value(item.get_ref()) }
    }
}
