//! What commands tell a person. A reader that has gone away is no reason to fail; a full disk is.

use std::fmt::Display;
use std::io::{Error, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Why something could not be told, the first time.
static UNTOLD: OnceLock<Error> = OnceLock::new();

/// A line on standard output; [`ended`] says that it could not be written.
pub fn line(text: impl Display) {
    note(writeln!(std::io::stdout(), "{text}"));
}

/// The exit code of a command: none that promises everything when some of it could not be told.
pub fn ended(code: ExitCode) -> ExitCode {
    note(std::io::stdout().flush());
    let Some(error) = UNTOLD.get() else { return code };
    complaint(format_args!("error: cannot write to standard output: {error}; what was said is not complete"));
    ExitCode::FAILURE
}

fn note(told: Result<(), Error>) {
    if let Err(error) = told
        && error.kind() != ErrorKind::BrokenPipe
    {
        UNTOLD.get_or_init(|| error);
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
