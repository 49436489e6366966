//! Logs: the names of spans and fields, so that one message can be followed from send to commit, and one call that sets
//! up pretty or JSON output. `docs/LOGS.md` lists the events.
//!
//! The field `event` names what happened and never changes; the text says what it means. The id of a message is the field
//! `message_id`, since `message` is the text in the words of `tracing`. What is about a group carries `node`,
//! `group` and, where there is one, `child`; what is about a message `node`, `actor`, `message_id`, `seq` and, where there is
//! one, `attempt` and `trace` (the id of the first message of the chain of causes).

mod pretty;

use std::fmt;
use std::io::{self, IsTerminal};

use everpost_persistence::Position;
use tracing::{Level, Span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::address::Address;
use crate::core::{Core, shortened};
use crate::dead_letters::Reason;
use crate::envelope::Header;
use crate::failure::Failure;
use crate::mailbox::{Failures, Mailbox};
use crate::message::MessageId;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people, with colours if it goes to a terminal and the environment variable `NO_COLOR` is not set. Control
    /// characters are escaped, so that no key and no error can write a line of its own.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Sets up logs on standard error, filtered by the environment variable `RUST_LOG` (default `info`). Call it once, from
/// `main`.
///
/// # Errors
///
/// When something has set up logs already; those stay.
pub fn init_logs(format: LogFormat) -> Result<(), LogsError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    match format {
        LogFormat::Pretty => {
            let has_colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
            let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
            logs.with_ansi(has_colours).fmt_fields(pretty::fields()).finish().try_init()
        }
        LogFormat::Json => {
            let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
            // The list of spans holds the current one too.
            logs.json().flatten_event(true).with_current_span(false).finish().try_init()
        }
    }
    .map_err(LogsError)
}

/// Logs could not be set up.
#[derive(thiserror::Error)]
#[error("logs were set up before, and stay as they are: {0}")]
pub struct LogsError(TryInitError);

pub(crate) fn turn_span(node: &str, actor: &Address, header: &Header<'_>, position: Position, attempt: u32) -> Span {
    tracing::info_span!(
        "turn",
        node,
        %actor,
        message_id = %header.id(),
        kind = header.message,
        seq = position.0,
        attempt,
        trace = %header.trace(),
    )
}

pub(crate) fn log_submitted(node: &str, actor: &Address, kind: &str, message: MessageId, position: Position) {
    tracing::debug!(node, %actor, message_id = %message, kind, seq = position.0, event = "submitted", "it has its place in a mailbox or an outbox");
}

/// A turn whose commit is to be logged.
pub(crate) struct Committed {
    actor: Address,
    message: MessageId,
    trace: MessageId,
    position: Position,
}

impl Committed {
    pub(crate) fn is_wanted() -> bool {
        tracing::enabled!(Level::DEBUG)
    }

    pub(crate) fn new(actor: &Address, header: &Header<'_>, position: Position) -> Self {
        Self { actor: actor.clone(), message: header.id(), trace: header.trace(), position }
    }

    pub(crate) fn log(&self, node: &str) {
        tracing::debug!(node, actor = %self.actor, message_id = %self.message, seq = self.position.0, trace = %self.trace, event = "committed", "its turn is durable");
    }
}

/// An error as the log shows it: it comes from anywhere and may be of any length, and is shortened as the store does it.
pub(crate) fn brief(error: &dyn fmt::Display) -> String {
    shortened(error.to_string())
}

/// A message has failed that will be tried again, or is given up on for `reason`. One failure is nothing unusual: it is a
/// warning when half of the attempts are spent.
pub(crate) fn log_failure(
    core: &Core,
    mailbox: &Mailbox,
    position: Position,
    envelope: &[u8],
    (failures, attempts_max): (&Failures, u32),
    reason: Option<Reason>,
    error: &Failure,
) {
    let header = Header::decode(envelope).ok().map(|(header, _)| header);
    let message_id = header.map(|header| header.id()).map_or_else(String::new, |id| id.to_string());
    let trace = header.map(|header| header.trace()).map_or_else(String::new, |id| id.to_string());
    let (node, actor, seq, attempt) = (&core.name, &mailbox.address, position.0, failures.attempts);
    let met = |event| core.of_actors.met((event, mailbox.id()));
    match reason {
        Some(reason) => {
            if let Some(times) = met("dead letter") {
                tracing::error!(%node, %actor, message_id, seq, attempt, trace, ?reason, error = %brief(error), times, event = "dead letter", "it was given up on; replay it when the cause is mended, or drop it");
            }
        }
        None if attempt >= attempts_max.div_ceil(2) => {
            if let Some(times) = met("handler failed") {
                tracing::warn!(%node, %actor, message_id, seq, attempt, attempts_max, trace, error = %brief(error), times, event = "handler failed", "it is tried again; half of its attempts are spent");
            }
        }
        None => {
            tracing::debug!(%node, %actor, message_id, seq, attempt, attempts_max, trace, error = %brief(error), event = "handler failed", "it is tried again");
        }
    }
}

crate::error_text::debug_as_text!(LogsError);
