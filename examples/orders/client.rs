//! The client: places the orders, and waits until each is settled. It may die like everything else; then it places all
//! of them again, each under its key, and none is placed twice.

use std::time::Duration;

use everpost::{ActorHandle, Node, Refusal, SendError};
use everpost_examples::Problem;
use indicatif::ProgressBar;
use tokio::task::JoinSet;

use super::order::{AskSaga, Order, Place};
use super::saga::{Saga, Step};
use super::stock::{AskShelf, Open, Shelf, Stock};
use super::wish::Wish;

/// How many orders are open at a time.
const OPEN_MAX: usize = 64;
/// How often the client looks whether an order is settled.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Puts the pieces on the shelves, unless they are there.
pub(crate) async fn open(node: &Node, items: u32, pieces: u32) -> Result<(), Problem> {
    for item in 0..items {
        let stock = node.actor::<Stock>(&item.to_string());
        stock.send(Open { pieces }).await.map_err(Problem::failure)?;
    }
    Ok(())
}

/// Places the orders; how each of them ended, in their order.
pub(crate) async fn place_all(node: &Node, wishes: &[Wish], bar: &ProgressBar) -> Result<Vec<Saga>, Problem> {
    let mut sagas = vec![Saga::default(); wishes.len()];
    let mut open = JoinSet::new();
    for (index, wish) in wishes.iter().enumerate() {
        if open.len() == OPEN_MAX {
            note(&mut sagas, open.join_next().await, bar)?;
        }
        let (order, wish) = (node.actor::<Order>(&wish.order.to_string()), *wish);
        open.spawn(async move { place(&order, wish).await.map(|saga| (index, saga)) });
    }
    while !open.is_empty() {
        note(&mut sagas, open.join_next().await, bar)?;
    }
    Ok(sagas)
}

type Settled = Option<Result<Result<(usize, Saga), Problem>, tokio::task::JoinError>>;

fn note(sagas: &mut [Saga], settled: Settled, bar: &ProgressBar) -> Result<(), Problem> {
    if let Some(settled) = settled {
        let (index, saga) = settled.map_err(Problem::failure)??;
        sagas[index] = saga;
        bar.inc(1);
    }
    Ok(())
}

/// Places an order, under a key: it counts once, however often it is sent.
async fn place(order: &ActorHandle<Order>, wish: Wish) -> Result<Saga, Problem> {
    let key = format!("order-{}", wish.order);
    match order.send(Place(wish)).idempotency_key(&key).await {
        Ok(_) => {}
        Err(SendError::NotAccepted { reason: Refusal::KeyReused, .. }) => {
            return Err(Problem::usage("the folder holds other orders; use its --seed and --items, or another folder"));
        }
        Err(error) => return Err(Problem::failure(error)),
    }
    let mut tick = tokio::time::interval(LOOK_EVERY);
    loop {
        tick.tick().await;
        let saga = order.query(AskSaga).await.map_err(Problem::failure)?;
        if saga.step == Step::Settled {
            return Ok(saga);
        }
    }
}

/// What is on the shelves.
pub(crate) async fn shelves(node: &Node, items: u32) -> Result<Vec<Shelf>, Problem> {
    let mut shelves = Vec::new();
    for item in 0..items {
        let stock = node.actor::<Stock>(&item.to_string());
        shelves.push(stock.query(AskShelf).await.map_err(Problem::failure)?);
    }
    Ok(shelves)
}
