//! The REST API, with one file for each resource.

pub mod contacts;
pub mod conversations;
pub mod events;
pub mod health;
pub mod home;
pub mod inboxes;
pub mod messages;
pub mod openapi;
