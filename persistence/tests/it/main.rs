//! The store as its callers see it, on real files: one binary, so that linking is paid once.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod crash;
mod damage;
mod declared;
mod full;
mod golden;
mod inspect;
mod layers;
mod making;
mod open;
mod order;
mod reader;
mod support;
mod tables;
mod throughput;
mod upgrade;
