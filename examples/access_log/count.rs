//! Counts a log, and waits until the total has counted every request of it.

use std::pin::pin;
use std::time::Duration;

use everpost::{ActorHandle, Node, QueryError, Refusal};
use everpost_examples::Problem;
use tokio::time::MissedTickBehavior;

use super::ingest::{AskHowFar, Begin, HowFar, Ingest};
use super::log_file::LogFile;
use super::report::Report;
use super::screen::Screen;
use super::site;
use super::total::{AskTotals, Total, Totals};
use super::waiting::Patience;

/// How often the program looks how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// How long an answer of the total is waited for before it is asked again, since its node may be away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many looks there are between two at the dead letters.
const LOOKS: u32 = 40;

/// Counts what is new in the file. The figures are those of all logs that the nodes read, and hold all of this one.
pub(crate) async fn count(node: &Node, peers: Vec<String>, log: &LogFile, screen: &Screen) -> Result<Report, Problem> {
    let key = site::ingest_key(node)?;
    let ingest = node.actor::<Ingest>(&key);
    log.recognise(&how_far(&ingest).await?.position)?;
    ingest.send(Begin).await.map_err(Problem::failure)?;

    let is_alone = peers.is_empty();
    let mut drained = pin!(node.drained());
    let mut nothing_is_left = false;
    let mut patience = Patience::new(peers);
    let mut counted = 0;
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for look in 0_u32.. {
        tokio::select! {
            drained = &mut drained, if is_alone && !nothing_is_left => {
                drained.map_err(Problem::failure)?;
                nothing_is_left = true;
            }
            _ = tick.tick() => {}
        }
        screen.bar.set_position(log.read());
        let how_far = how_far(&ingest).await?;
        let is_read = how_far.position.offset == log.length();
        if is_read && let Some(totals) = totals(node).await? {
            let lines = totals.lines_from(&key);
            if lines == how_far.lines {
                return Ok(Report(totals));
            }
            if nothing_is_left {
                return Err(lost(node, log, &how_far).await);
            }
            counted = lines.requests;
        }
        let is_stuck = nothing_is_left && !is_read;
        let is_due = look.is_multiple_of(LOOKS);
        if is_stuck || (is_due && !node.dead_letters().list().await.map_err(Problem::failure)?.is_empty()) {
            return Err(lost(node, log, &how_far).await);
        }
        if let Some(line) = patience.look(node, log.read() + counted) {
            screen.say(&line);
        }
    }
    unreachable!("nobody looks so often")
}

async fn how_far(ingest: &ActorHandle<Ingest>) -> Result<HowFar, Problem> {
    ingest.query(AskHowFar).await.map_err(Problem::failure)
}

/// The figures, if the node that has them answers.
async fn totals(node: &Node) -> Result<Option<Totals>, Problem> {
    match node.actor::<Total>(Total::KEY).query(AskTotals).timeout(ANSWER_TIMEOUT).await {
        Ok(totals) => Ok(Some(totals)),
        Err(QueryError::NotAccepted(Refusal::NoLink { .. }) | QueryError::Lost | QueryError::Timeout(_)) => Ok(None),
        Err(error) => Err(Problem::failure(error)),
    }
}

/// Why the figures will never be whole.
async fn lost(node: &Node, log: &LogFile, HowFar { position, lines }: &HowFar) -> Problem {
    let letters = match node.dead_letters().list().await {
        Ok(letters) => letters,
        Err(error) => return Problem::failure(error),
    };
    let newest = letters.last();
    let newest = newest.map(|letter| format!("{} to {}: {}", letter.message, letter.address, letter.errors.join("; ")));
    Problem::failure(format!(
        "{} of {} bytes were read, but not all of their {} requests can be counted; messages that were given up on: \
         {}, the newest: {}",
        position.offset,
        log.length(),
        lines.requests,
        letters.len(),
        newest.as_deref().unwrap_or("none"),
    ))
}
