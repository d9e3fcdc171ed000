//! The command `inboxd verify`.

use super::{Global, failure::Failure, output::Output};
use crate::ops::verify;
use clap::Args;
use db::Missing;
use serde_json::json;

/// Checks that the stored data is consistent. This is safe while a server is running. The exit code is 1 if a check
/// fails
#[derive(Args)]
pub(super) struct Verify {
    /// First correct all stored message counts
    #[arg(long)]
    repair: bool,
}

impl Verify {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Result<(), Failure> {
        let context = global.open(Missing::Fail).await?;
        let repaired = match self.repair {
            true => verify::repair(&context).await?,
            false => 0,
        };
        let checks = verify::run(&context).await?;
        let breaches: usize = checks.iter().map(|check| check.breaches.len()).sum();
        let shown = json!({"ok": breaches == 0, "repaired": repaired, "checks": checks});
        output.one(&shown, || {
            let mut rows = Vec::new();
            for check in &checks {
                if check.breaches.is_empty() {
                    rows.push((check.promise, "holds".to_owned()));
                }
                let breaches = check.breaches.iter();
                rows.extend(breaches.map(|breach| (check.promise, breach.clone())));
            }
            rows.push(("counts repaired", repaired.to_string()));
            rows
        })?;
        match breaches {
            0 => Ok(()),
            _ => Err(Failure::Failed(format!("problems found: {breaches}"))),
        }
    }
}
