//! Tables in Markdown that line up as they are.

use std::io::{self, Write};

/// Rows under a head; every cell is set to the right.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: Vec<String>) -> Self {
        Self { rows: vec![head] }
    }

    /// Adds a row with as many cells as the head has.
    pub(super) fn add(&mut self, row: Vec<String>) {
        assert_eq!(row.len(), self.rows[0].len(), "a row has a cell for each column");
        self.rows.push(row);
    }

    pub(super) fn print(&self, output: &mut impl Write) -> io::Result<()> {
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.rows[0].len()).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(output, "| {cell:>width$} ")?;
            }
            writeln!(output, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(output, "| {}: ", "-".repeat(width.saturating_sub(1)))?;
                }
                writeln!(output, "|")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(vec!["actors".into(), "x".into()]);
        table.add(vec!["1,000,000".into(), "33.9".into()]);
        let mut text = Vec::new();
        table.print(&mut text).unwrap();
        let lines = ["|    actors |    x |", "| --------: | ---: |", "| 1,000,000 | 33.9 |", ""];
        assert_eq!(String::from_utf8(text).unwrap(), lines.join("\n"));
    }
}
