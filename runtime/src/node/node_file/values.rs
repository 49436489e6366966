//! Values of a node file as the types that settings have. A number, a size or a duration that cannot be used is
//! answered with an example, the default of its key.

use std::time::Duration;

use super::amounts;
use super::tree::{Item, Value};

/// Why a value cannot be used, and what to write.
pub(super) struct Wrong {
    pub(super) problem: String,
    pub(super) advice: String,
}

/// A plain text. A variable is taken as it is, unless it is written with the quotes of TOML.
pub(super) fn text(item: &Item, example: &str) -> Result<String, Wrong> {
    match (item.read().value, &item.value) {
        (Value::Text(text), _) => Ok(text),
        (_, Value::Variable(text)) => Ok(text.clone()),
        (other, _) => Err(Wrong::kind(&other, "a text in quotes", example)),
    }
}

/// A list, each element read by `read`.
pub(super) fn list<T>(item: &Item, example: &str, read: impl Fn(&Item) -> Result<T, Wrong>) -> Result<Vec<T>, Wrong> {
    match item.read().value {
        Value::List(items) if items.is_empty() => {
            Err(Wrong::new("is an empty list", format!("write at least one, like `{example}`")))
        }
        Value::List(items) => items.iter().map(read).collect(),
        other => Err(Wrong::kind(&other, "a list", example)),
    }
}

pub(super) fn count<T: TryFrom<u64>>(item: &Item, example: &str) -> Result<T, Wrong> {
    match item.read().value {
        Value::Number(number) => fitting(number, example),
        other => Err(Wrong::kind(&other, "a whole number", example)),
    }
}

pub(super) fn bytes<T: TryFrom<u64>>(item: &Item, example: &str) -> Result<T, Wrong> {
    let advice = || format!("write a number of bytes or a text with B, KiB, MiB, GiB or TiB, like `{example}`");
    match item.read().value {
        Value::Number(number) => fitting(number, example),
        Value::Text(text) => match amounts::bytes(&text) {
            Some(bytes) => fitting(bytes.into(), example),
            None => Err(Wrong::new(format!("is \"{text}\", which is not a size in bytes"), advice())),
        },
        other => Err(Wrong::new(format!("is {}, and must be a size in bytes", other.kind()), advice())),
    }
}

pub(super) fn duration(item: &Item, example: &str) -> Result<Duration, Wrong> {
    let advice = || format!("write a text with ms, s, m or h, of a year at most, like `{example}`");
    match item.read().value {
        Value::Text(text) => amounts::duration(&text)
            .ok_or_else(|| Wrong::new(format!("is \"{text}\", which is not a duration"), advice())),
        Value::Number(number) => Err(Wrong::new(format!("is {number} without a unit"), advice())),
        other => Err(Wrong::new(format!("is {}, and must be a duration", other.kind()), advice())),
    }
}

fn fitting<T: TryFrom<u64>>(number: i128, example: &str) -> Result<T, Wrong> {
    let fitting = u64::try_from(number).ok().and_then(|number| T::try_from(number).ok());
    fitting.ok_or_else(|| {
        let problem = if number < 0 { "is below zero" } else { "is too large for this key" };
        Wrong::new(problem, format!("write a number like `{example}`, which is the default"))
    })
}

impl Wrong {
    pub(super) fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }

    fn kind(found: &Value, expected: &str, example: &str) -> Self {
        Self::new(format!("is {}, and must be {expected}", found.kind()), format!("write it like `{example}`"))
    }
}

/// A number with its thousands marked, as TOML allows.
pub(super) fn number_text(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}
