//! A saga over three types of actors: an order reserves its pieces, has them paid, and puts back what it has done when
//! something of it fails. Nobody is charged twice, and no piece is lost, wherever the process dies.
//!
//! ```text
//! cargo run --release --example orders -- --data-dir shop
//! ```
//!
//! ```text
//! client -> order/<number> -> stock/<item>
//!               |    ^
//!               |    +------ timer: it takes too long
//!               +-> payment/<number> -> the provider, another process
//! ```
//!
//! At least once: the calls to the provider (`payment.rs`), which get a key that is the same each time they are made.
//! Exactly once: everything else, since each step of the saga is one commit (`order.rs`). What follows from what is in
//! `saga.rs`.
//!
//! The provider keeps a ledger of its own, answers late or not at all, and outlives the program: it is started with it,
//! with its ledger in the same folder, or once for all runs:
//!
//! ```text
//! cargo run --release --example orders -- provider --ledger ledger
//! cargo run --release --example orders -- --data-dir shop --provider 127.0.0.1:PORT
//! ```
//!
//! Kill the program at any moment and start it again with the same folder: it goes on where it was. How many orders are
//! too late depends on when; that money and pieces are where they belong does not.
//!
//! Exit codes: 0; 1 if something failed on the way, or the figures are wrong; 2 with one line on standard error if the
//! folder cannot be used; 130 if it was interrupted before all orders were settled.

mod call;
mod client;
mod ledger;
mod order;
mod own_provider;
mod payment;
mod protocol;
mod provider;
mod report;
mod saga;
mod stock;
mod wish;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use everpost::{Backoff, Node, NodeConfig};
use everpost_examples::{Interrupt, Problem};
use indicatif::ProgressBar;

use self::call::Provider;
use self::order::Order;
use self::own_provider::OwnProvider;
use self::payment::Payment;
use self::report::Report;
use self::stock::Stock;
use self::wish::Wish;

/// A provider that does not answer is no reason to give up on a payment: nobody would know what has become of the
/// money.
const ATTEMPTS_MAX: u32 = 1000;

/// Orders goods, as a saga over three types of durable actors, with a payment provider that is difficult: kill the
/// program at any moment, start it again, and nobody is charged twice.
#[derive(Debug, Parser)]
#[command(name = "orders", args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Options {
    #[command(subcommand)]
    provider: Option<Part>,
    #[command(flatten)]
    shop: ShopOptions,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Runs the provider alone, which prints its address: for shops that are told `--provider`.
    Provider(ProviderOptions),
}

#[derive(Debug, Args)]
struct ProviderOptions {
    /// The file that keeps what was charged and refunded; made when it is missing.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// Decides whom it declines, and whom it lets wait.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Ends with its standard input.
    #[arg(long, hide = true)]
    with_parent: bool,
}

#[derive(Debug, Args)]
struct ShopOptions {
    /// The folder that keeps orders, stock and payments, and the provider's ledger unless `--provider` is given; made
    /// when it is missing.
    #[arg(long, value_name = "DIR", required = true)]
    data_dir: Option<PathBuf>,
    /// How many orders there are to be in the folder, those of earlier runs included.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    orders: u64,
    /// How many items there are.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    items: u32,
    /// How many pieces of each item there are in the beginning.
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pieces: u32,
    /// How long an order may take, in milliseconds, before it is cancelled.
    #[arg(long, value_name = "MS", default_value_t = 700)]
    deadline: u64,
    /// Where the provider listens; without, one is started.
    #[arg(long, value_name = "ADDRESS")]
    provider: Option<SocketAddr>,
    /// Decides what is ordered, and whom the provider declines and lets wait.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Options { provider, shop } = Options::parse();
    let ended = match provider {
        Some(Part::Provider(options)) => provider::serve(&options.ledger, options.seed, options.with_parent).await,
        None => run(shop).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // Where even standard error is closed, the exit code has to say it all.
            let _ = writeln!(io::stderr(), "orders: {problem}");
            ExitCode::from(problem.exit_code)
        }
    }
}

async fn run(options: ShopOptions) -> Result<(), Problem> {
    let bar = everpost_examples::bar(options.orders, "orders");
    let mut interrupt = Interrupt::new()?;
    let folder = options.data_dir.clone().ok_or_else(|| Problem::usage("--data-dir is not given"))?;
    let cannot_be_used = |error| Problem::usage(format!("{} cannot be used: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(cannot_be_used)?;
    let own = match options.provider {
        Some(_) => None,
        None => Some(OwnProvider::start(&folder.join("ledger"), options.seed)?),
    };
    let address = own.as_ref().map(|own| own.address).or(options.provider);
    let provider = Provider(address.expect("it is given, or started"));
    let backoff = Backoff { first: Duration::from_millis(20), cap: Duration::from_millis(200) };
    let config = NodeConfig { attempts_max: ATTEMPTS_MAX, backoff, ..NodeConfig::default() };
    let order = Order { deadline: Duration::from_millis(options.deadline) };
    let builder = Node::builder("main", folder.join("node")).config(config);
    let node = builder.actor(order).actor(Payment { provider }).actor(Stock).start().await?;
    let settled = tokio::select! {
        biased;
        failure = node.failed() => Err(Problem::failure(failure)),
        () = interrupt.received() => Err(Problem::interrupted()),
        settled = settle(&node, &options, provider, &bar) => settled,
    };
    bar.finish_and_clear();
    // What happened before is told rather than what happens now.
    let stopped = node.stop().await;
    let report = settled?;
    stopped.map_err(Problem::failure)?;
    let out = io::stdout().lock();
    let written = if options.json { report.write_json(out) } else { report.write_table(out) };
    written.map_err(|error| Problem::failure(format!("the figures cannot be written: {error}")))?;
    report.objection().map_or(Ok(()), |objection| Err(Problem::failure(objection)))
}

/// Places all orders, and waits for the end of all that comes of them.
async fn settle(node: &Node, options: &ShopOptions, provider: Provider, bar: &ProgressBar) -> Result<Report, Problem> {
    let ShopOptions { seed, orders, items, pieces, .. } = *options;
    client::open(node, items, pieces).await?;
    let wishes: Vec<_> = (0..orders).map(|number| Wish::new(seed, number, items)).collect();
    let sagas = client::place_all(node, &wishes, bar).await?;
    // The last message of an order, to the stock, may still be on its way.
    node.drained().await.map_err(Problem::failure)?;
    let shelves = client::shelves(node, items).await?;
    let taken = provider.balance().await.map_err(Problem::failure)?;
    Ok(Report { wishes, sagas, shelves, taken })
}
