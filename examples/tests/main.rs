//! Runs the demonstration and the examples as processes, kills them, and judges from outside.

#![expect(clippy::unwrap_used, reason = "all of this is test code, where a panic is how a failure is told")]

mod access_log;
mod access_log_nodes;
mod access_log_refusals;
mod demonstration;
mod failures;
mod log;
mod nodes;
mod orders;
mod program;
mod seeds;
mod work_queue;

/// The programs once more, for their unit tests: cargo builds an example as a program or as tests, not both.
#[expect(dead_code, reason = "nobody calls its `main` here")]
#[path = "../access_log/main.rs"]
mod access_log_program;

#[expect(dead_code, reason = "nobody calls its `main` here")]
#[path = "../orders/main.rs"]
mod orders_program;

#[expect(dead_code, reason = "nobody calls its `main` here")]
#[path = "../work_queue/main.rs"]
mod work_queue_program;
