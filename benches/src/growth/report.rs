//! What is printed: a table for each series, with the ratio of each figure to the first of its series; or one JSON
//! object.

use std::io::Write;

use serde::{Serialize, Serializer};

use super::quantity::Quantity;
use super::series::Series;
use super::table::Table;
use crate::aim::{Aim, print_aims};
use crate::machine::Machine;
use crate::problem::Problem;
use crate::report::{short, thousands};
use crate::samples::{Figure, Samples};

/// What the names of the figures of a point begin with.
pub(super) fn point_name(series: Series, amount: u64) -> String {
    format!("{}.{amount}", series.name())
}

/// The name of a figure among the samples.
pub(super) fn figure_name(series: Series, amount: u64, quantity: Quantity) -> String {
    format!("{}.{}", point_name(series, amount), quantity.name())
}

/// What is hoped for.
#[derive(Clone, Copy, Debug)]
enum Hope {
    /// The figure is at most this.
    AtMost(f64),
    /// It is at most so many times the first of its series.
    GrownTo(f64),
    /// It is at least so many times the first of its series.
    FallenTo(f64),
}

/// The aims of the project: on two cores, with the disk in its fast state.
const AIMS: &[(Series, u64, Quantity, Hope)] = &[
    (Series::Actors, 100_000, Quantity::Processor, Hope::AtMost(15.0)),
    (Series::Actors, 1_000_000, Quantity::Processor, Hope::AtMost(15.0)),
    (Series::Actors, 1_000_000, Quantity::P99ToIdle, Hope::AtMost(2.0)),
    (Series::Actors, 1_000_000, Quantity::FullP99ToIdle, Hope::AtMost(2.0)),
    (Series::Backlog, 1_000_000, Quantity::Processor, Hope::GrownTo(1.1)),
    (Series::Backlog, 1_000_000, Quantity::Rate, Hope::FallenTo(0.9)),
    (Series::Backlog, 5_000_000, Quantity::Processor, Hope::GrownTo(1.1)),
    (Series::Backlog, 5_000_000, Quantity::Rate, Hope::FallenTo(0.9)),
    (Series::Keys, 1_000_000, Quantity::KnownToNew, Hope::AtMost(1.0)),
    (Series::Start, 1_000_000, Quantity::Started, Hope::AtMost(1.5)),
];

/// Everything that a run found. `S` is what was set.
#[derive(Debug, Serialize)]
pub(super) struct GrowthReport<S> {
    machine: Machine,
    settings: S,
    /// What a reader of the figures must know.
    notes: Vec<String>,
    series: Vec<Grown>,
    aims: Vec<Aim>,
}

/// One series.
#[derive(Debug, Serialize)]
struct Grown {
    #[serde(rename = "name", serialize_with = "as_name")]
    series: Series,
    points: Vec<Point>,
}

#[derive(Debug, Serialize)]
struct Point {
    amount: u64,
    #[serde(serialize_with = "by_name")]
    figures: Vec<Compared>,
}

/// A figure beside the first of its series.
#[derive(Debug, Serialize)]
struct Compared {
    #[serde(skip)]
    quantity: Quantity,
    #[serde(flatten)]
    figure: Figure,
    /// Absent where there is nothing to compare.
    to_first: Option<f64>,
}

impl<S: Serialize> GrowthReport<S> {
    pub(super) fn new(
        machine: Machine,
        settings: S,
        notes: Vec<String>,
        series: &[Series],
        up_to: u64,
        samples: &Samples,
    ) -> Self {
        let series = series.iter().map(|&series| Grown::new(series, up_to, samples)).collect();
        Self { machine, settings, notes, series, aims: aims(samples) }
    }

    pub(super) fn print(&self, json: bool) -> Result<(), Problem> {
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
        for table in self.series.iter().flat_map(Grown::tables) {
            writeln!(output)?;
            table.print(output)?;
        }
        print_aims(output, &self.aims)
    }
}

impl Grown {
    fn new(series: Series, up_to: u64, samples: &Samples) -> Self {
        let amounts = series.amounts(up_to);
        let compared = |amount, quantity: Quantity| {
            let find = |amount| {
                let name = figure_name(series, amount, quantity);
                samples.figure(&name).expect("each point measures what its series does")
            };
            let figure = find(amount);
            let to_first = quantity.is_compared().then(|| figure.median / find(amounts[0]).median);
            Compared { quantity, figure, to_first }
        };
        let point = |&amount: &u64| {
            let quantities = series.tables().iter().copied().flatten();
            let figures = quantities.map(|&quantity| compared(amount, quantity)).collect();
            Point { amount, figures }
        };
        Self { series, points: amounts.iter().map(point).collect() }
    }

    fn tables(&self) -> impl Iterator<Item = Table> {
        self.series.tables().iter().map(|quantities| self.table(quantities))
    }

    /// A row for each point; each figure with its ratio to the first in the next column.
    fn table(&self, quantities: &[Quantity]) -> Table {
        let mut head = vec![self.series.title().to_owned()];
        for quantity in quantities {
            head.push(quantity.title().to_owned());
            head.extend(quantity.is_compared().then(|| "x".to_owned()));
        }
        let mut table = Table::new(head);
        for Point { amount, figures } in &self.points {
            let mut row = vec![thousands(*amount as f64)];
            for Compared { figure, to_first, .. } in figures.iter().filter(|it| quantities.contains(&it.quantity)) {
                row.push(short(figure.median));
                row.extend(to_first.map(times));
            }
            table.add(row);
        }
        table
    }
}

fn aims(samples: &Samples) -> Vec<Aim> {
    let aim = |&(series, amount, quantity, hope): &(Series, u64, Quantity, Hope)| {
        let name = figure_name(series, amount, quantity);
        let reached = samples.median(&name)?;
        let first = samples.median(&figure_name(series, series.amounts(amount)[0], quantity))?;
        let to_first = |aim, at_most| Aim::new(format!("{name}.to_first"), "times", aim, at_most, reached / first);
        Some(match hope {
            Hope::AtMost(aim) => Aim::new(name, quantity.unit(), aim, true, reached),
            Hope::GrownTo(aim) => to_first(aim, true),
            Hope::FallenTo(aim) => to_first(aim, false),
        })
    };
    AIMS.iter().filter_map(aim).collect()
}

/// A ratio, with as many digits as show a change.
fn times(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 0.1 => format!("{ratio:.4}"),
        ratio if ratio < 10.0 => format!("{ratio:.2}"),
        ratio => short(ratio),
    }
}

fn as_name<S: Serializer>(series: &Series, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&series.name())
}

fn by_name<S: Serializer>(figures: &[Compared], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|compared| (compared.quantity.name(), compared)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(series: Series, amount: u64, value: f64) -> Samples {
        let mut samples = Samples::default();
        for (amount, value) in [(series.amounts(u64::MAX)[0], 2.0), (amount, value)] {
            for quantity in series.tables().iter().copied().flatten() {
                samples.add(figure_name(series, amount, *quantity), quantity.unit(), value);
            }
        }
        samples
    }

    #[test]
    fn a_figure_is_beside_its_ratio_to_the_first() {
        let samples = samples(Series::Backlog, 1_000, 5.0);
        let machine = Machine::describe(&std::env::temp_dir()).unwrap();
        let report = GrowthReport::new(machine, (), Vec::new(), &[Series::Backlog], 1_000, &samples);
        let mut text = Vec::new();
        report.print_tables(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let row = text.lines().last().unwrap();
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        assert_eq!(cells, ["", "1,000", "5.000", "2.50", "5.000", "2.50", "5.000", "2.50", "5.000", ""]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["series"][0]["name"], "backlog");
        assert_eq!(json["series"][0]["points"][1]["figures"]["processor"]["to_first"], 2.5);
    }

    #[test]
    fn an_aim_is_held_against_the_figure_or_against_the_first() {
        let met = |samples: &Samples| aims(samples).into_iter().map(|aim| (aim.figure, aim.met)).collect::<Vec<_>>();
        let [processor, rate] = ["processor", "rate"].map(|name| format!("backlog.5000000.{name}.to_first"));
        let samples_of_backlog = samples(Series::Backlog, 5_000_000, 2.1);
        assert_eq!(met(&samples_of_backlog), [(processor.clone(), true), (rate.clone(), true)]);
        let samples_of_backlog = samples(Series::Backlog, 5_000_000, 1.7);
        assert_eq!(met(&samples_of_backlog), [(processor, true), (rate, false)]);
        let samples_of_start = samples(Series::Start, 1_000_000, 2.1);
        assert_eq!(met(&samples_of_start), [("start.1000000.started".into(), false)]);
    }
}
