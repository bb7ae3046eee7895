//! The `octroi` binary: parses the command line, nothing else.

use std::io::{Error, ErrorKind};
use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match octroi::cli::run() {
        Ok(code) => {
            octroi::telemetry::end_log();
            code
        }
        // Whoever read the output had enough of it.
        Err(error) if error.downcast_ref::<Error>().is_some_and(|it| it.kind() == ErrorKind::BrokenPipe) => {
            ExitCode::FAILURE
        }
        Err(error) => {
            octroi::telemetry::last_word(&format!("octroi: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
