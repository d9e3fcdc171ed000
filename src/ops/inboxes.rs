//! Inboxes: listing, creating, changing, deleting.

mod list;

pub use list::list;

use super::{
    Context,
    changes::{Changes, commit},
    check_name, credentials,
    events::{Event, What},
    fields::{Fields, Given},
    found, purge,
};
use crate::{
    domain::{Channel, Inbox, InboxStatus},
    error::{Error, Reason},
    id::{AccountId, EventId, InboxId},
    store::{
        addresses,
        inboxes::{self, Details, Update},
        purge::Deleted,
        secrets,
    },
};
use db::Session;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One of them.
pub async fn get(context: &Context, account: &AccountId, id: &InboxId) -> Result<Inbox, Error> {
    let mut session = context.db.read().await?;
    found(inboxes::find(&mut session, account, id).await?, "inbox")
}

/// What is set about a channel and is no secret.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct Settings {
    /// WhatsApp: the number's id at Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number_id: Option<String>,
    /// WhatsApp: the business account's id at Meta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_account_id: Option<String>,
    /// Telegram: the bot's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_id: Option<String>,
    /// Telegram: the bot's display name, once it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_name: Option<String>,
    /// Telegram: the bot's user name, without `@`, once it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot_username: Option<String>,
    /// Live chat: where the widget may be embedded. `None` means anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
}

/// What a body says about the channel: settings, and credentials to set or to take away.
#[derive(Default)]
struct ChannelFields {
    phone_number_id: Option<String>,
    business_account_id: Given<String>,
    bot_id: Option<String>,
    allowed_origins: Given<Vec<String>>,
    secrets: Vec<(&'static str, Option<String>)>,
}

impl ChannelFields {
    /// Reads `channel` by the type's rules. `whole` demands what a new inbox cannot do without.
    fn read(fields: &mut Fields, channel: Channel, whole: bool) -> Self {
        let mut read = ChannelFields::default();
        match channel {
            Channel::Whatsapp => {
                read.phone_number_id = must(fields, whole, "phone_number_id", address);
                read.secret(fields, whole, "app_secret", credential);
                read.optional_secret(fields, "access_token");
                read.business_account_id = fields.text("business_account_id", address);
            }
            Channel::Instagram => {
                read.secret(fields, whole, "app_secret", credential);
                read.optional_secret(fields, "access_token");
            }
            Channel::Telegram => {
                read.secret(fields, whole, "bot_token", bot_token);
                read.bot_id = read.secrets.iter().find_map(|(_, token)| {
                    let (bot, _) = token.as_deref()?.split_once(':')?;
                    Some(bot.to_owned())
                });
            }
            Channel::Livechat => {
                read.allowed_origins = fields.texts("allowed_origins", 50, origin);
            }
        }
        read
    }

    fn secret(
        &mut self,
        fields: &mut Fields,
        whole: bool,
        name: &'static str,
        rule: fn(&str) -> Result<String, &'static str>,
    ) {
        if let Some(secret) = must(fields, whole, name, rule) {
            self.secrets.push((name, Some(secret)));
        }
    }

    fn optional_secret(&mut self, fields: &mut Fields, name: &'static str) {
        match fields.text(name, credential) {
            Given::Absent => {}
            Given::Null => self.secrets.push((name, None)),
            Given::Value(secret) => self.secrets.push((name, Some(secret))),
        }
    }

    /// Lays what was given over what is set.
    fn apply(&self, settings: &mut Settings) {
        replace(&mut settings.phone_number_id, &self.phone_number_id);
        replace(&mut settings.bot_id, &self.bot_id);
        replace_or_clear(&mut settings.business_account_id, &self.business_account_id);
        replace_or_clear(&mut settings.allowed_origins, &self.allowed_origins);
    }
}

/// A bot is a Telegram inbox's address, and numbers its messages by itself: those of two bots in one inbox could not be
/// told apart. Another token of the same bot is fine.
fn check_bot(settings: &Settings, given: &ChannelFields) -> Result<(), Error> {
    match (&settings.bot_id, &given.bot_id) {
        (Some(bot), Some(other)) if other != bot => Err(Error::Conflict(
            Reason::AddressFixed,
            format!(
                "This inbox belongs to bot {bot}, and channel.bot_token is of bot {other}: create another inbox for that bot"
            ),
        )),
        _ => Ok(()),
    }
}

fn must(
    fields: &mut Fields,
    whole: bool,
    name: &'static str,
    rule: fn(&str) -> Result<String, &'static str>,
) -> Option<String> {
    if whole {
        fields.required(name, rule)
    } else {
        fields.changed(name, rule)
    }
}

fn replace<T: Clone>(slot: &mut Option<T>, new: &Option<T>) {
    if new.is_some() {
        slot.clone_from(new);
    }
}

fn replace_or_clear<T: Clone>(slot: &mut Option<T>, new: &Given<T>) {
    match new {
        Given::Absent => {}
        Given::Null => *slot = None,
        Given::Value(value) => *slot = Some(value.clone()),
    }
}

/// Creates an inbox from the body of `POST /inboxes`.
pub async fn create(
    context: &Context,
    account: &AccountId,
    body: Map<String, Value>,
) -> Result<Inbox, Error> {
    let mut fields = Fields::new(body);
    let name = fields.required("name", check_name);
    let channel = fields.required("type", |text| text.parse::<Channel>());
    let mut phone_number = None;
    let mut instagram_account_id = None;
    let mut given = ChannelFields::default();
    if let Some(channel) = channel {
        match channel {
            Channel::Whatsapp => phone_number = fields.required("phone_number", e164),
            Channel::Instagram => {
                instagram_account_id = fields.required("instagram_account_id", address);
            }
            Channel::Livechat | Channel::Telegram => {}
        }
        given = fields
            .nested("channel", |inner| ChannelFields::read(inner, channel, true))
            .unwrap_or_default();
        let misplaced = format!("does not apply to type {}", channel.as_str());
        fields.misplaced("phone_number", &misplaced);
        fields.misplaced("instagram_account_id", &misplaced);
    } else {
        // Which of these are right depends on the type, which is wrong itself.
        for name in ["phone_number", "instagram_account_id", "channel"] {
            fields.ignore(name);
        }
    }
    fields.finish()?;
    let (Some(name), Some(channel)) = (name, channel) else {
        return Err(Error::Internal(
            "a body without errors lacks a field".into(),
        ));
    };

    let now = context.clock.now();
    let id = InboxId::new(&context.clock);
    let mut settings = Settings::default();
    given.apply(&mut settings);
    // Live chat needs no provider's word: the widget's server is this one.
    let proved_at = (channel == Channel::Livechat).then_some(now);
    let details = Details {
        inbox: Inbox {
            id: id.clone(),
            name,
            channel,
            status: status(proved_at, None),
            phone_number,
            instagram_account_id,
            created_at: now,
            messages_count: 0,
        },
        settings: write_settings(&settings)?,
        proved_at,
    };
    let mut session = context.db.write().await?;
    // Made while the transaction is open, so that ids and commits have one order.
    let change = EventId::new(&context.clock);
    inboxes::insert(&mut session, account, &details, &change).await?;
    claim_address(&mut session, account, &details.inbox, &settings).await?;
    credentials::put_all(context, &mut session, account, &id, &given.secrets).await?;
    let changes = inbox_event(account, &id, change, What::InboxChanged);
    commit(context, session, changes).await?;
    Ok(details.inbox)
}

/// Changes an inbox by the body of `PATCH /inboxes/{id}`.
pub async fn update(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    body: Map<String, Value>,
) -> Result<Inbox, Error> {
    let mut session = context.db.write().await?;
    // Held from the first look to the commit, or two changes at once could undo each other.
    inboxes::lock(&mut session, &[(account, id)]).await?;
    let details = found(
        inboxes::find_details(&mut session, account, id).await?,
        "inbox",
    )?;
    let mut inbox = details.inbox;

    let mut fields = Fields::new(body);
    let name = fields.changed("name", check_name);
    let switched_on = fields.changed("status", |text| match text {
        "active" => Ok(true),
        "inactive" => Ok(false),
        _ => Err("must be active or inactive"),
    });
    let given = fields
        .nested("channel", |inner| {
            ChannelFields::read(inner, inbox.channel, false)
        })
        .unwrap_or_default();
    fields.finish()?;

    let before = read_settings(&details.settings)?;
    check_bot(&before, &given)?;
    let mut settings = before.clone();
    given.apply(&mut settings);
    let moved = channel_address(&inbox, &settings) != channel_address(&inbox, &before);
    // What proved the old address says nothing about the new one.
    let proved_at = details.proved_at.filter(|_| !moved);
    if let Some(name) = name {
        inbox.name = name;
    }
    let off = match switched_on {
        Some(on) => !on,
        None => inbox.status == InboxStatus::Inactive,
    };
    let switched_off_at = off.then(|| context.clock.now());
    inbox.status = status(proved_at, switched_off_at);
    let text = write_settings(&settings)?;
    let change = EventId::new(&context.clock);
    let update = Update {
        name: &inbox.name,
        settings: &text,
        proved_at,
        switched_off_at,
        change: &change,
    };
    inboxes::update(&mut session, account, id, &update).await?;
    if moved {
        addresses::release(&mut session, id).await?;
        claim_address(&mut session, account, &inbox, &settings).await?;
    }
    credentials::put_all(context, &mut session, account, id, &given.secrets).await?;
    let changes = inbox_event(account, id, change, What::InboxChanged);
    commit(context, session, changes).await?;
    Ok(inbox)
}

/// Deletes an inbox. One that holds messages is kept, unless `with_messages` says that they go, too. From here on nobody finds it,
/// nor anything that it holds; all of that is then removed in the background, or by a command before it ends.
pub async fn delete(
    context: &Context,
    account: &AccountId,
    id: &InboxId,
    with_messages: bool,
) -> Result<(), Error> {
    let mut session = context.db.write().await?;
    // From here on no delivery can add to it.
    inboxes::lock(&mut session, &[(account, id)]).await?;
    let inbox = found(inboxes::find(&mut session, account, id).await?, "inbox")?;
    if inbox.messages_count > 0 && !with_messages {
        return Err(Error::Conflict(
            Reason::HasMessages,
            format!("Messages in this inbox: {}", inbox.messages_count),
        ));
    }
    addresses::release(&mut session, id).await?;
    secrets::delete_all(&mut session, account, id).await?;
    inboxes::mark_deleted(&mut session, account, id, context.clock.now()).await?;
    let change = EventId::new(&context.clock);
    let changes = inbox_event(account, id, change, What::InboxDeleted);
    commit(context, session, changes).await?;
    if !context.command {
        context.inbox_deleted.notify_one();
        return Ok(());
    }
    let deleted = Deleted {
        account: account.clone(),
        inbox: id.clone(),
        channel: inbox.channel,
    };
    if let Err(error) = purge::finish(context, &deleted).await {
        // It is deleted all the same.
        let cause = error.cause();
        tracing::warn!(cause, "what it held is removed when a server runs");
    }
    Ok(())
}

/// What a transaction changes in which this happens to an inbox.
pub(super) fn inbox_event(
    account: &AccountId,
    inbox: &InboxId,
    id: EventId,
    what: What,
) -> Changes {
    Changes::of(vec![Event {
        id,
        account: account.clone(),
        inbox: inbox.clone(),
        what,
    }])
}

/// The one definition of an inbox's status; the schema's generated column says the same.
fn status(proved_at: Option<i64>, switched_off_at: Option<i64>) -> InboxStatus {
    match (switched_off_at, proved_at) {
        (Some(_), _) => InboxStatus::Inactive,
        (None, Some(_)) => InboxStatus::Active,
        (None, None) => InboxStatus::Pending,
    }
}

/// The address by which deliveries find the inbox.
fn channel_address<'a>(
    inbox: &'a Inbox,
    settings: &'a Settings,
) -> Option<(&'static str, &'a str)> {
    match inbox.channel {
        Channel::Whatsapp => Some((
            "channel.phone_number_id",
            settings.phone_number_id.as_deref()?,
        )),
        Channel::Instagram => Some((
            "instagram_account_id",
            inbox.instagram_account_id.as_deref()?,
        )),
        Channel::Telegram => Some(("channel.bot_token", settings.bot_id.as_deref()?)),
        Channel::Livechat => Some(("id", inbox.id.as_str())),
    }
}

async fn claim_address(
    session: &mut Session,
    account: &AccountId,
    inbox: &Inbox,
    settings: &Settings,
) -> Result<(), Error> {
    let Some((field, address)) = channel_address(inbox, settings) else {
        return Err(Error::Internal(format!(
            "inbox {} has no address",
            inbox.id
        )));
    };
    if addresses::claim(session, inbox.channel, address, account, &inbox.id).await? {
        return Ok(());
    }
    Err(Error::Conflict(
        Reason::AddressTaken,
        format!(
            "This {} address is already connected to an inbox of this server ({field})",
            inbox.channel.as_str()
        ),
    ))
}

/// The settings of an inbox, from their column.
pub(super) fn read_settings(text: &str) -> Result<Settings, Error> {
    serde_json::from_str(text)
        .map_err(|error| Error::Internal(format!("an inbox's settings are damaged: {error}")))
}

/// The same the other way round.
pub(super) fn write_settings(settings: &Settings) -> Result<String, Error> {
    serde_json::to_string(settings).map_err(|error| Error::Internal(error.to_string()))
}

/// E.164: a plus, then 7 to 15 digits, the first not 0.
fn e164(text: &str) -> Result<String, &'static str> {
    let digits = text.strip_prefix('+').unwrap_or_default();
    let good = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if good {
        Ok(text.to_owned())
    } else {
        Err("must be an E.164 phone number: + and 7 to 15 digits, as in +62812345678")
    }
}

/// A provider's id for an address.
fn address(text: &str) -> Result<String, &'static str> {
    if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 64 visible ASCII characters")
    }
}

/// A secret or token of a provider.
fn credential(text: &str) -> Result<String, &'static str> {
    if (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must have 1 to 2048 visible ASCII characters")
    }
}

/// A Telegram bot token: the bot's id, a colon, a secret. <https://core.telegram.org/bots/api#authorizing-your-bot>
fn bot_token(text: &str) -> Result<String, &'static str> {
    const RULE: &str =
        "must be a bot token as BotFather gives it: digits, a colon, letters and digits";
    let (bot, secret) = text.split_once(':').ok_or(RULE)?;
    let digits = (1..=20).contains(&bot.len()) && bot.bytes().all(|byte| byte.is_ascii_digit());
    let secret_good = (1..=128).contains(&secret.len())
        && secret
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if digits && secret_good {
        Ok(text.to_owned())
    } else {
        Err(RULE)
    }
}

/// An origin as browsers send it: scheme, host, and the port where it is not the usual one.
fn origin(text: &str) -> Result<String, &'static str> {
    const RULE: &str = "must be an origin, as in https://www.example.com";
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or(RULE)?;
    let good = (1..=255).contains(&host.len())
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte));
    if good {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(RULE)
    }
}
