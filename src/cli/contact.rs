//! The commands `inboxd contact …`. They pass the same bodies to the same functions as the API's `/contacts`.

use super::{
    Global,
    failure::Failure,
    output::{Output, or_dash},
    settings::{Whose, Within, within},
};
use crate::{
    domain::contact::ContactDetails,
    error::Error,
    id::{AccountId, ContactId},
    ops::{
        Context,
        contacts::{self, By, Wanted},
    },
    store::accounts::Thing,
};
use clap::{Args, Subcommand};
use db::Missing;
use serde_json::{Map, Value};

/// How many contacts are read at once.
const PAGE: i64 = 100;

#[derive(Subcommand)]
pub(super) enum Contact {
    /// List contacts, newest first
    List {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        by: Search,
        /// The most contacts to list
        #[arg(long, default_value_t = 1000, value_name = "N", value_parser = |text: &str| within(text, 1, 100_000))]
        limit: i64,
    },
    /// Show a contact, with its newest conversations
    Show {
        #[command(flatten)]
        within: Within,
        /// The contact's id
        id: String,
    },
    /// Change a contact; without an id, the one with this external id or phone number, which is added if there is none
    Set {
        #[command(flatten)]
        within: Within,
        /// The contact's id
        #[arg(required_unless_present_any = ["external_id", "phone"])]
        id: Option<String>,
        #[command(flatten)]
        fields: Fields,
    },
    /// Merge another contact into this one
    Merge {
        #[command(flatten)]
        within: Within,
        /// The id of the contact that stays
        id: String,
        /// The id of the contact that will be gone
        #[arg(long, value_name = "ID")]
        from: String,
    },
}

/// Which contacts to list.
#[derive(Args)]
#[group(multiple = false)]
pub(super) struct Search {
    /// Only those with words that begin with each of these: of name, phone number, user name, e-mail address or identities
    #[arg(long, value_name = "TEXT")]
    q: Option<String>,
    /// Only those with this phone number, E.164 with +
    #[arg(long, value_name = "NUMBER")]
    phone: Option<String>,
    /// Only the one with this id of yours
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
}

impl Search {
    fn by(self) -> Result<By, Error> {
        match (self.q, self.phone, self.external_id) {
            (Some(q), _, _) => Wanted::read(&q)
                .map(By::Words)
                .ok_or_else(|| Error::field("q", "must have 1 to 8 words")),
            (_, Some(phone), _) => Ok(By::Phone(phone)),
            (_, _, Some(id)) => Ok(By::ExternalId(id)),
            (None, None, None) => Ok(By::All),
        }
    }
}

/// What the business says of a contact.
#[derive(Args)]
pub(super) struct Fields {
    /// Your own id for the contact
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
    /// The phone number, E.164 with +. Only without the contact's id
    #[arg(long, value_name = "NUMBER", conflicts_with = "id")]
    phone: Option<String>,
    /// What you call the contact. Providers no longer change it then
    #[arg(long)]
    name: Option<String>,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// What you want to remember of the contact
    #[arg(long)]
    note: Option<String>,
    /// A value of your own, as NAME=VALUE. Can be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, Value)>,
    /// true: messages of the contact are told to nobody
    #[arg(long, value_name = "true|false")]
    muted: Option<bool>,
    /// A field to remove: name, email, note or external_id. Can be given several times
    #[arg(long = "remove", value_name = "FIELD", value_parser = ["name", "email", "note", "external_id"])]
    removed: Vec<String>,
}

/// A number, `true`, `false` or `null` is one; anything else is a string.
fn attribute(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    let read = serde_json::from_str(value).ok();
    let read = read.filter(|value: &Value| !(value.is_object() || value.is_array()));
    Ok((name.to_owned(), read.unwrap_or_else(|| value.into())))
}

impl Fields {
    fn body(self) -> Map<String, Value> {
        let mut body = Map::new();
        for (name, value) in [
            ("external_id", self.external_id),
            ("phone", self.phone),
            ("name", self.name),
            ("email", self.email),
            ("note", self.note),
        ] {
            body.extend(value.map(|value| (name.to_owned(), value.into())));
        }
        body.extend(self.removed.into_iter().map(|name| (name, Value::Null)));
        if !self.attributes.is_empty() {
            let attributes = Map::from_iter(self.attributes);
            body.insert("attributes".to_owned(), attributes.into());
        }
        body.extend(self.muted.map(|muted| ("muted".to_owned(), muted.into())));
        body
    }
}

impl Contact {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let context = global.open(Missing::Fail).await?;
        match self {
            Contact::List { whose, by, limit } => {
                let account = whose.account(&context).await?;
                let all = list(&context, &account, &by.by()?, limit).await?;
                let columns = ["id", "name", "phone", "email", "external_id"];
                output.many(&all, &columns, |contact| {
                    columns.map(|column| shown(contact, column)).into()
                })
            }
            Contact::Show { within, id } => {
                let (account, id) = find(&context, &within, id).await?;
                show(output, &contacts::get(&context, &account, &id).await?)
            }
            Contact::Set {
                within,
                id: Some(id),
                fields,
            } => {
                let (account, id) = find(&context, &within, id).await?;
                let changed = contacts::update(&context, &account, &id, fields.body()).await?;
                show(output, &changed)
            }
            Contact::Set {
                within,
                id: None,
                fields,
            } => {
                let account = within.account(&context).await?;
                let (contact, _) = contacts::upsert(&context, &account, fields.body()).await?;
                show(output, &contact)
            }
            Contact::Merge { within, id, from } => {
                let (account, id) = find(&context, &within, id).await?;
                let body = Map::from_iter([("from".to_owned(), from.into())]);
                show(
                    output,
                    &contacts::merge(&context, &account, &id, body).await?,
                )
            }
        }
    }
}

async fn find(
    context: &Context,
    within: &Within,
    id: String,
) -> Result<(AccountId, ContactId), Error> {
    let id = ContactId::from_text(id);
    let account = within.holder(context, Thing::Contact(&id)).await?;
    Ok((account, id))
}

/// The first contacts of a list, of as many pages as that takes.
async fn list(
    context: &Context,
    account: &AccountId,
    by: &By,
    limit: i64,
) -> Result<Vec<Value>, Failure> {
    let damaged = |error: serde_json::Error| Failure::Failed(error.to_string());
    let (mut all, mut cursor) = (Vec::new(), None);
    while (all.len() as i64) < limit {
        let most = PAGE.min(limit - all.len() as i64);
        let page = contacts::list(context, account, by.clone(), cursor, most).await?;
        let rows = [b"[", &page.rows[..], b"]"].concat();
        all.extend(serde_json::from_slice::<Vec<Value>>(&rows).map_err(damaged)?);
        cursor = page.next.and_then(|next| by.cursor(&next));
        if cursor.is_none() {
            break;
        }
    }
    Ok(all)
}

fn show(output: &Output, contact: &ContactDetails) -> Result<(), Failure> {
    let value =
        serde_json::to_value(contact).map_err(|error| Failure::Failed(error.to_string()))?;
    output.one(contact, || {
        [
            "id",
            "name",
            "phone",
            "username",
            "email",
            "external_id",
            "note",
            "attributes",
            "muted",
            "is_group",
            "created_at",
        ]
        .map(|name| (name, shown(&value, name)))
        .into()
    })
}

fn shown(contact: &Value, name: &str) -> String {
    match &contact[name] {
        Value::Null => or_dash(None),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
