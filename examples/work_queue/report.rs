//! The figures, for people or for programs.

use std::io::{self, Write};

use indicatif::HumanCount;

use super::queue::Tally;

/// What the folder holds when everything is done.
#[derive(Debug)]
pub(crate) struct Report(pub(crate) Tally);

impl Report {
    /// One JSON object.
    pub(crate) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let Self(Tally { submitted, done, sum, came_back, by_worker }) = self;
        let report = serde_json::json!({
            "jobs": submitted,
            "done": done,
            "sum": sum,
            "came_back": came_back,
            "by_worker": by_worker,
        });
        writeln!(out, "{report}")
    }

    /// An aligned table.
    pub(crate) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let Self(tally) = self;
        let figures = [
            ("jobs", tally.submitted),
            ("done", tally.done),
            ("sum of solutions", tally.sum),
            ("came back", tally.came_back),
        ];
        for (name, figure) in figures {
            writeln!(out, "{name:<16}  {:>20}", HumanCount(figure).to_string())?;
        }
        writeln!(out, "\n{:>16}  {:>20}", "worker", "jobs done")?;
        for (worker, jobs) in tally.by_worker.iter().enumerate() {
            writeln!(out, "{worker:>16}  {:>20}", HumanCount(*jobs).to_string())?;
        }
        Ok(())
    }
}
