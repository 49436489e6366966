//! What is printed: one JSON object, or tables for people.

use std::io::Write;

use serde::{Serialize, Serializer};

use crate::aim::{Aim, print_aims};
use crate::machine::Machine;
use crate::problem::Problem;
use crate::samples::{Figure, Samples};

/// Everything that a run found. `S` is what was set.
#[derive(Debug, Serialize)]
pub(crate) struct Report<S> {
    machine: Machine,
    settings: S,
    /// What a reader of the figures must know.
    notes: Vec<String>,
    /// By name, in the order of measurement.
    #[serde(serialize_with = "by_name")]
    figures: Vec<Figure>,
    ratios: Vec<Ratio>,
    aims: Vec<Aim>,
}

/// What is reached of a limit: the medians of both.
#[derive(Debug, Serialize)]
struct Ratio {
    figure: &'static str,
    limit: &'static str,
    ratio: f64,
}

/// What the figures of a kind of run are held against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// Figures that are compared with a limit, or with what another system does.
    pub(crate) ratios: &'static [(&'static str, &'static str)],
    /// A figure, its aim, and whether less is better: on two cores, with the disk in its fast state.
    pub(crate) aims: &'static [(&'static str, f64, bool)],
}

impl<S: Serialize> Report<S> {
    pub(crate) fn new(machine: Machine, settings: S, notes: Vec<String>, samples: &Samples, measure: Measure) -> Self {
        let ratios = measure.ratios.iter().filter_map(|&(figure, limit)| {
            Some(Ratio { figure, limit, ratio: samples.median(figure)? / samples.median(limit)? })
        });
        let aims = measure.aims.iter().filter_map(|&(figure, aim, at_most)| {
            let Figure { median: reached, unit, .. } = samples.figure(figure)?;
            Some(Aim::new(figure, unit, aim, at_most, reached))
        });
        let (ratios, aims) = (ratios.collect(), aims.collect());
        Self { machine, settings, notes, figures: samples.figures().collect(), ratios, aims }
    }

    pub(crate) fn print(&self, json: bool) -> Result<(), Problem> {
        let mut output = std::io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut output, self)?;
            writeln!(output)?;
        } else {
            self.print_tables(&mut output)?;
        }
        Ok(output.flush()?)
    }

    fn print_tables(&self, output: &mut impl Write) -> std::io::Result<()> {
        writeln!(output, "{}", self.machine)?;
        for note in &self.notes {
            writeln!(output, "{note}")?;
        }
        writeln!(output, "\n{:<52} {:>14} {:>14} {:>14} {:>5}  unit", "figure", "min", "median", "max", "runs")?;
        for Figure { name, min, median, max, unit, runs } in &self.figures {
            writeln!(
                output,
                "{name:<52} {:>14} {:>14} {:>14} {runs:>5}  {unit}",
                short(*min),
                short(*median),
                short(*max)
            )?;
        }
        if !self.ratios.is_empty() {
            writeln!(output, "\n{:<40} {:<44} {:>8}", "figure", "against", "share")?;
        }
        for Ratio { figure, limit, ratio } in &self.ratios {
            writeln!(output, "{figure:<40} {limit:<44} {:>7.1}%", ratio * 100.0)?;
        }
        print_aims(output, &self.aims)
    }
}

fn by_name<S: Serializer>(figures: &[Figure], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|figure| (&figure.name, figure)))
}

/// With as many digits as mean something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => thousands(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!([0.12345, 12.345, 1234.5, 1_234_567.8].map(short), ["0.123", "12.3", "1,234", "1,234,568"]);
    }

    #[test]
    fn an_aim_says_whether_it_is_met() {
        let mut samples = Samples::default();
        samples.add("throughput.committed_1000", "messages/s", 600_000.0);
        samples.add("limits.ractor_cast", "messages/s", 1_200_000.0);
        samples.add("recovery.after_kill", "s", 2.5);
        let machine = Machine::describe(&std::env::temp_dir()).unwrap();
        let measure = Measure {
            ratios: &[("throughput.committed_1000", "limits.ractor_cast")],
            aims: &[("throughput.committed_1000", 500_000.0, false), ("recovery.after_kill", 2.0, true)],
        };
        let report = Report::new(machine, (), Vec::new(), &samples, measure);
        let met: Vec<_> = report.aims.iter().map(|aim| (aim.figure.as_str(), aim.met)).collect();
        assert_eq!(met, [("throughput.committed_1000", true), ("recovery.after_kill", false)]);
        assert_eq!(report.ratios.len(), 1);
        assert!((report.ratios[0].ratio - 0.5).abs() < 1e-9);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["figures"]["recovery.after_kill"]["median"], 2.5);
    }
}
