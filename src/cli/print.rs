//! What commands say on standard output. A reader that went away (`| head`) is an error, which ends the command.

use std::fmt::Display;
use std::io::{self, Write as _};

/// Prints a line.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}
