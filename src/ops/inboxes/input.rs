//! What a create and a change of an inbox say.
//!
//! What each field must look like is in `rules`, and what comes of it in `create` and `update`.
//!
//! Invariant: the command line and the API read the same bodies, as the document names them.

use super::{
    Settings,
    rules::{BotToken, Credential, MetaId, Name, Origin, PhoneNumber, Switch},
};
use crate::{
    domain::Channel,
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

/// What a create says, by type.
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
    /// A number of the WhatsApp Cloud API.
    pub struct NewWhatsapp where type = "whatsapp" {
        /// Display name.
        pub name: Name,
        /// The number, E.164 with `+`.
        pub phone_number: PhoneNumber,
        /// How it is reached.
        pub channel: WhatsappChannel,
    }
}

input! {
    /// What a number needs at Meta.
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
    /// A professional account of Instagram.
    pub struct NewInstagram where type = "instagram" {
        /// Display name.
        pub name: Name,
        /// The account's id at Meta.
        pub instagram_account_id: MetaId,
        /// How it is reached.
        pub channel: InstagramChannel,
    }
}

input! {
    /// What an account needs at Meta.
    pub struct InstagramChannel {
        /// The secret with which Meta signs updates.
        pub app_secret: Credential,
        /// The token for Meta's API.
        pub access_token: Given<Credential>,
    }
}

input! {
    /// A Telegram bot.
    pub struct NewTelegram where type = "telegram" {
        /// Display name.
        pub name: Name,
        /// How it is reached.
        pub channel: TelegramChannel,
    }
}

input! {
    /// What a bot needs.
    pub struct TelegramChannel {
        /// The token that BotFather gave.
        pub bot_token: BotToken,
    }
}

input! {
    /// The chat on a website.
    pub struct NewLivechat where type = "livechat" {
        /// Display name.
        pub name: Name,
        /// Where it is.
        pub channel: Given<LivechatChannel>,
    }
}

input! {
    /// Where a chat may be.
    pub struct LivechatChannel {
        /// The origins of the pages that may embed it. Without it any may.
        pub allowed_origins: Given<List<Origin, 50>>,
    }
}

input! {
    /// What an update changes. Only what is given changes.
    pub struct InboxChange {
        /// Display name.
        pub name: Option<Name>,
        /// `inactive` switches the inbox off; `active` switches it on again (it is then `pending` if it never proved itself).
        pub status: Option<Switch>,
        /// Fields of the channel to change, those of the inbox's type.
        pub channel: Option<ChannelChange>,
    }
}

input! {
    /// What of a channel can be changed. `null` takes away what the inbox can do without.
    #[derive(Default)]
    pub struct ChannelChange {
        /// whatsapp: the number's id at Meta. Another one makes the inbox `pending` until it proves itself.
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

/// The types: their schemas' names, the fields of a create, and those of the channel.
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

/// What an inbox shows, and a change cannot change.
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
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(body: Map<String, Value>) -> Result<Self, Error> {
        input::read(body, |fields| {
            let known = TYPES.into_iter().flat_map(|(_, _, names, _)| names);
            let channel = fields.get("type").and_then(Value::as_str);
            let Some(channel) = channel.and_then(|text| text.parse().ok()) else {
                // Which of the others are right depends on the type, which is wrong itself.
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
            // What does not apply may be said to be nothing.
            fields.discard_nulls(known.clone());
            fields.refuse(known, &not_of(channel));
            read
        })
    }

    /// Its type.
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
        one_of("What a create says, by type.", "type", &variants)
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
    /// [`Error::Validation`] with all that is wrong.
    pub fn parse(body: Map<String, Value>, channel: Channel) -> Result<Self, Error> {
        input::read(body, |fields| {
            refuse_other_channels(fields, channel);
            let read = InboxChange::take(fields);
            fields.refuse(&FIXED, "cannot be changed");
            read
        })
    }
}

/// What another type's channel has is known, and wrong here.
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
    /// Lays it over what is set, and gives the credentials that are to be set or taken away.
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
