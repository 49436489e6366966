//! How the cost of a message grows: series in which one thing grows while all others are held. Each point is measured
//! in a process and a store of its own, so that none pays for the one before it, and the memory is that of the point.

mod bystander;
mod load;
mod order;
mod point;
mod quantity;
mod report;
mod run;
mod series;
mod subject;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::ProgressBar;
use serde::Serialize;

use self::load::Bounds;
use self::order::{Figures, Order, Step};
pub(crate) use self::point::obey;
use self::report::{GrowthReport, figure_name, point_name};
use self::series::Series;
use self::subject::PAYLOAD_BYTES;
use crate::disk;
use crate::flood::{PRODUCERS, WINDOW};
use crate::local::{notes, progress};
use crate::machine::{Machine, scratch_folder};
use crate::problem::Problem;
use crate::report::thousands;
use crate::samples::Samples;
use crate::throughput::ACTORS;

/// How far a smoke run goes.
const QUICK_UP_TO: u64 = 1_000;

/// Measures growth.
#[derive(Debug, Args)]
pub(crate) struct Growth {
    /// Prints one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Where the stores are made, in a folder that is removed at the end; it needs some gigabytes [default: the
    /// temporary folder if it is on the disk of the working folder, else the working folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Does little of everything: shows that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Measures only these
    #[arg(long, value_enum, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Series>,
    /// Leaves out what is larger, but for the first of each series
    #[arg(long, value_name = "NUMBER", default_value_t = u64::MAX, hide_default_value = true)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    up_to: u64,
    /// How often each figure is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Debug, Serialize)]
struct Settings {
    payload_bytes: u64,
    /// How many actors share the messages, where their number is not what grows.
    actors: usize,
    /// How many messages may wait, where they and the states are small.
    window: usize,
    producers: usize,
    /// How long and how much a load is at most.
    load_seconds_max: f64,
    load_messages_max: u64,
    /// A smoke run, whose figures mean nothing.
    quick: bool,
}

impl Growth {
    pub(crate) fn measure(&self) -> Result<(), Problem> {
        let folder = scratch_folder(self.data_dir.as_deref())?;
        let machine = Machine::describe(folder.path())?;
        let mut measuring = Measuring::new(self, folder.path())?;
        measuring.run()?;
        let settings = Settings {
            payload_bytes: PAYLOAD_BYTES,
            actors: ACTORS,
            window: WINDOW,
            producers: PRODUCERS,
            load_seconds_max: measuring.bounds.time.as_secs_f64(),
            load_messages_max: measuring.bounds.messages,
            quick: self.quick,
        };
        let Measuring { series, up_to, samples, .. } = &measuring;
        let report = GrowthReport::new(machine, settings, notes(self.quick), series, *up_to, samples);
        report.print(self.json)
    }
}

/// A run of the rounds.
struct Measuring {
    program: PathBuf,
    folder: PathBuf,
    series: Vec<Series>,
    up_to: u64,
    rounds: u32,
    bounds: Bounds,
    baseline: Duration,
    checkpoint_age: Option<Duration>,
    samples: Samples,
    progress: ProgressBar,
}

impl Measuring {
    fn new(growth: &Growth, folder: &Path) -> Result<Self, Problem> {
        let wanted = |series: &Series| growth.only.is_empty() || growth.only.contains(series);
        let series: Vec<_> = Series::value_variants().iter().copied().filter(wanted).collect();
        let up_to = if growth.quick { growth.up_to.min(QUICK_UP_TO) } else { growth.up_to };
        let rounds = if growth.quick { 1 } else { growth.rounds };
        let (bounds, baseline) = if growth.quick {
            (Bounds { time: Duration::from_millis(100), messages: 2_000 }, Duration::from_millis(20))
        } else {
            (Bounds { time: Duration::from_secs(2), messages: 1_000_000 }, Duration::from_millis(100))
        };
        let points: usize = series.iter().map(|series| series.amounts(up_to).len()).sum();
        Ok(Self {
            program: std::env::current_exe()?,
            folder: folder.to_path_buf(),
            series,
            up_to,
            rounds,
            bounds,
            baseline,
            checkpoint_age: growth.quick.then_some(Duration::from_millis(20)),
            samples: Samples::default(),
            progress: progress(u64::from(rounds) * points as u64),
        })
    }

    fn run(&mut self) -> Result<(), Problem> {
        for round in 1..=self.rounds {
            for series in self.series.clone() {
                self.series(series, round)?;
            }
        }
        self.progress.finish_and_clear();
        Ok(())
    }

    fn series(&mut self, series: Series, round: u32) -> Result<(), Problem> {
        let name = series.name();
        for amount in series.amounts(self.up_to) {
            let point = format!("{name} {}", thousands(amount as f64));
            self.progress.set_message(format!("{point}, round {round} of {}", self.rounds));
            let figures_of = point_name(series, amount);
            disk::baseline(&mut self.samples, &self.folder, &figures_of, "before", self.baseline)?;
            let measured = self.point(series, amount, &point);
            let figures = measured.map_err(|problem| Problem::new(format!("{point}: {problem}")))?;
            for (quantity, value) in figures {
                self.samples.add(figure_name(series, amount, quantity), quantity.unit(), value);
            }
            self.progress.inc(1);
        }
        Ok(())
    }

    /// Makes a store in a folder of its own, measures, and removes the folder.
    fn point(&self, series: Series, amount: u64, name: &str) -> Result<Figures, Problem> {
        let folder = self.folder.join("point");
        std::fs::create_dir(&folder)?;
        let order = |step| Order {
            series,
            amount,
            step,
            folder: folder.join("store"),
            bounds: self.bounds,
            messages_at_start: Series::messages_at_start(self.up_to),
            checkpoint_age: self.checkpoint_age,
        };
        let hear = |doing: &str, done: u64, of: u64| {
            let [done, of] = [done, of].map(|number| thousands(number as f64));
            self.progress.set_message(format!("{name}: {done} of {of} {doing}"));
        };
        if series.is_prepared() {
            point::have_done(&self.program, &order(Step::Prepare), hear)?;
        }
        let figures = point::have_done(&self.program, &order(Step::Measure), hear)?;
        std::fs::remove_dir_all(&folder)?;
        Ok(figures)
    }
}
