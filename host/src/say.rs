//! What commands tell a person. A reader that has gone away is no reason to fail.

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

/// A line on standard output.
pub fn line(text: impl Display) {
    let _gone = writeln!(std::io::stdout(), "{text}");
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
