//! The figures, for people or for programs.

use std::io::{self, Write};

use indicatif::HumanCount;

use super::ingest::HowFar;
use super::names;
use super::summary::Totals;

/// What the file holds.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) totals: Totals,
    pub(crate) how_far: HowFar,
}

impl Report {
    /// One JSON object. Bytes of a path that are no text become U+FFFD.
    pub(crate) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let top_pages: Vec<_> =
            self.totals.top.iter().map(|(path, requests)| (String::from_utf8_lossy(path), requests)).collect();
        let report = serde_json::json!({
            "requests": self.totals.requests,
            "visitors": self.totals.visitors,
            "pages": self.totals.pages,
            "bytes": self.totals.bytes,
            "rejected_lines": self.how_far.rejected_lines,
            "top_pages": top_pages,
        });
        writeln!(out, "{report}")
    }

    /// An aligned table.
    pub(crate) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let figures = [
            ("requests", self.totals.requests),
            ("visitors", self.totals.visitors),
            ("pages", self.totals.pages),
            ("bytes", self.totals.bytes),
            ("rejected lines", self.how_far.rejected_lines),
        ];
        for (name, figure) in figures {
            writeln!(out, "{name:<14}  {:>20}", HumanCount(figure).to_string())?;
        }
        if !self.totals.top.is_empty() {
            writeln!(out, "\n{:>10}  most requested pages", "requests")?;
        }
        for (path, requests) in &self.totals.top {
            writeln!(out, "{:>10}  {}", HumanCount(*requests).to_string(), names::shown(path))?;
        }
        Ok(())
    }
}
