//! The `octroi` binary: parses the command line, nothing else.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match octroi::cli::run() {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last word of a command that failed goes to its user")]
            {
                eprintln!("octroi: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
