//! From bytes of the log to keys of actors, one to one, and to something to look at.

use std::borrow::Cow;

/// Longer names are replaced by their hash: an address has a limit.
const KEY_BYTES_MAX: usize = 4096;
/// How much of a text is shown.
const SHOWN_CHARACTERS: usize = 80;

/// The key of a visitor or a page: its name, or a hash behind a NUL character (which no accepted line holds) when the
/// name is no text or too long.
pub(crate) fn key(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(name) if name.len() <= KEY_BYTES_MAX => Cow::Borrowed(name),
        _ => Cow::Owned(format!("\0{}", blake3::hash(name))),
    }
}

/// The beginning of a text, on one line, with nothing in it that a terminal obeys.
pub(crate) fn shown(text: &[u8]) -> String {
    let start = &text[..text.len().min(SHOWN_CHARACTERS * 4)];
    let start_text = String::from_utf8_lossy(start);
    let mut shown: String = start_text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    if start.len() < text.len() || start_text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_apart() {
        assert_eq!(key(b"/index.html"), "/index.html");
        assert_ne!(key(b"/\xff"), key(b"/\xfe"));
        assert_ne!(key(b"/\xff"), key("/\u{fffd}".as_bytes()));
        let long = vec![b'x'; 1_000_000];
        assert_ne!(key(&long), key(&long[1..]));
        assert!(key(&long).len() < 100);
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        assert_eq!(shown("/caf\u{e9}".as_bytes()), "/caf\u{e9}");
        assert_eq!(shown(b"a\nb\x1b[2J\xff"), "a\\nb\\u{1b}[2J\u{fffd}");
        assert_eq!(shown(&[b'x'; 81]), format!("{}...", "x".repeat(80)));
        assert_eq!(shown(&[b'x'; 80]), "x".repeat(80));
    }
}
