//! What providers call: one file a channel.
//!
//! A hook checks the signature, has the delivery read by the channel's parser, and answers only once the
//! messages are durable. Adding a channel means one file here, and its line in the router.

pub mod whatsapp;

mod meta;
