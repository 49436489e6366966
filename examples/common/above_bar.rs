//! Standard error below a progress bar: lines go above the bar, not through it.

use std::io::{self, Write};

use indicatif::ProgressBar;
use tracing_subscriber::fmt::MakeWriter;

/// Writes to standard error, above this bar.
#[derive(Clone, Debug)]
pub struct AboveBar(pub ProgressBar);

impl Write for AboveBar {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for AboveBar {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
