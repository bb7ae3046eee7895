//! The `octroi` binary: parses the command line, nothing else.

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
        Err(error) => {
            octroi::telemetry::last_word(&format!("octroi: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
