//! Why the system or the network said no, in words that fit in the middle of a line.

use std::io;

/// `connection refused`, not `Connection refused (os error 111)`; the system's own words where it has no better ones.
pub(crate) fn cause(error: impl Into<io::Error>) -> String {
    let error = error.into();
    let kind = error.kind().to_string();
    if error.raw_os_error().is_none() || kind == "uncategorized error" {
        return error.to_string();
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_errors_are_said_in_few_words_and_others_by_the_system() {
        assert_eq!(cause(io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(cause(rustix::io::Errno::ACCESS), "permission denied");
        assert_eq!(cause(rustix::io::Errno::MFILE), "Too many open files (os error 24)");
        assert_eq!(cause(io::Error::other("a lookup failed")), "a lookup failed");
    }
}
