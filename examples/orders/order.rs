//! `order/<number>` drives the saga of one order: it reserves the pieces, has them paid, and puts back what it has done
//! when something of it fails.
//!
//! Exactly once: each step of the saga. The state, the messages to stock and payment and the timer are one commit, and
//! so is the end of the message that caused them; a crash leaves all of it or nothing.

use std::time::Duration;

use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, QueryHandler, Schedule, State, TimerId, Turn};
use serde::{Deserialize, Serialize};

use super::payment::{Charge, Payment, Refund};
use super::saga::{Action, Event, Saga};
use super::stock::{Release, Reserve, Sell, Stock};
use super::wish::Wish;

/// `deadline` is how long an order may take.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) deadline: Duration,
}

#[derive(Debug, Default, Serialize, Deserialize, State)]
#[state(name = "order")]
pub(crate) struct Progress {
    wish: Wish,
    saga: Saga,
    /// The timer that ends it.
    deadline: Option<TimerId>,
}

/// From the client.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "place")]
pub(crate) struct Place(pub(crate) Wish);

/// From the stock.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "reserved")]
pub(crate) struct Reserved {
    pub(crate) granted: bool,
}

/// From the payment.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "charged")]
pub(crate) struct Charged {
    pub(crate) paid: bool,
}

/// From the payment.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "refunded")]
pub(crate) struct Refunded;

/// From the timer.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "deadline")]
pub(crate) struct Deadline;

/// How far is it?
#[derive(Serialize, Deserialize, Message)]
#[message(name = "saga", reply = Saga)]
pub(crate) struct AskSaga;

impl Actor for Order {
    const TYPE: &'static str = "order";
    type State = Progress;

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Place>();
        handlers.on::<Reserved>();
        handlers.on::<Charged>();
        handlers.on::<Refunded>();
        handlers.on::<Deadline>();
        handlers.on_query::<AskSaga>();
    }
}

impl Order {
    /// Does what follows from an event.
    fn go_on(&self, progress: &mut Progress, event: Event, turn: &mut Turn<'_>) {
        let Wish { order, item, quantity, cents } = progress.wish;
        let (stock, payment) = (Stock::at(&item.to_string()), Payment::at(&order.to_string()));
        for action in progress.saga.on(event) {
            match action {
                Action::Reserve => drop(turn.send(&stock, Reserve { order, quantity })),
                Action::Release => drop(turn.send(&stock, Release { quantity })),
                Action::Sell => drop(turn.send(&stock, Sell { quantity })),
                Action::Charge => drop(turn.send(&payment, Charge { order, cents })),
                Action::Refund => drop(turn.send(&payment, Refund { order, cents })),
                Action::StartClock => {
                    progress.deadline =
                        Some(turn.schedule(&Self::at(&order.to_string()), Deadline, Schedule::after(self.deadline)));
                }
                Action::StopClock => {
                    if let Some(timer) = progress.deadline.take() {
                        turn.cancel(timer);
                    }
                }
            }
        }
    }
}

impl Handler<Place> for Order {
    async fn handle(&self, progress: &mut Durable<Progress>, place: Place, turn: &mut Turn<'_>) -> Result<(), Failure> {
        if progress.saga == Saga::default() {
            progress.wish = place.0;
        }
        self.go_on(progress, Event::Placed, turn);
        Ok(())
    }
}

impl Handler<Reserved> for Order {
    async fn handle(
        &self,
        progress: &mut Durable<Progress>,
        Reserved { granted }: Reserved,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        self.go_on(progress, Event::Reserved { granted }, turn);
        Ok(())
    }
}

impl Handler<Charged> for Order {
    async fn handle(
        &self,
        progress: &mut Durable<Progress>,
        Charged { paid }: Charged,
        turn: &mut Turn<'_>,
    ) -> Result<(), Failure> {
        self.go_on(progress, Event::Charged { paid }, turn);
        Ok(())
    }
}

impl Handler<Refunded> for Order {
    async fn handle(&self, progress: &mut Durable<Progress>, _: Refunded, turn: &mut Turn<'_>) -> Result<(), Failure> {
        self.go_on(progress, Event::Refunded, turn);
        Ok(())
    }
}

impl Handler<Deadline> for Order {
    async fn handle(&self, progress: &mut Durable<Progress>, _: Deadline, turn: &mut Turn<'_>) -> Result<(), Failure> {
        self.go_on(progress, Event::Deadline, turn);
        Ok(())
    }
}

impl QueryHandler<AskSaga> for Order {
    fn answer(&self, progress: &Progress, _: AskSaga) -> Saga {
        progress.saga
    }
}
