//! The measurements of one node: what is measured when, in rounds that go through everything in turn.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use everpost::{Node, NodeConfig};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::actors::{Committed, PAYLOAD_BYTES, Pipelined};
use crate::flood::{PRODUCERS, WINDOW};
use crate::machine::{Machine, scratch_folder};
use crate::problem::Problem;
use crate::report::{Measure, Report};
use crate::samples::Samples;
use crate::throughput::{ACTORS, Run};
use crate::{disk, latency, limits, recovery, throughput};

/// Fewer samples would have no middle.
const ROUNDS_MIN: u32 = 3;

/// What the parts allow, and the aims of the project.
const MEASURE: Measure = Measure {
    ratios: &[
        ("throughput.committed_1000", "limits.ractor_cast"),
        ("throughput.committed_1000", "limits.store_committed"),
        ("throughput.committed_1000", "limits.journal_of_committed_1000.messages"),
        ("throughput.committed_1000.groups", "limits.journal_of_committed_1000"),
        ("throughput.pipelined_1000", "limits.ractor_cast"),
        ("throughput.pipelined_1000", "limits.store_pipelined"),
        ("throughput.pipelined_1000", "limits.journal_of_pipelined_1000.messages"),
        ("throughput.pipelined_1000.groups", "limits.journal_of_pipelined_1000"),
    ],
    aims: &[
        ("throughput.committed_1000", 500_000.0, false),
        ("throughput.pipelined_1000", 1_000_000.0, false),
        ("latency.send_p50_in_lmdb_commits", 2.0, true),
        ("recovery.after_kill", 2.0, true),
        ("memory.beyond_window", 32.0, true),
        ("memory.after_start", 32.0, true),
    ],
};

/// Measures one node.
#[derive(Debug, Args)]
pub(crate) struct Local {
    /// Prints one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Where the stores are made, in a folder that is removed at the end [default: the temporary folder if it is on the
    /// disk of the working folder, else the working folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Does little of everything: shows that it works; the figures mean nothing
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
}

/// What is measured together, between two looks at the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    Throughput,
    Limits,
    Latency,
    Recovery,
}

/// How much each measurement does.
#[derive(Clone, Copy, Debug)]
struct Amounts {
    throughput: throughput::Load,
    limits: limits::Load,
    latency: Duration,
    waiting_messages: u64,
    baseline: Duration,
    /// What a smoke run does not wait for.
    checkpoint_age: Option<Duration>,
}

impl Local {
    pub(crate) fn measure(&self) -> Result<(), Problem> {
        let folder = scratch_folder(self.data_dir.as_deref())?;
        let machine = Machine::describe(folder.path())?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build()?;
        // On a worker, as a service would: the thread that made the runtime is none.
        let measuring = runtime.spawn(Measuring::new(self, folder.path()).run());
        let samples = runtime.block_on(measuring)??;
        Report::new(machine, Settings::new(self.quick), notes(self.quick), &samples, MEASURE).print(self.json)
    }

    fn amounts(&self) -> Amounts {
        if self.quick {
            Amounts {
                throughput: throughput::Load { flood: 20_000, one_by_one: 4_000 },
                limits: limits::Load { casts: 50_000, records: 20_000, commits: Duration::from_millis(50) },
                latency: Duration::from_millis(400),
                waiting_messages: 100_000,
                baseline: Duration::from_millis(50),
                checkpoint_age: Some(Duration::from_millis(20)),
            }
        } else {
            Amounts {
                throughput: throughput::Load { flood: 1_000_000, one_by_one: 200_000 },
                limits: limits::Load { casts: 2_000_000, records: 1_000_000, commits: Duration::from_secs(1) },
                latency: Duration::from_secs(10),
                waiting_messages: 1_000_000,
                baseline: Duration::from_millis(500),
                checkpoint_age: None,
            }
        }
    }
}

#[derive(Debug, Serialize)]
struct Settings {
    payload_bytes: usize,
    actors: usize,
    /// How many messages may be unacknowledged.
    window: usize,
    /// How many may wait for one actor, before its sender is held back.
    mailbox_messages_max: usize,
    producers: usize,
    /// A smoke run, whose figures mean nothing.
    quick: bool,
}

impl Settings {
    fn new(quick: bool) -> Self {
        Self {
            payload_bytes: PAYLOAD_BYTES,
            actors: ACTORS,
            window: WINDOW,
            mailbox_messages_max: WINDOW,
            producers: PRODUCERS,
            quick,
        }
    }
}

/// How far a run is, drawn on a terminal only.
pub(crate) fn progress(steps: u64) -> ProgressBar {
    let progress = ProgressBar::new(steps);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {elapsed_precise} {msg}");
    progress.set_style(style.expect("the template is well formed"));
    progress
}

/// What a reader of the figures must know first.
pub(crate) fn notes(quick: bool) -> Vec<String> {
    if quick { vec!["a smoke run: the figures mean nothing".to_owned()] } else { Vec::new() }
}

/// A run of the rounds.
struct Measuring {
    folder: PathBuf,
    groups: Vec<Group>,
    runs: Vec<Run>,
    amounts: Amounts,
    rounds: u32,
    progress: ProgressBar,
}

impl Measuring {
    fn new(local: &Local, folder: &Path) -> Self {
        let wanted = |group: &Group| local.only.is_empty() || local.only.contains(group);
        let groups: Vec<_> = Group::value_variants().iter().copied().filter(wanted).collect();
        let runs = if local.run.is_empty() { Run::value_variants() } else { &local.run };
        let rounds = if local.quick { ROUNDS_MIN } else { local.rounds };
        let progress = progress(u64::from(rounds + 1) * groups.len() as u64);
        Self { folder: folder.to_path_buf(), groups, runs: runs.to_vec(), amounts: local.amounts(), rounds, progress }
    }

    async fn run(self) -> Result<Samples, Problem> {
        // A client that is faster than one actor is held back, instead of filling the disk with what waits.
        let mut config = NodeConfig { mailbox_messages_max: WINDOW, ..NodeConfig::default() };
        if let Some(age) = self.amounts.checkpoint_age {
            config.store.checkpoint_age = age;
        }
        let node = Node::builder("benches", self.folder.join("node")).config(config);
        let node = node.actor(Committed).actor(Pipelined).start().await?;
        let mut samples = Samples::default();
        for round in 0..=self.rounds {
            if round == 1 {
                // What came before was the warm-up.
                samples = Samples::default();
            }
            for &group in &self.groups {
                self.measure(group, round, &node, &mut samples).await?;
            }
        }
        node.stop().await?;
        self.progress.finish_and_clear();
        Ok(samples)
    }

    async fn measure(&self, group: Group, round: u32, node: &Node, samples: &mut Samples) -> Result<(), Problem> {
        let Amounts { baseline, .. } = self.amounts;
        let value = group.to_possible_value().expect("no group is skipped");
        let name = value.get_name();
        self.progress.set_message(format!("{name}, round {round} of {}", self.rounds));
        throughput::settle(node).await?;
        tokio::task::block_in_place(|| disk::baseline(samples, &self.folder, name, "before", baseline))?;
        match group {
            Group::Throughput => {
                throughput::round(samples, node, &self.folder, &self.runs, self.amounts.throughput).await?
            }
            Group::Limits => limits::round(samples, &self.folder, self.amounts.limits).await?,
            Group::Latency => latency::round(samples, node, &self.folder, self.amounts.latency).await?,
            Group::Recovery => {
                tokio::task::block_in_place(|| recovery::round(samples, &self.folder, self.amounts.waiting_messages))?
            }
        }
        throughput::settle(node).await?;
        tokio::task::block_in_place(|| disk::baseline(samples, &self.folder, name, "after", baseline))?;
        self.progress.inc(1);
        Ok(())
    }
}
