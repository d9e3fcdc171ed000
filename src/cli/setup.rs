//! Formats the setup of an inbox for people.

use crate::{
    clock::rfc3339,
    ops::{
        inboxes::SendingStopped,
        setup::{ProviderReport, Setup},
    },
};

/// The rows of the table. They have the same names as the JSON keys.
pub(super) fn rows(setup: &Setup) -> Vec<(&'static str, String)> {
    let credentials: Vec<_> = setup
        .credentials
        .iter()
        .map(|(name, set)| format!("{name}: {}", if *set { "set" } else { "not set" }))
        .collect();
    let optional = [
        ("webhook_url", setup.webhook_url.clone()),
        ("verify_token", setup.verify_token.clone()),
        ("secret_token", setup.secret_token.clone()),
        ("embed_snippet", setup.embed_snippet.clone()),
        ("identity_secret", setup.identity_secret.clone()),
        (
            "allowed_origins",
            setup.allowed_origins.as_ref().map(|all| all.join(", ")),
        ),
        ("phone_number_id", setup.phone_number_id.clone()),
        ("business_account_id", setup.business_account_id.clone()),
        ("bot_name", setup.bot_name.clone()),
        ("bot_username", setup.bot_username.clone()),
        ("pace", setup.pace.map(|pace| pace.to_string())),
        (
            "read_receipts",
            setup.read_receipts.map(|when| when.as_str().to_owned()),
        ),
        ("sending", setup.sending.as_ref().map(stopped)),
        ("proved_at", setup.proved_at.map(rfc3339)),
        ("missing_proof", setup.missing_proof.map(str::to_owned)),
        (
            "warnings",
            (!setup.warnings.is_empty()).then(|| setup.warnings.join("; ")),
        ),
    ];
    let mut rows = vec![
        ("id", setup.id.to_string()),
        ("type", setup.channel.as_str().to_owned()),
        ("status", setup.status.as_str().to_owned()),
        ("credentials", credentials.join(", ")),
    ];
    let reported = setup.provider.iter().flat_map(report_rows);
    rows.extend(
        optional
            .into_iter()
            .chain(reported)
            .filter_map(|(name, value)| Some((name, value?))),
    );
    rows
}

/// Since when nothing is sent, and why.
fn stopped(sending: &SendingStopped) -> String {
    let (since, error) = (rfc3339(sending.since), &sending.error);
    format!("stopped since {since} ({}): {}", error.code, error.message)
}

/// The rows of the provider's report.
fn report_rows(report: &ProviderReport) -> [(&'static str, Option<String>); 10] {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    [
        ("provider.checked", report.checked.map(str::to_owned)),
        ("provider.webhook_url", report.webhook_url.clone()),
        (
            "provider.webhook_matches",
            report.webhook_matches.map(yes_or_no),
        ),
        (
            "provider.pending_update_count",
            report.pending_update_count.map(|count| count.to_string()),
        ),
        ("provider.last_error_at", report.last_error_at.map(rfc3339)),
        (
            "provider.last_error_message",
            report.last_error_message.clone(),
        ),
        (
            "provider.display_phone_number",
            report.display_phone_number.clone(),
        ),
        ("provider.verified_name", report.verified_name.clone()),
        ("provider.username", report.username.clone()),
        ("provider.error", report.error.clone()),
    ]
}
