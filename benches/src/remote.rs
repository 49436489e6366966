//! The measurements of two nodes in two processes on loopback: what is measured when, in rounds that go through
//! everything.

mod certificates;
mod comparison;
mod flow;
mod latency;
mod limit;
mod member;
mod order;
mod pair;
mod reconnect;
mod throughput;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::comparison::Comparison;
pub(crate) use self::member::Member;
use self::pair::{Options, Pair, Side};
use self::reconnect::Outages;
use self::throughput::Run;
use crate::actors::PAYLOAD_BYTES;
use crate::disk;
use crate::flood::{PRODUCERS, WINDOW};
use crate::local::{notes, progress};
use crate::machine::{Machine, scratch_folder};
use crate::problem::Problem;
use crate::report::{Measure, Report};
use crate::samples::Samples;
use crate::throughput::ACTORS;

/// Fewer samples would have no middle.
const ROUNDS_MIN: u32 = 3;

/// What others do, and the aims of the project.
const MEASURE: Measure = Measure {
    ratios: &[
        ("throughput.committed_window_10000", "ractor_cluster.cast_1"),
        ("throughput.committed_window_10000", "ractor_cluster.cast_1000"),
        ("throughput.pipelined_window_10000", "ractor_cluster.cast_1"),
        ("throughput.pipelined_window_10000", "ractor_cluster.cast_1000"),
        ("throughput.committed_window_10000", "throughput.link_frames"),
        ("latency.ask_p50", "ractor_cluster.call_1000_p50"),
        ("latency.query_p50", "ractor_cluster.call_1000_p50"),
    ],
    aims: &[
        ("throughput.committed_window_10000", 280_000.0, false),
        ("latency.delivered_p50", 1_000.0, true),
        ("reconnect.receiver", 1.0, true),
        ("reconnect.receiver_after_short_outage", 1.0, true),
        ("reconnect.receiver_after_long_outage", 1.0, true),
        ("reconnect.sender", 1.0, true),
    ],
};

/// Measures two nodes.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Prints one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Where the stores are made, in a folder that is removed at the end [default: the temporary folder if it is on the
    /// disk of the working folder, else the working folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Does little of everything, once: shows that it works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Measures only this, any number of times
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Group>,
    /// Of the throughput, measures only this, any number of times: for a profile
    #[arg(long, value_enum, value_name = "NAME")]
    run: Vec<Run>,
    /// How often each figure is measured, besides a first time that is not counted
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(i64::from(ROUNDS_MIN)..))]
    rounds: u32,
    /// How many threads the runtime of each node has [default: as many as there are cores]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
}

/// What is measured together, between two looks at the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    Throughput,
    RactorCluster,
    Latency,
    Reconnect,
}

/// How much each measurement does.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    messages: u64,
    latency: Duration,
    outages: Outages,
    baseline: Duration,
}

#[derive(Debug, Serialize)]
struct Settings {
    payload_bytes: usize,
    actors: usize,
    /// How many may wait for one actor, before its sender is held back.
    mailbox_messages_max: usize,
    producers: usize,
    /// Threads of the runtime of each node, where that was set.
    threads: Option<usize>,
    outages: Outages,
    /// A smoke run, whose figures mean nothing.
    quick: bool,
}

impl Remote {
    pub(crate) fn measure(&self) -> Result<(), Problem> {
        let folder = scratch_folder(self.data_dir.as_deref())?;
        let machine = Machine::describe(folder.path())?;
        let mut notes = notes(self.quick);
        let comparison = self.comparison(&mut notes);
        let samples = self.rounds(folder.path(), comparison.as_ref())?;
        let settings = Settings {
            payload_bytes: PAYLOAD_BYTES,
            actors: ACTORS,
            mailbox_messages_max: WINDOW,
            producers: PRODUCERS,
            threads: self.threads,
            outages: self.amounts().outages,
            quick: self.quick,
        };
        Report::new(machine, settings, notes, &samples, MEASURE).print(self.json)
    }

    /// None with a note when it cannot be built: the rest is worth measuring.
    fn comparison(&self, notes: &mut Vec<String>) -> Option<Comparison> {
        self.groups().find(|group| *group == Group::RactorCluster)?;
        let comparison = if self.quick { Comparison::built_before() } else { Comparison::build() };
        comparison.map_err(|problem| notes.push(format!("ractor_cluster is not measured: {problem}"))).ok()
    }

    fn rounds(&self, folder: &Path, comparison: Option<&Comparison>) -> Result<Samples, Problem> {
        let checkpoint_age = self.quick.then_some(Duration::from_millis(20));
        let mut pair = Pair::start(folder, Options { threads: self.threads, checkpoint_age })?;
        let mut samples = Samples::default();
        // A first round warms up.
        let rounds = if self.quick { 1 } else { self.rounds + 1 };
        let progress = progress(u64::from(rounds) * self.groups().count() as u64);
        for round in 0..rounds {
            if round == 1 {
                samples = Samples::default();
            }
            for group in self.groups() {
                let value = group.to_possible_value().expect("no group is skipped");
                let name = value.get_name();
                progress.set_message(format!("{name}, round {round} of {}", rounds - 1));
                throughput::settle(&mut pair)?;
                disk::baseline(&mut samples, folder, name, "before", self.amounts().baseline)?;
                self.group(group, &mut samples, &mut pair, folder, comparison)?;
                throughput::settle(&mut pair)?;
                disk::baseline(&mut samples, folder, name, "after", self.amounts().baseline)?;
                progress.inc(1);
            }
        }
        pair.finish()?;
        progress.finish_and_clear();
        Ok(samples)
    }

    fn groups(&self) -> impl Iterator<Item = Group> {
        let wanted = |group: &Group| self.only.is_empty() || self.only.contains(group);
        Group::value_variants().iter().copied().filter(wanted)
    }

    fn amounts(&self) -> Amounts {
        if self.quick {
            Amounts {
                messages: 20_000,
                latency: Duration::from_millis(300),
                outages: Outages { short: Duration::from_millis(200), long: Duration::from_millis(400) },
                baseline: Duration::from_millis(50),
            }
        } else {
            Amounts {
                messages: 1_000_000,
                latency: Duration::from_secs(6),
                outages: Outages { short: Duration::from_secs(2), long: Duration::from_secs(8) },
                baseline: Duration::from_millis(500),
            }
        }
    }

    fn group(
        &self,
        group: Group,
        samples: &mut Samples,
        pair: &mut Pair,
        folder: &Path,
        comparison: Option<&Comparison>,
    ) -> Result<(), Problem> {
        let Amounts { messages, latency, outages, .. } = self.amounts();
        match group {
            Group::Throughput => {
                let runs = if self.run.is_empty() { Run::value_variants() } else { &self.run };
                throughput::round(samples, pair, runs, messages)?;
                let names = [Side::Sender, Side::Receiver].map(Side::name);
                samples.add("throughput.link_frames", "messages/s", limit::frames_per_second(folder, names, messages)?);
                Ok(())
            }
            Group::RactorCluster => match comparison {
                Some(comparison) => comparison.round(samples, messages, latency),
                None => Ok(()),
            },
            Group::Latency => latency::round(samples, pair, latency),
            Group::Reconnect => reconnect::round(samples, pair, outages),
        }
    }
}
