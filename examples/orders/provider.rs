//! The provider of payments: a process of its own, which knows nothing of Everpost and lives on when the others die.
//!
//! It keeps a ledger, takes the same key for the same call, and is as difficult as such a thing can be: it declines one
//! charge in ten, and lets some calls wait until nobody listens any more; whether it has done what was asked of it is
//! another question.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use everpost_examples::{Interrupt, Problem, chance};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::call::ANSWER_WITHIN;
use super::ledger::Ledger;
use super::protocol::{Call, Entry, Reply, Request};

/// How long a call waits that is not answered in time.
const LATE: Duration = ANSWER_WITHIN.saturating_mul(2);

#[derive(Debug)]
struct Desk {
    ledger: Mutex<Ledger>,
    seed: u64,
    /// How many calls have come for each order, since the start.
    calls: Mutex<HashMap<(u64, Entry), u64>>,
}

/// Serves until it is interrupted or, `with_parent`, until its standard input ends, as it does when its parent dies.
pub(crate) async fn serve(ledger: &Path, seed: u64, with_parent: bool) -> Result<(), Problem> {
    let mut interrupt = Interrupt::new()?;
    let opened = Ledger::open(ledger);
    let opened = opened.map_err(|error| Problem::usage(format!("{} cannot be used: {error}", ledger.display())))?;
    let desk = Arc::new(Desk { ledger: Mutex::new(opened), seed, calls: Mutex::default() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Problem::usage)?;
    let address = listener.local_addr().map_err(Problem::failure)?;
    writeln!(io::stdout(), "{address}").map_err(Problem::failure)?;
    let mut parent = if with_parent { Some(end_of_input()) } else { None };
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted.map_err(Problem::failure)?;
                let desk = Arc::clone(&desk);
                // A caller that is gone does not wait for an answer.
                tokio::spawn(async move { desk.answer(stream).await.ok() });
            }
            () = interrupt.received() => return Ok(()),
            () = gone(&mut parent) => return Ok(()),
        }
    }
}

async fn gone(parent: &mut Option<oneshot::Receiver<()>>) {
    match parent {
        // An error says the same: the thread that reads has ended.
        Some(parent) => drop(parent.await),
        None => std::future::pending().await,
    }
}

/// Reads standard input on a thread of its own, since that blocks.
fn end_of_input() -> oneshot::Receiver<()> {
    let (sender, end) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody says anything; what ends it is the end.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        let _ = sender.send(());
    });
    end
}

impl Desk {
    async fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let reply = match serde_json::from_str(&line)? {
            Request::Balance => Reply::Balance { cents: self.ledger().balance() },
            Request::Call(call) => match self.decide(&call).await? {
                Some(accepted) => Reply::Decided { accepted },
                None => return Ok(()),
            },
        };
        let mut line = serde_json::to_string(&reply)?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await
    }

    /// Does what is asked, or not. None for no answer at all.
    async fn decide(&self, call: &Call) -> io::Result<Option<bool>> {
        let of_order = |what| chance(&[self.seed, call.order, what]);
        let calls_before = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let calls = calls.entry((call.order, call.entry)).or_default();
            *calls += 1;
            *calls - 1
        };
        // One order in twenty is bad luck, one in five has a moment of it.
        let late_calls = if of_order(1) < 0.05 {
            8
        } else if of_order(1) < 0.25 {
            1
        } else {
            0
        };
        let is_late = calls_before < late_calls;
        if is_late && chance(&[self.seed, call.order, 2, calls_before]) < 0.5 {
            tokio::time::sleep(LATE).await;
            return Ok(None);
        }
        let accepted = self.ledger().enter(call, || call.entry == Entry::Refund || of_order(3) >= 0.1)?;
        if is_late {
            tokio::time::sleep(LATE).await;
        }
        Ok(Some(accepted))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
