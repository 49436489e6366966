//! The figures, for people or for programs.

use std::io::{self, Write};

use indicatif::HumanCount;
use serde_json::json;

use super::saga::{Reason, Saga};
use super::stock::Shelf;
use super::wish::Wish;

/// How all orders ended, where the pieces are, and what the provider says.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) wishes: Vec<Wish>,
    pub(crate) sagas: Vec<Saga>,
    pub(crate) shelves: Vec<Shelf>,
    /// What the provider has taken and not given back, in cents.
    pub(crate) taken: u64,
}

impl Report {
    /// What is wrong with the figures, if anything is.
    pub(crate) fn objection(&self) -> Option<String> {
        let sold = self.confirmed().map(|wish| u64::from(wish.quantity)).sum::<u64>();
        let pieces = |of: fn(&Shelf) -> u32| self.shelves.iter().map(|shelf| u64::from(of(shelf))).sum::<u64>();
        let differs = |what, should: u64, is: u64| (should != is).then(|| format!("{what}: {is} instead of {should}"));
        None.or_else(|| differs("cents that the provider has taken", self.cents(), self.taken))
            .or_else(|| differs("pieces sold", sold, pieces(|shelf| shelf.sold)))
            .or_else(|| differs("pieces reserved", 0, pieces(|shelf| shelf.reserved)))
            .or_else(|| {
                let here = pieces(|shelf| shelf.left + shelf.sold);
                differs("pieces left and sold", pieces(|shelf| shelf.initial), here)
            })
    }

    /// One JSON object.
    pub(crate) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        let orders: Vec<_> = std::iter::zip(&self.wishes, &self.sagas)
            .map(|(Wish { item, quantity, cents, .. }, Saga { cancelled, .. })| {
                json!({ "item": item, "quantity": quantity, "cents": cents, "cancelled": cancelled })
            })
            .collect();
        let shelves: Vec<_> = self
            .shelves
            .iter()
            .map(|Shelf { initial, left, reserved, sold }| {
                json!({ "initial": initial, "left": left, "reserved": reserved, "sold": sold })
            })
            .collect();
        let report = json!({
            "confirmed": self.ended(None),
            "out_of_stock": self.ended(Some(Reason::OutOfStock)),
            "declined": self.ended(Some(Reason::Declined)),
            "too_late": self.ended(Some(Reason::TooLate)),
            "cents": self.cents(),
            "taken": self.taken,
            "orders": orders,
            "shelves": shelves,
        });
        writeln!(out, "{report}")
    }

    /// An aligned table.
    pub(crate) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let orders = [
            ("orders", self.sagas.len() as u64),
            ("confirmed", self.ended(None)),
            ("out of stock", self.ended(Some(Reason::OutOfStock))),
            ("declined", self.ended(Some(Reason::Declined))),
            ("too late", self.ended(Some(Reason::TooLate))),
        ];
        for (name, figure) in orders {
            writeln!(out, "{name:<22}  {:>16}", HumanCount(figure).to_string())?;
        }
        let money = [("confirmed orders cost", self.cents()), ("the provider has taken", self.taken)];
        for (name, cents) in money {
            let amount = format!("{}.{:02}", HumanCount(cents / 100), cents % 100);
            writeln!(out, "{name:<22}  {amount:>16}")?;
        }
        writeln!(out, "\n{:>6}  {:>8}  {:>8}  {:>12}", "item", "initial", "left", "sold")?;
        for (item, Shelf { initial, left, sold, .. }) in self.shelves.iter().enumerate() {
            writeln!(out, "{item:>6}  {initial:>8}  {left:>8}  {sold:>12}")?;
        }
        Ok(())
    }

    fn ended(&self, as_this: Option<Reason>) -> u64 {
        self.sagas.iter().filter(|saga| saga.cancelled == as_this).count() as u64
    }

    fn confirmed(&self) -> impl Iterator<Item = &Wish> {
        std::iter::zip(&self.wishes, &self.sagas).filter(|(_, saga)| saga.cancelled.is_none()).map(|(wish, _)| wish)
    }

    /// What the confirmed orders cost.
    fn cents(&self) -> u64 {
        self.confirmed().map(|wish| wish.cents).sum()
    }
}
