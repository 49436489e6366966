//! What is seen while it runs: a progress bar, the log and lines for people, which share standard error.

use std::io::{self, Write};

use everpost::{LogFile as LogSettings, LogFormat};
use everpost_examples::{AboveBar, Problem};
use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Standard error.
#[derive(Debug)]
pub(crate) struct Screen {
    pub(crate) bar: ProgressBar,
}

impl Screen {
    /// With a bar over `length` bytes; indicatif shows it on a terminal only.
    pub(crate) fn of_counting(length: u64) -> Self {
        let template = "{bar:40} {binary_bytes} of {binary_total_bytes}  {binary_bytes_per_sec}";
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        Self { bar: ProgressBar::new(length).with_style(style) }
    }

    pub(crate) fn of_serving() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Sets up logs as `RUST_LOG` says, or else `settings`, or else `filter`. Lines go above the bar, not through it.
    pub(crate) fn init_logs(&self, settings: Option<&LogSettings>, filter: &str) -> Result<(), Problem> {
        let filter = settings.map_or(filter, |settings| &settings.filter);
        let filter = match EnvFilter::try_from_default_env() {
            Ok(filter) => filter,
            Err(_) => EnvFilter::try_new(filter)
                .map_err(|error| Problem::usage(format!("`logs.filter` cannot be read: {error}")))?,
        };
        let colours = io::IsTerminal::is_terminal(&io::stderr());
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
        let logs = logs.with_writer(AboveBar(self.bar.clone()));
        match settings.map(|settings| settings.format) {
            Some(LogFormat::Json) => logs.json().flatten_event(true).init(),
            // Whatever else there may be is for people.
            _ => logs.init(),
        }
        Ok(())
    }

    /// Shows a line for people.
    pub(crate) fn say(&self, line: &str) {
        // Where standard error is closed, nobody looks.
        let _ = AboveBar(self.bar.clone()).write_all(format!("access_log: {line}\n").as_bytes());
    }
}
