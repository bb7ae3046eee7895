//! The gateway's log.
//!
//! Lines are cut to a length, and both lines and bytes of one evaluation are bounded: what is above is counted and
//! dropped. Do not write matched text, for the log is not under the audit policies. On the host, in tests, lines go
//! to standard error.

/// Writes a line for somebody who is looking for a fault.
pub fn debug(line: impl AsRef<str>) {
    write(Level::Debug, line.as_ref());
}

/// Writes a line.
pub fn info(line: impl AsRef<str>) {
    write(Level::Info, line.as_ref());
}

/// Writes a line that somebody should look at.
pub fn warn(line: impl AsRef<str>) {
    write(Level::Warn, line.as_ref());
}

/// Writes a line about a fault.
pub fn error(line: impl AsRef<str>) {
    write(Level::Error, line.as_ref());
}

use crate::bindings::shared::octroi::policy::log::Level;

#[cfg(target_arch = "wasm32")]
fn write(level: Level, line: &str) {
    crate::bindings::shared::octroi::policy::log::write(level, line);
}

#[cfg(not(target_arch = "wasm32"))]
#[expect(clippy::print_stderr, reason = "there is no gateway on the host; a test's author wants to see the line")]
fn write(level: Level, line: &str) {
    eprintln!("{level:?}: {line}");
}
