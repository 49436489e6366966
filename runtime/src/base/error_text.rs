//! `Debug` of an error is its text and its causes, since that is what a `main` prints that returns it, and what
//! `unwrap` shows.

use std::error::Error;
use std::fmt::{self, Write};

/// Implements `Debug` for errors: their text, then each cause whose text is not part of it.
macro_rules! debug_as_text {
    ($($error:ty),+ $(,)?) => {
        $(impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::base::error_text::write_error(f, self)
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
    Escaped(f).write_str(&text)
}

/// Writes text for people to read, in which a name or an error of someone else must not begin a line of its own, colour
/// it, or turn its direction around.
pub(crate) struct Escaped<'a, W: ?Sized>(pub(crate) &'a mut W);

impl<W: Write + ?Sized> Write for Escaped<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (index, letter) in text.char_indices().filter(|(_, letter)| acts_on_a_terminal(*letter)) {
            self.0.write_str(&text[plain_from..index])?;
            write!(self.0, "{}", letter.escape_default())?;
            plain_from = index + letter.len_utf8();
        }
        self.0.write_str(&text[plain_from..])
    }
}

fn acts_on_a_terminal(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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
