//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Moves money between durable actors while the process that holds them is killed again and again, and counts what was
/// lost (nothing) and what happened twice (nothing).
///
/// The program starts itself as a child: a node with a store. A teller actor takes transfers in and tells one account
/// to debit, which tells another to credit; each step is a message that commits together with what it changed. The
/// child is killed (SIGKILL) at points spread over the run and started again on the same store. At the end the program,
/// which has computed every balance itself, compares with what is stored.
///
/// Exit code 0: no message lost, no effect duplicated, every balance right. 1: something is wrong, and said on standard
/// error. 2: the options or the folder cannot be used.
#[derive(Clone, Debug, Parser)]
#[command(name = "demonstration", version)]
pub(crate) struct Options {
    /// How many accounts there are (2 to 100,000).
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(crate) accounts: u32,
    /// How many transfers are made (1 to 100,000,000); each is three messages to three actors.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) transfers: u64,
    /// How often the child is killed (0 to 1,000).
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) kills: u32,
    /// Where the store is kept; made when it is missing. A folder that was used before goes on where it was. Without
    /// it, the store is in a temporary folder that is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Decides the transfers and the points of the kills.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Prints one JSON object instead of a table. Amounts are in cents.
    #[arg(long)]
    pub(crate) json: bool,
    /// Plants a bug, to show that it is found.
    #[arg(long, hide = true)]
    pub(crate) plant: Option<Plant>,
    /// Be the child.
    #[arg(long, hide = true, requires = "data_dir")]
    pub(crate) as_child: bool,
}

/// A bug for the judge to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plant {
    /// Some credits are never sent.
    Lose,
    /// Some credits are sent twice.
    Duplicate,
}
