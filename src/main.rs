//! The program: reads the command line, runs the command, says how it ended.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    inboxd::cli::run().await
}
