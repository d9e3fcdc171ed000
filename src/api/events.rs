//! `/events`: a stream of events, as server-sent events.
//!
//! Invariants: a client that reconnects with the id of the last event that it received misses no message and no change
//! of a message. No event is sent once the client's key is no longer valid.

use crate::{
    domain::Scope,
    error::Error,
    http::{App, LongLived, auth::Reader, envelope::ApiError},
    id::{AccountId, EventId},
    ops::{
        contacts, conversations,
        events::{self, Event, Live, RecentIds, What},
        inboxes, keys, messages,
    },
    principal::Principal,
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as Sse, KeepAlive, Sse as Answer},
    },
};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{
        OwnedSemaphorePermit,
        broadcast::{Receiver, error::RecvError},
        watch,
    },
    time::{Interval, interval},
};

/// How often a keep-alive comment is sent while there are no events.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often the key of a stream is checked even if no change of a key was announced: keys can also expire.
const CHECK: Duration = Duration::from_millis(500);

/// Listen to events
///
/// Events are `message.created` and `message.changed` (both with the message as data), `conversation.changed` (with the
/// conversation, and in `former_ids` the ids of conversations that were joined with it), `contact.changed` (with the
/// contact; `former_ids` likewise), `inbox.changed` (with the inbox)
/// and `inbox.deleted` (with the inbox's id). Messages of the history from before an inbox was connected cause no
/// events. To continue after a disconnect, send the id of the last event as `Last-Event-ID`. An event may then be sent
/// a second time, with the same id.
#[utoipa::path(
    get, path = "/events", operation_id = "listenToEvents", tag = "Events",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received")),
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = String,
            example = "event: message.created\nid: evt_06cqm0d4vdtqf5b5r9e2k8a1p4\ndata: {\"id\":\"msg_06cqm0d4vdtqf5b5r9e2k8a1p4\"}\n\n"),
        (status = 400, description = "`Last-Event-ID` is not the id of an event", body = crate::http::envelope::Failure)
    )
)]
pub async fn listen(
    Reader(principal): Reader,
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let last = match headers.get("last-event-id") {
        None => None,
        Some(value) => Some(last_event_id(value.to_str().unwrap_or_default())?),
    };
    let begin = EventId::new(&app.context.clock);
    let listener = Listener {
        // Listening starts before catching up, so that no event is missed in between.
        live: app.context.events.listen(),
        stopped: app.stopped.clone(),
        reading: last
            .as_ref()
            .map(|last| last.earlier(events::overlap(&app.context))),
        // Without an id the stream starts with events from now on.
        begin: last.is_none().then(|| begin.clone()),
        last: last.clone().unwrap_or(begin),
        waiting: VecDeque::new(),
        sent: last.iter().cloned().collect(),
        check: interval(CHECK),
        _place: app.bounds.stream()?,
        principal,
        app,
    };
    let mut response = Answer::new(stream(listener))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    response.extensions_mut().insert(LongLived);
    Ok(response)
}

fn last_event_id(text: &str) -> Result<EventId, Error> {
    let good = text.len() == 30
        && text.starts_with("evt_")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if good {
        Ok(EventId::from_text(text))
    } else {
        Err(Error::field("Last-Event-ID", "must be the id of an event"))
    }
}

/// The state of one client's stream.
struct Listener {
    app: App,
    principal: Arc<Principal>,
    live: Receiver<Live>,
    stopped: watch::Receiver<bool>,
    /// The event after which the store may have events that were not sent yet.
    reading: Option<EventId>,
    /// No event before this one is sent.
    begin: Option<EventId>,
    /// The newest event that was sent.
    last: EventId,
    waiting: VecDeque<Event>,
    sent: RecentIds<EventId>,
    /// When the key is checked next, however many events there are in between.
    check: Interval,
    _place: OwnedSemaphorePermit,
}

fn stream(listener: Listener) -> impl Stream<Item = Result<Sse, Infallible>> {
    stream::unfold(listener, |mut listener| async move {
        loop {
            let event = listener.next().await?;
            // Some time may have passed since the client read the previous event.
            listener.check_key().await.ok()?;
            match listener.render(&event).await {
                Ok(Some(sse)) => return Some((Ok(sse), listener)),
                // The message or inbox of the event was deleted in the meantime.
                Ok(None) => {}
                Err(error) => {
                    // The client will connect again, and continue after its last event.
                    tracing::warn!(
                        cause = error.cause(),
                        "a stream of events is closed, because an event cannot be read"
                    );
                    return None;
                }
            }
        }
    })
}

impl Listener {
    /// The next event of this account. `None` if the stream must end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                if let Some(event) = self.if_unsent(event) {
                    return Some(event);
                }
                continue;
            }
            if let Some(from) = self.reading.take() {
                self.catch_up(from).await.ok()?;
                continue;
            }
            tokio::select! {
                _ = self.stopped.changed() => return None,
                _ = self.check.tick() => self.check_key().await.ok()?,
                event = self.live.recv() => match event {
                    Ok(Live::Happened(event)) if event.account == *self.account() => {
                        if let Some(event) = self.if_unsent(event) {
                            return Some(event);
                        }
                    }
                    Ok(
                        Live::Happened(_) | Live::ConversationGone(_) | Live::SessionEnded(_),
                    ) => {}
                    Ok(Live::KeysChanged) => self.check_key().await.ok()?,
                    Ok(Live::Missed) | Err(RecvError::Lagged(_)) => {
                        self.check_key().await.ok()?;
                        self.start_catching_up();
                    }
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    fn account(&self) -> &AccountId {
        self.principal.account()
    }

    /// Returns the event, unless it was sent before.
    fn if_unsent(&mut self, event: Event) -> Option<Event> {
        if self.begin.as_ref().is_some_and(|begin| event.id < *begin)
            || !self.sent.is_new(&event.id)
        {
            return None;
        }
        if event.id > self.last {
            self.last = event.id.clone();
        }
        Some(event)
    }

    /// Starts catching up, since events may have been missed.
    fn start_catching_up(&mut self) {
        self.reading = Some(self.last.earlier(events::overlap(&self.app.context)));
    }

    /// Reads the next page of events after `from`. An empty page ends the catching up.
    async fn catch_up(&mut self, from: EventId) -> Result<(), Error> {
        let missed = events::catch_up(&self.app.context, self.account(), &from).await?;
        self.reading = missed.last().map(|last| last.id.clone());
        self.waiting.extend(missed);
        Ok(())
    }

    /// Returns an error if the stream's key is no longer valid.
    async fn check_key(&self) -> Result<(), Error> {
        keys::recheck(&self.app.context, &self.principal)
            .await?
            .require(Scope::Read)
    }

    async fn render(&self, event: &Event) -> Result<Option<Sse>, Error> {
        let (context, account) = (&self.app.context, self.account());
        let data = match &event.what {
            What::MessageCreated { message, .. } | What::MessageChanged { message, .. } => {
                present(messages::get_listed(context, account, message).await)?
            }
            What::ConversationChanged { conversation } => {
                present(conversations::get_with_former_ids(context, account, conversation).await)?
            }
            What::ContactChanged { contact } => {
                present(contacts::get(context, account, contact).await)?
            }
            What::InboxChanged => present(inboxes::get(context, account, &event.inbox).await)?,
            What::InboxDeleted => Some(json!({"id": event.inbox})),
        };
        Ok(data.map(|data| {
            Sse::default()
                .event(event.what.name())
                .id(event.id.as_str())
                .data(data.to_string())
        }))
    }
}

/// Converts an object to JSON. `None` if it was not found.
fn present(found: Result<impl serde::Serialize, Error>) -> Result<Option<Value>, Error> {
    match found {
        Ok(thing) => serde_json::to_value(thing)
            .map(Some)
            .map_err(|error| Error::Internal(error.to_string())),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
