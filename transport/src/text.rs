//! How errors and foreign text are shown: fit for one line of a log.
//!
//! `Debug` of an error is its text and its causes, since that is what a `main` that returns it prints, and what
//! `unwrap` shows.

use std::error::Error;
use std::fmt::{self, Write};

/// Implements `Debug` for errors: their text, then each cause whose text is not part of it.
macro_rules! debug_as_text {
    ($($error:ty),+ $(,)?) => {
        $(impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::text::write_error(f, self)
            }
        })+
    };
}
pub(crate) use debug_as_text;

/// Writes the text of an error and its causes on one line.
pub(crate) fn write_error(f: &mut fmt::Formatter<'_>, error: &dyn Error) -> fmt::Result {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let because = error.to_string();
        if !text.contains(&because) {
            text.push_str(": ");
            text.push_str(&because);
        }
        cause = error.source();
    }
    for letter in text.chars() {
        // A name or a text of someone else must not begin a line of its own.
        if letter.is_control() { write!(f, "{}", letter.escape_default())? } else { f.write_char(letter)? }
    }
    Ok(())
}

/// What a peer says, fit for one line of a log.
pub(crate) fn printable(reason: &[u8]) -> String {
    let text = String::from_utf8_lossy(reason);
    text.chars().take(REASON_CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const REASON_CHARACTERS_MAX: usize = 400;

/// `` `a`, `b` ``, or that there is nothing.
pub(crate) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no name".to_owned();
    }
    names.iter().map(|name| format!("`{}`", name.escape_debug())).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #[derive(thiserror::Error)]
    #[error("the store cannot be opened")]
    struct Outer(#[source] Inner);

    #[derive(thiserror::Error)]
    #[error("it is\nlocked: {0}")]
    struct Inner(#[source] std::fmt::Error);

    debug_as_text!(Outer, Inner);

    #[test]
    fn an_error_shows_its_text_and_each_cause_once_on_one_line() {
        let error = Outer(Inner(std::fmt::Error));
        let inner = std::fmt::Error.to_string();
        assert_eq!(format!("{error:?}"), format!("the store cannot be opened: it is\\nlocked: {inner}"));
    }
}
