//! The commands `inboxd account …`.

use super::{Global, failure::Failure, output::Output};
use crate::{clock::rfc3339, domain, ops::accounts};
use clap::Subcommand;
use db::Missing;

#[derive(Subcommand)]
pub(super) enum Account {
    /// Create an account
    Create {
        /// The name of the business
        #[arg(long)]
        name: String,
    },
    /// List the accounts
    List,
}

impl Account {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let context = global.open(Missing::Fail).await?;
        match self {
            Account::Create { name } => {
                let account = accounts::create(&context, &name).await?;
                output.one(&account, || {
                    vec![
                        ("id", account.id.to_string()),
                        ("name", account.name.clone()),
                        ("created_at", rfc3339(account.created_at)),
                    ]
                })
            }
            Account::List => {
                let all = accounts::list(&context).await?;
                let row = |account: &domain::Account| {
                    vec![
                        account.id.to_string(),
                        account.name.clone(),
                        rfc3339(account.created_at),
                    ]
                };
                output.many(&all, &["id", "name", "created_at"], row)
            }
        }
    }
}
