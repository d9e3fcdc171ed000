//! The promises to users, one by one, against the real server over real sockets, on both stores.
//!
//! A module is called like the URL or the noun that it is about. One binary: it links once, and its tests
//! share one PostgreSQL. `cargo test` runs on SQLite; with `--features postgres-tests` PostgreSQL must be
//! installed, and everything runs on both.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod body_memory;
mod cli;
mod cli_contact;
mod cli_inbox;
mod cli_inbox_test;
mod cli_message;
mod connections;
mod contacts;
mod contacts_add;
mod contacts_merge;
mod contacts_search;
mod conversations;
mod conversations_filters;
mod conversations_joins;
mod conversations_state;
mod conversations_waiting;
mod cors;
mod deadlocks;
mod demo;
mod documents;
mod envelope;
mod events;
mod every_route;
mod faults;
mod faults_under_load;
mod freshness;
mod growth;
mod health;
mod hooks_accounting;
mod hooks_cost;
mod hooks_freshness;
mod hooks_instagram;
mod hooks_telegram;
mod hooks_unaddressed;
mod hooks_whatsapp;
mod hooks_whatsapp_messages;
mod idempotency;
mod inboxes_connect;
mod inboxes_connect_others;
mod inboxes_create;
mod inboxes_create_refused;
mod inboxes_delete;
mod inboxes_get;
mod inboxes_list;
mod inboxes_list_again;
mod inboxes_list_long;
mod inboxes_purge;
mod inboxes_setup;
mod inboxes_update;
mod keys;
mod layers;
mod livechat;
#[cfg(feature = "browser-tests")]
mod livechat_page;
mod livechat_receipts;
mod livechat_sessions;
mod logs_and_metrics;
mod messages;
mod messages_changes;
mod messages_placeholders;
mod messages_quoted;
mod messages_whatsapp;
#[cfg(feature = "postgres-tests")]
mod nginx;
#[cfg(feature = "postgres-tests")]
mod nodes;
mod open_files;
mod openapi;
mod people;
mod people_joins;
mod people_telegram;
mod plans;
mod properties;
mod quarantine;
mod rate_limits;
mod reading;
mod schema;
mod sending;
mod sending_late;
mod sending_outcomes;
mod sending_requests;
mod sending_to_people;
mod sending_under_kills;
mod serve;
mod signals;
mod statements;
mod support;
mod upgrade;
