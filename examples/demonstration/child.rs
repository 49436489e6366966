//! The child: a node with a store, at the command of its parent. It may be killed at any moment.

use std::io::{self, BufRead, Write};
use std::path::Path;

use everpost::{ActorHandle, LogFormat, Node, NodeConfig, Receipt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::bank::{Account, AccountBook, AskAccount, AskTeller, Order, Teller};
use crate::options::Plant;
use crate::protocol::{Books, Command, Report, WINDOW};

/// How many transfers may wait for the teller; with more, a crash would have more to replay than is worth seeing.
const TELLER_MESSAGES_MAX: usize = 50_000;
/// How many accounts are asked at a time.
const QUERIES_MAX: usize = 256;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the node until the parent says stop, or is gone.
pub(crate) async fn run(data_dir: &Path, plant: Option<Plant>) -> Result<(), Failure> {
    everpost::init_logs(LogFormat::Pretty)?;
    let mut commands = read_commands();
    let config = NodeConfig { mailbox_messages_max: TELLER_MESSAGES_MAX, ..NodeConfig::default() };
    let node = Node::builder("bank", data_dir).actor(Teller).actor(Account { plant }).config(config);
    let node = match node.start().await {
        Ok(node) => node,
        Err(error) => return report(&Report::NotStarted { reason: error.to_string() }),
    };
    report(&Report::Ready { replayed: node.statistics().replayed })?;
    let teller = node.actor::<Teller>("main");
    let (receipts, accepted) = mpsc::channel(usize::try_from(WINDOW)?);
    let mut acknowledging = tokio::spawn(acknowledge(accepted));
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            ended = &mut acknowledging => return ended?,
            failure = node.failed() => return Err(failure.into()),
        };
        match command {
            Some(Command::Transfer { transfer, again }) => {
                let receipt = teller.send(Order { transfer, again }).submit().await?;
                receipts.send((transfer.number, receipt)).await?;
            }
            Some(Command::Drain) => {
                node.drained().await?;
                report(&Report::Drained)?;
            }
            Some(Command::Show { accounts }) => report(&Report::Books(books(&node, &teller, accounts).await?))?,
            Some(Command::Stop) | None => return Ok(node.stop().await?),
        }
    }
}

/// Tells the parent which transfers are durable: the newest number stands for those before it.
async fn acknowledge(mut receipts: mpsc::Receiver<(u64, Receipt)>) -> Result<(), Failure> {
    let mut waiting = None;
    loop {
        let first = match waiting.take() {
            Some(first) => Some(first),
            None => receipts.recv().await,
        };
        let Some((mut number, receipt)) = first else {
            return Ok(());
        };
        receipt.accepted().await?;
        while waiting.is_none()
            && let Ok((next, receipt)) = receipts.try_recv()
        {
            if receipt.is_accepted() {
                number = next;
            } else {
                waiting = Some((next, receipt));
            }
        }
        report(&Report::Accepted { number })?;
    }
}

async fn books(node: &Node, teller: &ActorHandle<Teller>, accounts: u32) -> Result<Books, Failure> {
    let mut books = Books {
        teller: teller.query(AskTeller).await?,
        accounts: vec![AccountBook::default(); usize::try_from(accounts)?],
        dead_letters: u64::try_from(node.dead_letters().list().await?.len())?,
    };
    let mut queries = JoinSet::new();
    for index in 0..books.accounts.len() {
        if queries.len() >= QUERIES_MAX {
            enter(&mut books, queries.join_next().await)?;
        }
        let account = node.actor::<Account>(&index.to_string());
        queries.spawn(async move { account.query(AskAccount).await.map(|book| (index, book)) });
    }
    while !queries.is_empty() {
        enter(&mut books, queries.join_next().await)?;
    }
    Ok(books)
}

type Answered = Result<Result<(usize, AccountBook), everpost::QueryError>, tokio::task::JoinError>;

fn enter(books: &mut Books, answered: Option<Answered>) -> Result<(), Failure> {
    if let Some(answered) = answered {
        let (index, book) = answered??;
        books.accounts[index] = book;
    }
    Ok(())
}

/// Reads commands on a thread of its own, since reading standard input blocks. Ends with the input.
fn read_commands() -> mpsc::Receiver<Command> {
    let (sender, commands) = mpsc::channel(64);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            // A line that cannot be read was cut off by the death of the parent.
            let Ok(command) = serde_json::from_str(&line) else { return };
            if sender.blocking_send(command).is_err() {
                return;
            }
        }
    });
    commands
}

fn report(report: &Report) -> Result<(), Failure> {
    let mut line = serde_json::to_string(report)?;
    line.push('\n');
    Ok(io::stdout().lock().write_all(line.as_bytes())?)
}
