//! Logs: the names of spans and fields, so that one message can be followed from send to commit, and one call that sets
//! up pretty or JSON output.
//!
//! | event | level | when |
//! | --- | --- | --- |
//! | `submitted` | debug | a message from outside has its place in a mailbox |
//! | span `turn` | info | a handler runs; what it logs carries the fields of the span |
//! | `committed` | debug | a turn is durable |
//! | `handler failed` | warn | a message will be tried again |
//! | `dead letter` | error | a message was given up on |
//! | span `task` | info | a child of a group runs |
//! | `child failed` | warn | a child of a group has ended with an error or a panic, or was killed |
//! | `child killed` | warn | a child of a group was not ready, or did not stop, in time |
//! | `nested budgets` | warn | a child of nested groups may be started more often than any single budget says |
//! | `group gave up` | error | a group has ended by itself, and nothing starts it again |
//!
//! What happened stands in the field `event`, since `message` is the id of the message. What is about a group carries `node`,
//! `group` and, where there is one, `child`; all others carry `node`, `actor`, `message`, `seq` and, where there is
//! one, `attempt` and `trace` (the id of the first message of the chain of causes).

use everpost_persistence::Position;
use tracing::{Level, Span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::address::Address;
use crate::dead_letters::Reason;
use crate::envelope::Header;
use crate::failure::Failure;
use crate::mailbox::{Failures, Mailbox};
use crate::message::MessageId;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people, with colours on a terminal.
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
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Pretty => logs.finish().try_init(),
        LogFormat::Json => logs.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LogsError)
}

/// Logs could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("logs were set up before, and stay as they are: {0}")]
pub struct LogsError(TryInitError);

pub(crate) fn turn_span(node: &str, actor: &Address, header: &Header<'_>, position: Position, attempt: u32) -> Span {
    tracing::info_span!(
        "turn",
        node,
        %actor,
        message = %header.id(),
        kind = header.message,
        seq = position.0,
        attempt,
        trace = %header.trace(),
    )
}

pub(crate) fn log_submitted(node: &str, actor: &Address, kind: &str, message: MessageId, position: Position) {
    tracing::debug!(node, %actor, %message, kind, seq = position.0, event = "submitted");
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
        tracing::debug!(node, actor = %self.actor, message = %self.message, seq = self.position.0, trace = %self.trace, event = "committed");
    }
}

pub(crate) fn log_failure(
    node: &str,
    mailbox: &Mailbox,
    position: Position,
    envelope: &[u8],
    failures: &Failures,
    reason: Option<Reason>,
    error: &Failure,
) {
    let header = Header::decode(envelope).ok().map(|(header, _)| header);
    let message = header.map(|header| header.id()).map_or_else(String::new, |id| id.to_string());
    let trace = header.map(|header| header.trace()).map_or_else(String::new, |id| id.to_string());
    let (actor, seq, attempt) = (&mailbox.address, position.0, failures.attempts);
    match reason {
        Some(reason) => {
            tracing::error!(node, %actor, message, seq, attempt, trace, ?reason, %error, event = "dead letter")
        }
        None => tracing::warn!(node, %actor, message, seq, attempt, trace, %error, event = "handler failed"),
    }
}
