//! The contract, row by row, against the real server over real sockets, on both stores.
//!
//! A module is called like the URL or the noun that it is about. One binary: it links once, and its tests
//! share one PostgreSQL. `cargo test` runs on SQLite; with `--features postgres-tests` PostgreSQL must be
//! installed, and everything runs on both.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cli;
mod cli_inbox;
mod cors;
mod faults;
mod inboxes_list;
mod layers;
mod logs_and_metrics;
mod openapi;
mod properties;
mod serve;
mod support;
