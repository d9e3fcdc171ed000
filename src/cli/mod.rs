//! The command line: the same operations as the API, and those that exist only here.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage (what was asked makes no sense, so trying again will not help).
//!
//! Invariant: with `--json` standard output gets exactly one JSON value. Errors and logs go to standard error.

mod account;
mod failure;
mod hooks;
mod inbox;
mod inbox_test;
mod key;
mod log;
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

/// Self-hosted customer messaging: one program that WhatsApp, Instagram, Telegram and live chat deliver to, and one API to ask.
///
/// Start with `inboxd serve`: on an empty database it makes an account and a key, and prints a curl line to try.
#[derive(Parser)]
#[command(name = "inboxd", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Above the flags of every command, so that those of this one stand apart in `--help`.
const GLOBAL: &str = "Options of every command";

/// What every command takes.
#[derive(Args)]
struct Global {
    /// Where the data is: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME
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
    /// File with the database's URL, for one that holds a password (- for standard input)
    #[arg(
        long,
        global = true,
        env = "INBOXD_DATABASE_URL_FILE",
        value_name = "FILE",
        help_heading = GLOBAL
    )]
    database_url_file: Option<String>,
    /// Key that seals channel secrets: 32 bytes as 64 hex digits or base64. With SQLite one is made beside the database if this is not given
    #[arg(
        long,
        global = true,
        env = "INBOXD_SECRET_KEY",
        hide_env_values = true,
        value_name = "KEY",
        help_heading = GLOBAL
    )]
    secret_key: Option<String>,
    /// File with that key (- for standard input)
    #[arg(
        long,
        global = true,
        env = "INBOXD_SECRET_KEY_FILE",
        value_name = "FILE",
        conflicts_with = "secret_key",
        help_heading = GLOBAL
    )]
    secret_key_file: Option<String>,
    /// Print one JSON value instead of lines
    #[arg(long, global = true, help_heading = GLOBAL)]
    json: bool,
    /// What to log, as in info or debug or inboxd=debug
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
    /// Answer the API and the providers
    Serve(serve::Serve),
    /// Bring the database's schema up to date (serve does so, too)
    Migrate,
    /// Businesses on this server
    #[command(subcommand)]
    Account(account::Account),
    /// API keys
    #[command(subcommand)]
    Key(key::Key),
    /// Inboxes: connected addresses
    #[command(subcommand)]
    Inbox(inbox::Inbox),
    /// Deliveries in quarantine: signed, and not understood
    #[command(subcommand)]
    Hooks(hooks::Hooks),
    /// Check everything that is promised of the data
    Verify(verify::Verify),
}

/// Runs the command that the process was started with.
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

/// Lines for people on a terminal, JSON for machines anywhere else; always on standard error.
fn start_logging(cli: &Cli) {
    let demo = format!("info,{REQUEST_LOG}=warn");
    let usual = match &cli.command {
        // What the demonstration says at its start stays on the screen: its requests are not logged unless they fail.
        Command::Serve(serve) if serve.is_demo() => &demo,
        Command::Serve(_) => "info",
        _ => "warn",
    };
    let filter = cli.global.log.as_deref().unwrap_or(usual);
    log::start(filter, usual);
}
