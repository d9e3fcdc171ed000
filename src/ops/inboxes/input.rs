//! The inputs to create and change inboxes.
//!
//! The rules for their fields are in `rules`. `create` and `update` use them.
//!
//! Invariant: the command line and the API read the same bodies.

use super::{
    Settings,
    rules::{BotToken, Credential, MetaId, Name, Origin, Pace, PhoneNumber, Switch},
};
use crate::{
    domain::{Channel, ReadReceipts},
    error::Error,
    input::{self, Content, Field, Fields, Given, List, Schemas, input, one_of},
    ops::credentials::Credentials,
};
use serde_json::{Map, Value};
use std::borrow::Cow;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, schema::Schema},
};

/// A new inbox, by type.
#[derive(Debug)]
pub enum NewInbox {
    /// Type whatsapp.
    Whatsapp(NewWhatsapp),
    /// Type instagram.
    Instagram(NewInstagram),
    /// Type telegram.
    Telegram(NewTelegram),
    /// Type livechat.
    Livechat(NewLivechat),
}

input! {
    /// A WhatsApp inbox: a number of the WhatsApp Cloud API.
    pub struct NewWhatsapp where type = "whatsapp" {
        /// Display name.
        pub name: Name,
        /// The number, E.164 with `+`.
        pub phone_number: PhoneNumber,
        /// When contacts are shown that their messages were read: `on_answer` (the usual way) when they are answered, `on_read` only
        /// when somebody says so, or `never`.
        pub read_receipts: Option<ReadReceipts>,
        /// The connection to Meta.
        pub channel: WhatsappChannel,
    }
}

input! {
    /// The connection of a number to Meta.
    pub struct WhatsappChannel {
        /// The number's id at Meta.
        pub phone_number_id: MetaId,
        /// The business account's id at Meta.
        pub business_account_id: Given<MetaId>,
        /// The secret with which Meta signs updates.
        pub app_secret: Credential,
        /// The token for Meta's API.
        pub access_token: Given<Credential>,
    }
}

input! {
    /// An Instagram inbox: a professional account.
    pub struct NewInstagram where type = "instagram" {
        /// Display name.
        pub name: Name,
        /// The account's id at Meta.
        pub instagram_account_id: MetaId,
        /// When contacts are shown that their messages were read: `on_answer` (the usual way) when they are answered, `on_read` only
        /// when somebody says so, or `never`.
        pub read_receipts: Option<ReadReceipts>,
        /// The connection to Meta.
        pub channel: InstagramChannel,
    }
}

input! {
    /// The connection of an Instagram account to Meta.
    pub struct InstagramChannel {
        /// The secret with which Meta signs updates.
        pub app_secret: Credential,
        /// The token for Meta's API.
        pub access_token: Given<Credential>,
    }
}

input! {
    /// A Telegram inbox: a bot.
    pub struct NewTelegram where type = "telegram" {
        /// Display name.
        pub name: Name,
        /// When contacts are shown that their messages were read: `on_answer` (the usual way) when they are answered, `on_read` only
        /// when somebody says so, or `never`.
        pub read_receipts: Option<ReadReceipts>,
        /// The connection to Telegram.
        pub channel: TelegramChannel,
    }
}

input! {
    /// The connection of a bot to Telegram.
    pub struct TelegramChannel {
        /// The bot's token, from BotFather.
        pub bot_token: BotToken,
    }
}

input! {
    /// A live-chat inbox: the chat on a website.
    pub struct NewLivechat where type = "livechat" {
        /// Display name.
        pub name: Name,
        /// When contacts are shown that their messages were read: `on_answer` (the usual way) when they are answered, `on_read` only
        /// when somebody says so, or `never`.
        pub read_receipts: Option<ReadReceipts>,
        /// The pages of the chat.
        pub channel: Given<LivechatChannel>,
    }
}

input! {
    /// The pages of a chat.
    pub struct LivechatChannel {
        /// The origins of the pages that may embed the chat. If absent, every page may.
        pub allowed_origins: Given<List<Origin, 50>>,
    }
}

input! {
    /// A change of an inbox. Absent fields stay as they are.
    pub struct InboxChange {
        /// Display name.
        pub name: Option<Name>,
        /// `inactive` switches the inbox off; `active` switches it on again (it is then `pending` if it never proved itself).
        pub status: Option<Switch>,
        /// How many messages are sent in a second at most, 1 to 1000. `null`: what the provider allows any business.
        pub pace: Given<Pace>,
        /// When contacts are shown that their messages were read: `on_answer` (the usual way) when they are answered, `on_read` only
        /// when somebody says so, or `never`.
        pub read_receipts: Option<ReadReceipts>,
        /// Changes of the channel. Only fields of the inbox's type are allowed.
        pub channel: Option<ChannelChange>,
    }
}

input! {
    /// A change of an inbox's channel. Absent fields stay as they are. `null` removes an optional value.
    #[derive(Default)]
    pub struct ChannelChange {
        /// whatsapp: the number's id at Meta. A new one makes the inbox `pending` until it is proved.
        pub phone_number_id: Option<MetaId>,
        /// whatsapp: the business account's id at Meta.
        pub business_account_id: Given<MetaId>,
        /// whatsapp, instagram: the secret with which Meta signs updates.
        pub app_secret: Option<Credential>,
        /// whatsapp, instagram: the token for Meta's API.
        pub access_token: Given<Credential>,
        /// telegram: a new token of the same bot.
        pub bot_token: Option<BotToken>,
        /// livechat: the origins of the pages that may embed the chat.
        pub allowed_origins: Given<List<Origin, 50>>,
    }
}

/// The types, each with the name of its schema, its fields, and the fields of its channel.
const TYPES: [(Channel, &str, &[&str], &[&str]); 4] = [
    (
        Channel::Whatsapp,
        "NewWhatsapp",
        NewWhatsapp::NAMES,
        WhatsappChannel::NAMES,
    ),
    (
        Channel::Instagram,
        "NewInstagram",
        NewInstagram::NAMES,
        InstagramChannel::NAMES,
    ),
    (
        Channel::Telegram,
        "NewTelegram",
        NewTelegram::NAMES,
        TelegramChannel::NAMES,
    ),
    (
        Channel::Livechat,
        "NewLivechat",
        NewLivechat::NAMES,
        LivechatChannel::NAMES,
    ),
];

/// The fields of an inbox that cannot be changed.
const FIXED: [&str; 6] = [
    "id",
    "type",
    "phone_number",
    "instagram_account_id",
    "created_at",
    "messages_count",
];

impl NewInbox {
    /// Reads the body of a create.
    ///
    /// # Errors
    /// [`Error::Validation`] with all errors.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, |fields| {
            let known = TYPES.into_iter().flat_map(|(_, _, names, _)| names);
            let channel = fields.get("type").and_then(Value::as_str);
            let Some(channel) = channel.and_then(|text| text.parse().ok()) else {
                // Whether the other fields are right depends on the type, which is wrong.
                <Name as Field>::take(fields, "name");
                <Channel as Field>::take(fields, "type");
                fields.discard(known);
                return None;
            };
            refuse_other_channels(fields, channel);
            let read = match channel {
                Channel::Whatsapp => NewWhatsapp::take(fields).map(NewInbox::Whatsapp),
                Channel::Instagram => NewInstagram::take(fields).map(NewInbox::Instagram),
                Channel::Telegram => NewTelegram::take(fields).map(NewInbox::Telegram),
                Channel::Livechat => NewLivechat::take(fields).map(NewInbox::Livechat),
            };
            // A field that does not apply may be null.
            fields.discard_nulls(known.clone());
            fields.refuse(known, &not_of(channel));
            read
        })
    }

    /// The type.
    pub(super) fn channel(&self) -> Channel {
        match self {
            NewInbox::Whatsapp(_) => Channel::Whatsapp,
            NewInbox::Instagram(_) => Channel::Instagram,
            NewInbox::Telegram(_) => Channel::Telegram,
            NewInbox::Livechat(_) => Channel::Livechat,
        }
    }
}

impl PartialSchema for NewInbox {
    fn schema() -> RefOr<Schema> {
        let variants = TYPES.map(|(channel, name, ..)| (channel.as_str(), name));
        one_of("A new inbox, by type.", "type", &variants)
    }
}

impl ToSchema for NewInbox {
    fn name() -> Cow<'static, str> {
        "NewInbox".into()
    }

    fn schemas(all: &mut Schemas) {
        <NewWhatsapp as Content>::schemas(all);
        <NewInstagram as Content>::schemas(all);
        <NewTelegram as Content>::schemas(all);
        <NewLivechat as Content>::schemas(all);
    }
}

impl InboxChange {
    /// Reads the body of a change of an inbox of this type.
    ///
    /// # Errors
    /// [`Error::Validation`] with all errors.
    pub fn parse(body: Map<String, Value>, channel: Channel) -> Result<Self, Error> {
        input::read(body, |fields| {
            refuse_other_channels(fields, channel);
            let read = InboxChange::take(fields);
            fields.refuse(&FIXED, "cannot be changed");
            read
        })
    }
}

/// Records errors for channel fields that only other types have.
fn refuse_other_channels(fields: &mut Fields<'_>, channel: Channel) {
    let own = TYPES.iter().find(|(one, ..)| *one == channel);
    let own = own.map_or(&[][..], |(.., names)| names);
    let others = TYPES.iter().flat_map(|(.., names)| *names);
    let others = others.filter(|name| !own.contains(name));
    fields.refuse_in("channel", others, &not_of(channel));
}

fn not_of(channel: Channel) -> String {
    format!("does not apply to type {}", channel.as_str())
}

impl From<WhatsappChannel> for ChannelChange {
    fn from(new: WhatsappChannel) -> Self {
        ChannelChange {
            phone_number_id: Some(new.phone_number_id),
            business_account_id: new.business_account_id,
            app_secret: Some(new.app_secret),
            access_token: new.access_token,
            ..ChannelChange::default()
        }
    }
}

impl From<InstagramChannel> for ChannelChange {
    fn from(new: InstagramChannel) -> Self {
        ChannelChange {
            app_secret: Some(new.app_secret),
            access_token: new.access_token,
            ..ChannelChange::default()
        }
    }
}

impl From<TelegramChannel> for ChannelChange {
    fn from(new: TelegramChannel) -> Self {
        ChannelChange {
            bot_token: Some(new.bot_token),
            ..ChannelChange::default()
        }
    }
}

impl From<LivechatChannel> for ChannelChange {
    fn from(new: LivechatChannel) -> Self {
        ChannelChange {
            allowed_origins: new.allowed_origins,
            ..ChannelChange::default()
        }
    }
}

impl ChannelChange {
    /// Applies the change to the settings. Returns the credentials to set or remove.
    pub(super) fn apply(self, settings: &mut Settings) -> Credentials {
        if let Some(id) = self.phone_number_id {
            settings.phone_number_id = Some(id.0);
        }
        let business = self.business_account_id.map(|id| id.0);
        business.apply(&mut settings.business_account_id);
        if let Some(token) = &self.bot_token {
            settings.bot_id = Some(token.bot().to_owned());
        }
        let origins = self.allowed_origins;
        let origins = origins.map(|list| list.0.into_iter().map(|origin| origin.0).collect());
        origins.apply(&mut settings.allowed_origins);
        vec![
            (
                "app_secret",
                Given::from(self.app_secret.map(|secret| secret.0)),
            ),
            ("access_token", self.access_token.map(|token| token.0)),
            (
                "bot_token",
                Given::from(self.bot_token.map(|token| token.0)),
            ),
        ]
    }
}
