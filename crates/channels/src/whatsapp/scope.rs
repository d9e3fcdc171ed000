//! What holds for all messages of a list.
//!
//! Invariant: it is read once for each change, however many messages there are.

use std::sync::Arc;

use super::profiles::Profiles;

/// What a change says besides its messages.
pub(super) struct Scope {
    /// The WhatsApp business account, for which people's user ids are made.
    pub(super) account: Option<Arc<str>>,
    /// The business' `phone_number_id`.
    pub(super) number_id: Option<String>,
    /// The business' number as it is displayed, in whatever format.
    pub(super) number: Option<String>,
    /// The profiles of the people in this change.
    pub(super) profiles: Profiles,
    /// Whether all messages of this change have the same `from`.
    pub(super) one_author: bool,
}

/// Why a message is in an update.
pub(super) enum Origin {
    /// Somebody wrote to the business.
    Live,
    /// The business wrote it in its phone app.
    Echo,
    /// It is older than the connection.
    History {
        /// The customer whose thread it is in, where the update sorts by threads.
        thread: Option<Arc<str>>,
    },
}
