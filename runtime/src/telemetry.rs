//! Logs: the names of spans and fields, so that one message can be followed from send to commit, and one call that sets
//! up pretty or JSON output. `docs/LOGS.md` lists the events.
//!
//! The field `event` names what happened and never changes; the text says what it means. The id of a message is the
//! field `message_id`, since `message` is the text in the words of `tracing`. What is about a group carries `node`,
//! `group` and, where there is one, `child`; what is about a message `node`, `actor`, `message_id`, `seq` and, where
//! there is one, `attempt` and `trace` (the id of the first message of the chain of causes).

mod output;
mod panics;
mod pretty;

use std::io::{self, IsTerminal};

use everpost_persistence::Position;
use tracing::{Level, Span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use self::output::Output;
use crate::message::MessageId;
use crate::message::address::Address;
use crate::message::envelope::Header;

/// How logs look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// One line for people, with colours if it goes to a terminal and the environment variable `NO_COLOR` is not set.
    /// Control characters are escaped, so that no key and no error can write a line of its own.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Sets up logs on standard error, filtered by the environment variable `RUST_LOG` (default `info`). Call it once, from
/// `main`.
///
/// Writing a line never fails and never holds up whoever writes it. A thread writes the lines, and a line of level
/// `info` or above is waited for, a tenth of a second at most: it is with the system then, also when the process ends
/// right after it. When the reader of standard error is slow, or has stopped, up to 1 MiB of lines wait; what does not
/// fit is counted, and told in one line when there is room again. When the reader has gone lines are lost, and nothing
/// else happens.
///
/// Panics are told in the same way, as the event `panic`, instead of by the standard library, whose own text would wait
/// for the reader. A program that wants another panic hook sets it afterwards.
///
/// # Errors
///
/// When something has set up logs already; those stay. When the system has no thread to write them with.
pub fn init_logs(format: LogFormat) -> Result<(), LogsError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // What it would say of errors in lines goes to standard error directly, and panics when that has gone.
    let logs = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let logs = logs.with_writer(Output::start().map_err(NotSetUp::Thread)?);
    match format {
        LogFormat::Pretty => {
            let has_colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
            logs.with_ansi(has_colours).fmt_fields(pretty::fields()).finish().try_init()
        }
        // The list of spans holds the current one too.
        LogFormat::Json => logs.json().flatten_event(true).with_current_span(false).finish().try_init(),
    }
    .map_err(NotSetUp::Before)?;
    panics::tell();
    Ok(())
}

/// Logs could not be set up.
#[derive(thiserror::Error)]
#[error(transparent)]
pub struct LogsError(#[from] NotSetUp);

/// Why.
#[derive(Debug, thiserror::Error)]
enum NotSetUp {
    #[error("logs were set up before, and stay as they are: {0}")]
    Before(TryInitError),
    #[error("there is no thread to write logs with: {0}")]
    Thread(io::Error),
}

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
    tracing::debug!(
        node, %actor, message_id = %message, kind, seq = position.0, event = "submitted",
        "it has its place in a mailbox or an outbox"
    );
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
        tracing::debug!(
            node, actor = %self.actor, message_id = %self.message, seq = self.position.0, trace = %self.trace,
            event = "committed",
            "its turn is durable"
        );
    }
}

crate::base::error_text::debug_as_text!(LogsError);
