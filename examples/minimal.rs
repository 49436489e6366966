//! The smallest whole program: an account that survives every crash. Run it again, and it goes on where it was.
//!
//! ```text
//! cargo run --release --example minimal
//! ```
#![expect(clippy::print_stdout, reason = "it has one thing to say")]

use everpost::{Actor, Durable, Failure, Handler, Handlers, Message, Node, Turn};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Message)]
#[message(name = "deposit", reply = i64)]
struct Deposit(i64);

struct Account;

impl Actor for Account {
    const TYPE: &'static str = "account";
    type State = i64; // the balance in cents, one for each account

    fn handlers(handlers: &mut Handlers<Self>) {
        handlers.on::<Deposit>();
    }
}

impl Handler<Deposit> for Account {
    async fn handle(&self, balance: &mut Durable<i64>, deposit: Deposit, _: &mut Turn<'_>) -> Result<i64, Failure> {
        **balance += deposit.0; // commits together with the reply, and with the end of the message
        Ok(**balance)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder("bank", "bank-data").actor(Account).start().await?;
    println!("alice has {} cents", node.actor::<Account>("alice").ask(Deposit(500)).await?);
    Ok(node.stop().await?)
}
