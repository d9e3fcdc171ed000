//! The REST API: one file a noun, as in the URL.

pub mod conversations;
pub mod events;
pub mod health;
pub mod home;
pub mod inboxes;
pub mod messages;
pub mod openapi;
