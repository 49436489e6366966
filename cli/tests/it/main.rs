//! The program as its users meet it: a command line in, files, text and an exit code out.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the report")]

mod check;
mod help;
mod init;
mod support;
