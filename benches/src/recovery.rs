//! How long a start takes with many messages waiting, and what a waiting message costs in memory. In processes of their
//! own: one that fills a store and is killed, and those that start on what it left.

use std::path::Path;

use crate::child::{ChildTask, Filled, Started, Task};
use crate::problem::Problem;
use crate::samples::Samples;

/// One run: fill, kill, start, stop cleanly, start again; and a start of an empty node to compare with.
pub(crate) fn round(samples: &mut Samples, folder: &Path, messages: u64) -> Result<(), Problem> {
    let [full, empty, beyond] = ["full", "empty", "beyond"].map(|name| folder.join(name));
    for folder in [&full, &empty, &beyond] {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
    }
    let windowed = fill(Task::Fill, &full, messages)?;
    let after_kill = start(&full, messages)?;
    let after_stop = start(&full, messages)?;
    let empty = start(&empty, 0)?;
    let beyond = fill(Task::FillBeyondWindow, &beyond, messages)?;

    for (name, started) in [("after_kill", &after_kill), ("after_stop", &after_stop), ("empty", &empty)] {
        samples.add(format!("recovery.{name}"), "s", started.start_seconds);
        samples.add(format!("recovery.{name}.first_send"), "s", started.first_send_seconds);
    }
    samples.add("recovery.after_kill.replayed", "bytes", after_kill.overlay_bytes as f64);

    // After a clean stop nothing is overlaid and nothing was woken yet: all that is more than in an empty node is the
    // index.
    let more = |full: u64, empty: u64| full as f64 - empty as f64;
    let index = more(after_stop.memory.anonymous_bytes, empty.memory.anonymous_bytes);
    samples.add("memory.after_start", "bytes/message", index / messages as f64);
    // In a node that runs and keeps no bodies: what the second half of the messages takes.
    let second_half = more(beyond.second.anonymous_bytes, beyond.first.anonymous_bytes);
    samples.add("memory.beyond_window", "bytes/message", second_half / beyond.step as f64);
    // In a node that runs and keeps the newest bodies, as nodes do: all that is more than before the first message.
    samples.add("memory.with_window", "bytes", more(windowed.second.anonymous_bytes, windowed.empty.anonymous_bytes));
    samples.add("memory.empty_node", "bytes", empty.memory.anonymous_bytes as f64);
    samples.add("memory.mapped_after_start", "bytes", after_stop.memory.file_bytes as f64);
    Ok(())
}

/// Fills a store, and kills the process that did.
fn fill(task: Task, folder: &Path, messages: u64) -> Result<Filled, Problem> {
    let mut filling = ChildTask::start(task, folder, messages)?;
    let filled = filling.report()?;
    filling.kill()?;
    Ok(filled)
}

fn start(folder: &Path, messages: u64) -> Result<Started, Problem> {
    let mut running = ChildTask::start(Task::Start, folder, 0)?;
    let started: Started = running.report()?;
    running.finish()?;
    if started.waiting as u64 == messages {
        Ok(started)
    } else {
        Err(Problem::new(format!(
            "{} messages waited at a start, and {messages} were durable before it",
            started.waiting
        )))
    }
}
