//! `stock/<item>` keeps the pieces of one item.
//!
//! It trusts the kernel: it applies what it gets, every time it gets it. So an effect that happened twice, or not at
//! all, is seen in its figures.

use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, QueryHandler, State, Turn};
use serde::{Deserialize, Serialize};

use super::order::{Order, Reserved};

#[derive(Debug)]
pub(crate) struct Stock;

/// Where the pieces are. `initial` is always the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(name = "shelf")]
pub(crate) struct Shelf {
    pub(crate) initial: u32,
    pub(crate) left: u32,
    pub(crate) reserved: u32,
    pub(crate) sold: u32,
}

/// From `main`: so many pieces are there in the beginning. The first one counts.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "open")]
pub(crate) struct Open {
    pub(crate) pieces: u32,
}

/// From an order: are there so many? Then keep them for it.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "reserve")]
pub(crate) struct Reserve {
    pub(crate) order: u64,
    pub(crate) quantity: u32,
}

/// From an order, the compensation: they are not needed.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "release")]
pub(crate) struct Release {
    pub(crate) quantity: u32,
}

/// From an order: they are paid.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "sell")]
pub(crate) struct Sell {
    pub(crate) quantity: u32,
}

/// Where are the pieces?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "shelf", reply = Shelf)]
pub(crate) struct AskShelf;

impl Actor for Stock {
    const TYPE: &'static str = "stock";
    type State = Shelf;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Open>();
        handlers.on::<Reserve>();
        handlers.on::<Release>();
        handlers.on::<Sell>();
        handlers.on_query::<AskShelf>();
    }
}

impl Handler<Open> for Stock {
    async fn handle(&self, shelf: &mut Durable<Shelf>, open: Open, _: &mut Turn<'_>) -> Result<(), Failure> {
        if shelf.initial == 0 {
            **shelf = Shelf { initial: open.pieces, left: open.pieces, ..Shelf::default() };
        }
        Ok(())
    }
}

impl Handler<Reserve> for Stock {
    async fn handle(&self, shelf: &mut Durable<Shelf>, reserve: Reserve, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Reserve { order, quantity } = reserve;
        let granted = shelf.left >= quantity;
        if granted {
            shelf.left -= quantity;
            shelf.reserved += quantity;
        }
        turn.send(&Order::at(&order.to_string()), Reserved { granted });
        Ok(())
    }
}

impl Handler<Release> for Stock {
    async fn handle(&self, shelf: &mut Durable<Shelf>, release: Release, _: &mut Turn<'_>) -> Result<(), Failure> {
        shelf.take_reserved(release.quantity)?;
        shelf.left += release.quantity;
        Ok(())
    }
}

impl Handler<Sell> for Stock {
    async fn handle(&self, shelf: &mut Durable<Shelf>, sell: Sell, _: &mut Turn<'_>) -> Result<(), Failure> {
        shelf.take_reserved(sell.quantity)?;
        shelf.sold += sell.quantity;
        Ok(())
    }
}

impl QueryHandler<AskShelf> for Stock {
    fn answer(&self, shelf: &Shelf, _: AskShelf) -> Shelf {
        *shelf
    }
}

impl Shelf {
    fn take_reserved(&mut self, quantity: u32) -> Result<(), Failure> {
        let rest = self.reserved.checked_sub(quantity);
        self.reserved = rest.ok_or_else(|| Failure::reject("these pieces are not reserved"))?;
        Ok(())
    }
}
