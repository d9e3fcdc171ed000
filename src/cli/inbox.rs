//! The commands `inboxd inbox …`. They pass the same bodies to the same functions as the API's `/inboxes`, so the same
//! rules apply.

use super::{
    Global,
    failure::Failure,
    inbox_queue, inbox_test,
    output::{Output, or_dash},
    settings::{ProviderFlags, Whose, Within, public_url, read_secret},
    setup,
};
use crate::{
    clock::rfc3339,
    domain,
    error::Error,
    id::{AccountId, InboxId},
    ops::{self, Context, connect, inboxes},
    store::{
        accounts::Thing,
        inboxes::{Filter, Page},
    },
};
use clap::{Args, Subcommand, ValueEnum};
use db::Missing;
use serde_json::{Map, Value, json};
use std::str::FromStr;

#[derive(Subcommand)]
pub(super) enum Inbox {
    /// Create an inbox
    Create {
        #[command(flatten)]
        whose: Whose,
        /// Display name
        #[arg(long)]
        name: String,
        /// whatsapp, instagram, livechat or telegram
        #[arg(long = "type", value_name = "TYPE")]
        channel: String,
        /// whatsapp: the phone number, E.164 with +
        #[arg(long, value_name = "NUMBER")]
        phone_number: Option<String>,
        /// instagram: the account's id
        #[arg(long, value_name = "ID")]
        instagram_account_id: Option<String>,
        /// When contacts are shown that their messages were read: on_answer, on_read or never
        #[arg(long, value_name = "WHEN")]
        read_receipts: Option<String>,
        #[command(flatten)]
        fields: ChannelFields,
    },
    /// List the inboxes
    List {
        #[command(flatten)]
        whose: Whose,
        /// Only this type
        #[arg(long = "type", value_name = "TYPE")]
        channel: Option<String>,
        /// Only this status: active, inactive or pending
        #[arg(long)]
        status: Option<String>,
    },
    /// Show an inbox
    Show {
        #[command(flatten)]
        within: Within,
        /// The inbox's id
        id: String,
    },
    /// Show how to connect an inbox: what to paste at the provider, which proof is missing, and what the provider
    /// reports
    Setup {
        #[command(flatten)]
        within: Within,
        /// The inbox's id
        id: String,
        #[command(flatten)]
        ways: Ways,
    },
    /// Connect an inbox, and show its setup. telegram: sets the webhook; whatsapp, instagram: checks the access token
    Connect {
        #[command(flatten)]
        within: Within,
        /// The inbox's id
        id: String,
        #[command(flatten)]
        ways: Ways,
    },
    /// Change an inbox. Values that are not given stay as they are
    Update {
        #[command(flatten)]
        within: Within,
        /// The inbox's id
        id: String,
        /// Display name
        #[arg(long)]
        name: Option<String>,
        /// active, or inactive to switch the inbox off
        #[arg(long)]
        status: Option<String>,
        /// How many messages are sent in a second at most, 1 to 1000
        #[arg(long, value_name = "NUMBER")]
        pace: Option<i64>,
        /// When contacts are shown that their messages were read: on_answer, on_read or never
        #[arg(long, value_name = "WHEN")]
        read_receipts: Option<String>,
        #[command(flatten)]
        fields: ChannelFields,
        /// Take away what was set and is optional; several, as in access-token,business-account-id
        #[arg(long, value_enum, value_delimiter = ',', value_name = "FIELD")]
        clear: Vec<Clear>,
    },
    /// Try an inbox without its provider: send it a message as the provider would, and show whether it was stored
    Test(inbox_test::Test),
    /// Send or discard the messages that are held, since they waited for long for a new token. A running server sends them
    Queue(inbox_queue::Queue),
    /// Delete an inbox
    Delete {
        #[command(flatten)]
        within: Within,
        /// The inbox's id
        id: String,
        /// Delete its messages, too. They cannot be recovered
        #[arg(long)]
        purge: bool,
    },
}

/// How the provider reaches us, and we the provider.
#[derive(Args)]
pub(super) struct Ways {
    /// The URL under which the provider reaches the server
    #[arg(
        long,
        env = "INBOXD_PUBLIC_URL",
        value_name = "URL",
        value_parser = public_url,
        default_value = "http://127.0.0.1:8080"
    )]
    public_url: String,
    #[command(flatten)]
    providers: ProviderFlags,
}

impl Ways {
    fn set(self, context: &mut Context) {
        context.set_providers(self.providers.config());
        context.public_url = self.public_url;
    }
}

/// The fields of a channel. Each secret can be read from a file instead, since other users of the machine can see a
/// command line.
#[derive(Args)]
pub(super) struct ChannelFields {
    /// whatsapp: the number's id at Meta
    #[arg(long, value_name = "ID")]
    phone_number_id: Option<String>,
    /// whatsapp: the business account's id at Meta
    #[arg(long, value_name = "ID")]
    business_account_id: Option<String>,
    /// whatsapp, instagram: the app secret (better: --app-secret-file)
    #[arg(long, value_name = "SECRET", conflicts_with = "app_secret_file")]
    app_secret: Option<String>,
    /// A file with the app secret (- for standard input)
    #[arg(long, value_name = "FILE")]
    app_secret_file: Option<String>,
    /// whatsapp, instagram: the access token (better: --access-token-file)
    #[arg(long, value_name = "TOKEN", conflicts_with = "access_token_file")]
    access_token: Option<String>,
    /// A file with the access token (- for standard input)
    #[arg(long, value_name = "FILE")]
    access_token_file: Option<String>,
    /// telegram: the bot token (better: --bot-token-file)
    #[arg(long, value_name = "TOKEN", conflicts_with = "bot_token_file")]
    bot_token: Option<String>,
    /// A file with the bot token (- for standard input)
    #[arg(long, value_name = "FILE")]
    bot_token_file: Option<String>,
    /// livechat: the origin of a page that may embed the chat; can be given several times
    #[arg(long = "allowed-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,
}

/// What an inbox can do without.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Clear {
    AccessToken,
    AllowedOrigin,
    BusinessAccountId,
    Pace,
}

impl Clear {
    fn name_and_flag(self) -> (&'static str, &'static str) {
        match self {
            Clear::AccessToken => ("access_token", "--access-token"),
            Clear::AllowedOrigin => ("allowed_origins", "--allowed-origin"),
            Clear::BusinessAccountId => ("business_account_id", "--business-account-id"),
            Clear::Pace => ("pace", "--pace"),
        }
    }
}

impl ChannelFields {
    fn object(self) -> Result<Map<String, Value>, Failure> {
        let mut object = Map::new();
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                object.insert(name.to_owned(), value.into());
            }
        };
        set("phone_number_id", self.phone_number_id);
        set("business_account_id", self.business_account_id);
        let secrets = [
            ("app_secret", self.app_secret, self.app_secret_file),
            ("access_token", self.access_token, self.access_token_file),
            ("bot_token", self.bot_token, self.bot_token_file),
        ];
        for (name, value, file) in secrets {
            let from_file = file
                .map(|file| read_secret(&format!("{}-file", name.replace('_', "-")), &file))
                .transpose()?;
            set(name, value.or(from_file));
        }
        if !self.allowed_origins.is_empty() {
            object.insert("allowed_origins".to_owned(), self.allowed_origins.into());
        }
        Ok(object)
    }
}

impl Inbox {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let mut context = global.open(Missing::Fail).await?;
        match self {
            Inbox::Create {
                whose,
                name,
                channel,
                phone_number,
                instagram_account_id,
                read_receipts,
                fields,
            } => {
                let account = whose.account(&context).await?;
                let mut body = given([
                    ("name", Some(name)),
                    ("type", Some(channel)),
                    ("phone_number", phone_number),
                    ("instagram_account_id", instagram_account_id),
                    ("read_receipts", read_receipts),
                ]);
                body.insert("channel".to_owned(), fields.object()?.into());
                show(
                    output,
                    &inboxes::create(&context, &account, body, None).await?,
                )
            }
            Inbox::List {
                whose,
                channel,
                status,
            } => {
                let account = whose.account(&context).await?;
                list(&context, &account, channel, status, output).await
            }
            Inbox::Show { within, id } => {
                let (account, id) = find(&context, &within, id).await?;
                show(output, &inboxes::get(&context, &account, &id).await?)
            }
            Inbox::Setup { within, id, ways } => {
                ways.set(&mut context);
                let (account, id) = find(&context, &within, id).await?;
                let setup = ops::setup::get(&context, &account, &id).await?;
                output.one(&setup, || setup::rows(&setup))
            }
            Inbox::Connect { within, id, ways } => {
                ways.set(&mut context);
                let (account, id) = find(&context, &within, id).await?;
                let setup = connect::connect(&context, &account, &id).await?;
                output.one(&setup, || setup::rows(&setup))
            }
            Inbox::Update {
                within,
                id,
                name,
                status,
                pace,
                read_receipts,
                fields,
                clear,
            } => {
                let (account, id) = find(&context, &within, id).await?;
                let mut body = given([
                    ("name", name),
                    ("status", status),
                    ("read_receipts", read_receipts),
                ]);
                body.extend(pace.map(|pace| ("pace".to_owned(), pace.into())));
                let mut channel = fields.object()?;
                clear_fields(&mut body, &mut channel, &clear)?;
                if body.is_empty() && channel.is_empty() {
                    return Err(Failure::Usage("nothing to change: give a flag".to_owned()));
                }
                body.insert("channel".to_owned(), channel.into());
                show(
                    output,
                    &inboxes::update(&context, &account, &id, body, None).await?,
                )
            }
            Inbox::Queue(command) => command.run(&context, output).await,
            Inbox::Test(command) => command.run(&context, output).await,
            Inbox::Delete { within, id, purge } => {
                let (account, id) = find(&context, &within, id).await?;
                inboxes::delete(&context, &account, &id, purge, None).await?;
                output.one(&json!({"id": id, "deleted": true}), || {
                    vec![("id", id.to_string()), ("deleted", "yes".to_owned())]
                })
            }
        }
    }
}

/// The inbox with this id, and whose it is.
async fn find(
    context: &Context,
    within: &Within,
    id: String,
) -> Result<(AccountId, InboxId), Error> {
    let id = InboxId::from_text(id);
    Ok((within.holder(context, Thing::Inbox(&id)).await?, id))
}

/// Adds fields that are to be taken away. Who sets one of them, too, is told so.
fn clear_fields(
    body: &mut Map<String, Value>,
    channel: &mut Map<String, Value>,
    clear: &[Clear],
) -> Result<(), Failure> {
    for field in clear {
        let (name, flag) = field.name_and_flag();
        let object = match field {
            Clear::Pace => &mut *body,
            _ => &mut *channel,
        };
        if object.get(name).is_some_and(|given| !given.is_null()) {
            let wrong = format!("{flag} is given, and --clear takes it away: which one?");
            return Err(Failure::Usage(wrong));
        }
        object.insert(name.to_owned(), Value::Null);
    }
    Ok(())
}

/// The JSON object of those fields that were given.
fn given<const N: usize>(fields: [(&str, Option<String>); N]) -> Map<String, Value> {
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?))))
        .collect()
}

/// Prints all inboxes, without pages.
async fn list(
    context: &Context,
    account: &AccountId,
    channel: Option<String>,
    status: Option<String>,
    output: &Output,
) -> Result<(), Failure> {
    let filter = Filter {
        channel: parse("type", channel)?,
        status: parse("status", status)?,
    };
    let page = Page {
        filter,
        limit: i64::MAX,
        offset: 0,
    };
    let (all, _) = inboxes::list(context, account, page).await?;
    let columns = [
        "id",
        "name",
        "type",
        "status",
        "address",
        "created_at",
        "messages",
    ];
    output.many(&all, &columns, |inbox| {
        vec![
            inbox.id.to_string(),
            inbox.name.clone(),
            inbox.channel.as_str().to_owned(),
            inbox.status.as_str().to_owned(),
            or_dash(address(inbox)),
            rfc3339(inbox.created_at),
            inbox.messages_count.to_string(),
        ]
    })
}

fn parse<T: FromStr<Err = &'static str>>(
    field: &str,
    text: Option<String>,
) -> Result<Option<T>, Error> {
    text.map(|text| text.parse().map_err(|rule: &str| Error::field(field, rule)))
        .transpose()
}

fn address(inbox: &domain::Inbox) -> Option<String> {
    let address = inbox.phone_number.as_ref();
    address.or(inbox.instagram_account_id.as_ref()).cloned()
}

fn show(output: &Output, inbox: &domain::Inbox) -> Result<(), Failure> {
    output.one(inbox, || {
        vec![
            ("id", inbox.id.to_string()),
            ("name", inbox.name.clone()),
            ("type", inbox.channel.as_str().to_owned()),
            ("status", inbox.status.as_str().to_owned()),
            ("address", or_dash(address(inbox))),
            ("created_at", rfc3339(inbox.created_at)),
            ("messages_count", inbox.messages_count.to_string()),
        ]
    })
}
