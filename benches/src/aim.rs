//! What is hoped for, and what was reached.

use std::io::Write;

use serde::Serialize;

use crate::report::short;

/// A figure with its aim.
#[derive(Debug, Serialize)]
pub(crate) struct Aim {
    pub(crate) figure: String,
    unit: &'static str,
    aim: f64,
    /// Whether less is better.
    at_most: bool,
    reached: f64,
    pub(crate) met: bool,
}

impl Aim {
    pub(crate) fn new(figure: impl Into<String>, unit: &'static str, aim: f64, at_most: bool, reached: f64) -> Self {
        let met = if at_most { reached <= aim } else { reached >= aim };
        Self { figure: figure.into(), unit, aim, at_most, reached, met }
    }
}

/// A table of them, if there are any.
pub(crate) fn print_aims(output: &mut impl Write, aims: &[Aim]) -> std::io::Result<()> {
    if !aims.is_empty() {
        writeln!(output, "\n{:<40} {:>17} {:>14} {:>7}  unit", "aim", "", "reached", "met")?;
    }
    for Aim { figure, unit, aim, at_most, reached, met } in aims {
        let bound = format!("{} {}", if *at_most { "<=" } else { ">=" }, short(*aim));
        let met = if *met { "yes" } else { "no" };
        writeln!(output, "{figure:<40} {bound:>17} {:>14} {met:>7}  {unit}", short(*reached))?;
    }
    Ok(())
}
