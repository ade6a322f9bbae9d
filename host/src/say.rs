//! What commands tell a person. A reader that has gone away is no reason to fail.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// A line on standard output.
pub fn line(text: impl Display) {
    let _gone = writeln!(std::io::stdout(), "{text}");
}

/// Text on standard output that is to be kept, such as in a file: that it could not be written is an error.
///
/// # Errors
///
/// What the system says, but of a reader that has gone away.
pub fn kept(text: impl Display) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match writeln!(output, "{text}").and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A line on standard error.
pub fn complaint(text: impl Display) {
    let _gone = writeln!(std::io::stderr(), "{text}");
}

/// A wrong command line, or what cannot be found: the text, and the exit code for it.
pub fn wrong(text: impl Display) -> ExitCode {
    complaint(format_args!("error: {text}"));
    ExitCode::from(2)
}
