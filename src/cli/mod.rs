//! The command line. It offers the operations of the API, and some that exist only here.
//!
//! Exit codes: 0 for success, 1 for failure, 2 for a wrong command line or wrong values, where another try will not
//! help.
//!
//! Invariant: with `--json`, exactly one JSON value is written to standard output. Errors and logs go to standard
//! error.

mod account;
mod contact;
mod conversation;
mod failure;
mod hooks;
mod inbox;
mod inbox_queue;
mod inbox_test;
mod key;
mod log;
mod message;
mod migrate;
mod open_files;
mod output;
mod serve;
mod settings;
mod setup;
mod verify;

use crate::config::REQUEST_LOG;
use clap::{Args, Parser, Subcommand};
use failure::Failure;
use output::Output;
use std::process::ExitCode;

/// Self-hosted customer messaging: one program for the messages of WhatsApp, Instagram, Telegram and live chat, and one
/// API to read and answer them.
///
/// Start with `inboxd serve`: on an empty database it creates an account and an API key, and prints a curl command to
/// try.
#[derive(Parser)]
#[command(name = "inboxd", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// The heading of these flags in `--help`, which separates them from those of the command itself.
const GLOBAL: &str = "Options of every command";

/// The flags of every command.
#[derive(Args)]
struct Global {
    /// The database: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME
    #[arg(
        long,
        global = true,
        env = "INBOXD_DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:inboxd.db",
        value_name = "URL",
        help_heading = GLOBAL
    )]
    database_url: String,
    /// A file with the database URL, in case it contains a password (- for standard input)
    #[arg(
        long,
        global = true,
        env = "INBOXD_DATABASE_URL_FILE",
        value_name = "FILE",
        help_heading = GLOBAL
    )]
    database_url_file: Option<String>,
    /// The key that encrypts stored credentials: 32 bytes as 64 hex digits or base64. With SQLite, a key file beside
    /// the database is created by default
    #[arg(
        long,
        global = true,
        env = "INBOXD_SECRET_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = GLOBAL
    )]
    secret_key: Option<String>,
    /// A file with this key (- for standard input)
    #[arg(
        long,
        global = true,
        env = "INBOXD_SECRET_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "secret_key",
        help_heading = GLOBAL
    )]
    secret_key_file: Option<String>,
    /// Print one JSON value instead of text
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// What to log, for example info, debug or inboxd=debug
    #[arg(
        long,
        global = true,
        env = "INBOXD_LOG",
        value_name = "FILTER",
        help_heading = GLOBAL
    )]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Serve),
    /// Migrate the database schema to the newest version (serve does this, too)
    Migrate,
    /// Businesses on this server
    #[command(subcommand)]
    Account(account::Account),
    /// API keys
    #[command(subcommand)]
    Key(key::Key),
    /// Inboxes: the connected addresses of a business
    #[command(subcommand)]
    Inbox(inbox::Inbox),
    /// Resolve conversations, or open them again
    #[command(subcommand)]
    Conversation(conversation::Conversation),
    /// Contacts: the people and groups that a business writes with
    #[command(subcommand)]
    Contact(contact::Contact),
    /// Send messages, and decide about those that were not delivered
    #[command(subcommand)]
    Message(message::Message),
    /// Quarantined updates: correctly signed, but not readable
    #[command(subcommand)]
    Hooks(hooks::Hooks),
    /// Check that the stored data is consistent
    Verify(verify::Verify),
}

/// Parses the command line of the process, and runs the command.
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    start_logging(&cli);
    let output = Output::new(cli.global.json);
    let done = match cli.command {
        Command::Serve(command) => command.run(&cli.global).await,
        Command::Migrate => migrate::run(&cli.global, &output).await,
        Command::Account(command) => command.run(&cli.global, &output).await,
        Command::Key(command) => command.run(&cli.global, &output).await,
        Command::Inbox(command) => command.run(&cli.global, &output).await,
        Command::Conversation(command) => command.run(&cli.global, &output).await,
        Command::Contact(command) => command.run(&cli.global, &output).await,
        Command::Message(command) => command.run(&cli.global, &output).await,
        Command::Hooks(command) => command.run(&cli.global, &output).await,
        Command::Verify(command) => command.run(&cli.global, &output).await,
    };
    log::flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            output::error(&message);
            ExitCode::from(2)
        }
        Err(Failure::Failed(message)) => {
            output::error(&message);
            ExitCode::from(1)
        }
    }
}

/// Starts the log, with a default filter that depends on the command.
fn start_logging(cli: &Cli) {
    let demo = format!("info,{REQUEST_LOG}=warn");
    let usual = match &cli.command {
        // Requests are not logged unless they fail, so that the text that the demonstration prints stays visible.
        Command::Serve(serve) if serve.is_demo() => &demo,
        Command::Serve(_) => "info",
        _ => "warn",
    };
    let filter = cli.global.log.as_deref().unwrap_or(usual);
    log::start(filter, usual);
}
