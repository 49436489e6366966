//! Fields as people read them: `name=value`, with nothing in them that acts on a terminal.

use std::fmt::{self, Debug, Write};

use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use crate::base::error_text::Escaped;

/// Writes the fields of spans and events.
pub(super) fn fields() -> impl for<'writer> FormatFields<'writer> + Send + Sync + 'static {
    debug_fn(write_field).delimited(" ")
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    // The text stands by itself.
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(Escaped(writer), "{value:?}")
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A key once wrote "the payment was made" into the log of a bank, in red.
    #[test]
    fn no_key_error_or_text_writes_a_line_of_its_own_or_colours_one() {
        let kept = Kept::default();
        let writer = kept.clone();
        let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).fmt_fields(fields());
        let evil = "x\n2026-01-01T00:00:00Z ERROR everpost: \u{1b}[31mthe payment was made\r\u{9b}0m\u{202e}";
        tracing::subscriber::with_default(logs.finish(), || {
            let span = tracing::info_span!("turn", actor = %evil, other = evil);
            let _entered = span.enter();
            tracing::info!(error = %evil, named = ?evil, evil, count = 7, "told {evil}");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let acts = |letter: char| letter != '\n' && (letter.is_control() || letter == '\u{202e}');
        assert!(!text.contains(acts), "{text:?}");
        assert!(text.contains("told x\\n2026") && text.contains(" count=7") && text.contains("{actor=x\\n"), "{text}");
    }
}
