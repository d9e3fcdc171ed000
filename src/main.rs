//! The program: reads the command line, runs the command, says how it ended.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A request makes some hundred small allocations: this allocator makes them for less.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    inboxd::cli::run().await
}
