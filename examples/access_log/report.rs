//! The figures, for people or for programs.

use std::io::{self, Write};

use indicatif::HumanCount;

use super::names;
use super::total::Totals;

/// What the logs hold.
#[derive(Debug)]
pub(crate) struct Report(pub(crate) Totals);

impl Report {
    /// One JSON object. Bytes of a path that are no text become U+FFFD.
    pub(crate) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let Self(totals) = self;
        let top_pages: Vec<_> =
            totals.top.iter().map(|(path, requests)| (String::from_utf8_lossy(path), requests)).collect();
        let report = serde_json::json!({
            "requests": totals.lines().requests,
            "visitors": totals.visitors,
            "pages": totals.pages,
            "bytes": totals.bytes,
            "rejected_lines": totals.lines().rejected,
            "top_pages": top_pages,
        });
        writeln!(out, "{report}")
    }

    /// An aligned table.
    pub(crate) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let Self(totals) = self;
        let figures = [
            ("requests", totals.lines().requests),
            ("visitors", totals.visitors),
            ("pages", totals.pages),
            ("bytes", totals.bytes),
            ("rejected lines", totals.lines().rejected),
        ];
        for (name, figure) in figures {
            writeln!(out, "{name:<14}  {:>20}", HumanCount(figure).to_string())?;
        }
        if !totals.top.is_empty() {
            writeln!(out, "\n{:>10}  most requested pages", "requests")?;
        }
        for (path, requests) in &totals.top {
            writeln!(out, "{:>10}  {}", HumanCount(*requests).to_string(), names::shown(path))?;
        }
        Ok(())
    }
}
