//! The bank: a teller that numbers make deaf to repetitions, and accounts that debit and credit. A transfer is three
//! turns on three actors: the teller, the account that pays, the account that is paid.
//!
//! The accounts trust the kernel: they apply what they get, every time they get it. So an effect that happened twice,
//! or not at all, is seen in their counters.

use everpost::{Actor, Delivery, Durable, Failure, Handler, Handlers, Message, QueryHandler, State, Turn};
use serde::{Deserialize, Serialize};

use crate::options::Plant;
use crate::transfer::{Transfer, mix};

/// What an account holds before its first transfer.
pub(crate) const OPENING_CENTS: i64 = 100_000;

/// One in this many transfers meets the planted bug.
const PLANTED_EVERY: u64 = 100;

#[derive(Debug)]
pub(crate) struct Teller;

/// What the teller keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(name = "teller_book")]
pub(crate) struct TellerBook {
    /// The number of the last transfer that it handled.
    pub(crate) last: u64,
    /// Turns.
    pub(crate) handled: u64,
    /// Numbers that it never saw.
    pub(crate) missing: u64,
    /// Numbers that it saw twice, though nobody sent them twice.
    pub(crate) repeated: u64,
}

/// From outside: move money. Sent again when the first sending had an unknown outcome.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "order")]
pub(crate) struct Order {
    pub(crate) transfer: Transfer,
    pub(crate) again: bool,
}

/// An account, and the bug that is planted in it.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) plant: Option<Plant>,
}

/// What an account keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, State)]
#[state(name = "account_book")]
pub(crate) struct AccountBook {
    pub(crate) cents: i64,
    pub(crate) debits: Tally,
    pub(crate) credits: Tally,
}

/// Counts effects, and tells which: a loss and a repetition of two transfers do not cancel each other out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    /// The wrapping sum of the scattered transfer numbers.
    pub(crate) fingerprint: u64,
}

/// From the teller: pay, and pass it on.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "debit")]
pub(crate) struct Debit {
    transfer: Transfer,
}

/// From an account: be paid.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "credit")]
pub(crate) struct Credit {
    number: u64,
    cents: i64,
}

/// What is in the teller's book?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "teller_book", reply = TellerBook)]
pub(crate) struct AskTeller;

/// What is in the account's book?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "account_book", reply = AccountBook)]
pub(crate) struct AskAccount;

impl Default for AccountBook {
    fn default() -> Self {
        Self { cents: OPENING_CENTS, debits: Tally::default(), credits: Tally::default() }
    }
}

impl AccountBook {
    pub(crate) fn debit(&mut self, number: u64, cents: i64) {
        self.cents -= cents;
        self.debits.count(number);
    }

    pub(crate) fn credit(&mut self, number: u64, cents: i64) {
        self.cents += cents;
        self.credits.count(number);
    }
}

impl Tally {
    fn count(&mut self, number: u64) {
        self.count += 1;
        self.fingerprint = self.fingerprint.wrapping_add(mix(number));
    }
}

impl Actor for Teller {
    const TYPE: &'static str = "teller";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = TellerBook;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Order>();
        handlers.on_query::<AskTeller>();
    }
}

impl Handler<Order> for Teller {
    async fn handle(
        &self,
        book: &mut Durable<TellerBook>,
        Order { transfer, again }: Order,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        book.handled += 1;
        if transfer.number <= book.last {
            book.repeated += u64::from(!again);
            return Ok(());
        }
        book.missing += transfer.number - book.last - 1;
        book.last = transfer.number;
        turn.send(&Account::at(&transfer.from.to_string()), Debit { transfer });
        Ok(())
    }
}

impl QueryHandler<AskTeller> for Teller {
    fn answer(&self, book: &TellerBook, _: AskTeller) -> TellerBook {
        *book
    }
}

impl Actor for Account {
    const TYPE: &'static str = "account";
    const DELIVERY: Delivery = Delivery::Pipelined;
    type State = AccountBook;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Debit>();
        handlers.on::<Credit>();
        handlers.on_query::<AskAccount>();
    }
}

impl Handler<Debit> for Account {
    async fn handle(
        &self,
        book: &mut Durable<AccountBook>,
        Debit { transfer }: Debit,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        let Transfer { number, to, cents, .. } = transfer;
        book.debit(number, cents);
        let credits = match self.plant {
            Some(Plant::Lose) if number % PLANTED_EVERY == 0 => 0,
            Some(Plant::Duplicate) if number % PLANTED_EVERY == 0 => 2,
            _ => 1,
        };
        for _ in 0..credits {
            turn.send(&Self::at(&to.to_string()), Credit { number, cents });
        }
        Ok(())
    }
}

impl Handler<Credit> for Account {
    async fn handle(
        &self,
        book: &mut Durable<AccountBook>,
        Credit { number, cents }: Credit,
        _: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        book.credit(number, cents);
        Ok(())
    }
}

impl QueryHandler<AskAccount> for Account {
    fn answer(&self, book: &AccountBook, _: AskAccount) -> AccountBook {
        *book
    }
}
