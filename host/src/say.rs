//! What commands tell a person. A reader that has gone away is no reason to fail.

use std::fmt::Display;
use std::io::Write as _;

/// A line on standard output.
pub fn line(text: impl Display) {
    let _gone = writeln!(std::io::stdout(), "{text}");
}

/// A line on standard error.
pub fn complaint(text: impl Display) {
    let _gone = writeln!(std::io::stderr(), "{text}");
}
