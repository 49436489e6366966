//! The process of one point: it prepares a store or measures, as it is told.

mod actors;
mod backlog;
mod fan_out;
mod keys;
mod size;
mod start;
mod timers;

use std::path::Path;

use everpost::Node;
use tokio::runtime::{Builder, Runtime};

use super::order::{Figures, Order, Said, Step};
use super::run::Run;
use super::series::Series;
use super::subject::Subject;
use crate::problem::Problem;
use crate::process::{Running, next_order, report};

/// Starts a process and has it do what is ordered; `hear` is told how far it is.
pub(super) fn have_done(
    program: &Path,
    order: &Order,
    mut hear: impl FnMut(&str, u64, u64),
) -> Result<Figures, Problem> {
    let mut process = Running::start(program, &["point".into()])?;
    process.order(order)?;
    loop {
        match process.report()? {
            Said::At { doing, done, of } => hear(&doing, done, of),
            Said::Done(figures) => {
                process.finish()?;
                return Ok(figures);
            }
            Said::Failed(problem) => return Err(Problem::new(problem)),
        }
    }
}

/// In the process: does what is ordered.
pub(crate) fn obey() -> Result<(), Problem> {
    while let Some(order) = next_order::<Order>()? {
        let said = match run(order) {
            Ok(figures) => Said::Done(figures),
            // Told by the parent, with the point that it belongs to.
            Err(problem) => Said::Failed(problem.to_string()),
        };
        report(&said)?;
    }
    Ok(())
}

fn run(order: Order) -> Result<Figures, Problem> {
    match (order.series, order.step) {
        (Series::Start, Step::Measure) => start::measure(&order),
        (_, step) => {
            let runtime = runtime()?;
            // On a worker, as a service would: the thread that made the runtime is none.
            let work = runtime.spawn(async move {
                let node = order.open().await?;
                let figures = match step {
                    Step::Prepare => prepare(&order, &node).await.map(|()| Figures::new())?,
                    Step::Measure => measure(&order, &node).await?,
                };
                node.stop().await?;
                Ok(figures)
            });
            runtime.block_on(work)?
        }
    }
}

fn runtime() -> Result<Runtime, Problem> {
    Ok(Builder::new_multi_thread().enable_time().build()?)
}

async fn prepare(order: &Order, node: &Node) -> Result<(), Problem> {
    match order.series {
        Series::Actors => actors::prepare(order, node).await,
        Series::Timers => timers::prepare(order, node).await,
        Series::Keys => keys::prepare(order, node).await,
        Series::Start => start::prepare(order, node).await,
        Series::Backlog | Series::Message | Series::State | Series::FanOut => Ok(()),
    }
}

async fn measure(order: &Order, node: &Node) -> Result<Figures, Problem> {
    match order.series {
        Series::Actors => actors::measure(order, node).await,
        Series::Backlog => backlog::measure(order, node).await,
        Series::Message => size::of_message(order, node).await,
        Series::State => size::of_state(order, node).await,
        Series::FanOut => fan_out::measure(order, node).await,
        Series::Timers => plain(order, node).await,
        Series::Keys => keys::measure(order, node).await,
        Series::Start => unreachable!("it has runtimes of its own"),
    }
}

/// The usual load, beside what the store holds already.
async fn plain(order: &Order, node: &Node) -> Result<Figures, Problem> {
    let run = Run::begin(node);
    let sent = order.load().send::<Subject>(node).await?;
    run.end(node, sent.total()).await?.figures()
}
