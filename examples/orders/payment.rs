//! `payment/<order>` has an order paid by a provider that lives outside, and knows nothing of turns and commits.
//!
//! At least once: the call to the provider. It may be answered late or not at all, and the process may die between the
//! call and the commit of the turn; then the turn runs again, and so does the call. It has the same key each time
//! (`turn.idempotency_key`), so the provider can tell that it is the same one, and takes the money once.
//!
//! Exactly once: what the order hears of it.

use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, Turn};
use serde::{Deserialize, Serialize};

use super::call::Provider;
use super::order::{Charged, Order, Refunded};
use super::protocol::{Call, Entry};

#[derive(Debug)]
pub(crate) struct Payment {
    pub(crate) provider: Provider,
}

/// From an order.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "charge")]
pub(crate) struct Charge {
    pub(crate) order: u64,
    pub(crate) cents: u64,
}

/// From an order, the compensation.
#[derive(Serialize, Deserialize, Message)]
#[message(name = "refund")]
pub(crate) struct Refund {
    pub(crate) order: u64,
    pub(crate) cents: u64,
}

impl Actor for Payment {
    const TYPE: &'static str = "payment";
    type State = ();

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Charge>();
        handlers.on::<Refund>();
    }
}

impl Handler<Charge> for Payment {
    async fn handle(&self, _: &mut Durable<()>, charge: Charge, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Charge { order, cents } = charge;
        let call = Call { key: turn.idempotency_key("charge"), order, entry: Entry::Charge, cents };
        // An error, or no answer in time, is a failed attempt: the message comes back, and asks again with the same
        // key.
        let paid = self.provider.call(call).await?;
        turn.send(&Order::at(&order.to_string()), Charged { paid });
        Ok(())
    }
}

impl Handler<Refund> for Payment {
    async fn handle(&self, _: &mut Durable<()>, refund: Refund, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let Refund { order, cents } = refund;
        let call = Call { key: turn.idempotency_key("refund"), order, entry: Entry::Refund, cents };
        if !self.provider.call(call).await? {
            return Err(Failure::reject("the provider does not give the money back"));
        }
        turn.send(&Order::at(&order.to_string()), Refunded);
        Ok(())
    }
}
