//! What is seen while a program runs: a progress bar, and the log above it.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

use crate::above_bar::AboveBar;

/// A bar over `length` things; indicatif shows it on a terminal only. The log is as `RUST_LOG` says, or else has errors
/// only: what these programs do to themselves on purpose is logged as warnings.
///
/// # Panics
///
/// When there is a log already.
#[must_use]
pub fn bar(length: u64, things: &'static str) -> ProgressBar {
    let template = "{bar:40} {human_pos} of {human_len} {msg}  {per_sec}";
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    let bar = ProgressBar::new(length).with_style(style).with_message(things);
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(io::stderr().is_terminal());
    logs.with_writer(AboveBar(bar.clone())).init();
    bar
}
