//! inboxd: self-hosted customer messaging.
//!
//! Channels (WhatsApp, Instagram, Telegram, live chat) deliver to one program, and a business's own
//! software asks it. ARCHITECTURE.md is the map; [`router`] shows every route on one page.
//!
//! Dependencies point one way, from the front doors to the store, and a test holds them to it:
//! `cli`, `serve` → `serve_connection` → `router` → `api`, `hooks` → `ops` → `cache` → `store`; `serve` → `worker` → `ops`. The
//! modules beside them (`clock`,
//! `domain`, `error`, `id`, `principal`, `rendered`, `vault`) know nothing of either and are usable by all.

pub mod api;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod error;
pub mod hooks;
pub mod http;
pub mod id;
pub mod input;
pub mod livechat;
pub mod ops;
pub mod principal;
pub mod provider;
pub mod rendered;
pub mod router;
pub mod serve;
pub mod serve_connection;
pub mod store;
pub mod vault;
pub mod worker;
