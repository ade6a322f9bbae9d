//! Which names the files sink can hold. Pure: what the file system thinks of a name beyond this is said when it is written.

use std::fmt;

use crate::shown::{NAME, shown};

/// The longest name that file systems hold, in bytes.
const LONGEST: usize = 255;

/// Names that begin like this are the sink's own.
pub(super) const OWN_PREFIX: &str = ".sluicebox";

/// Where the sink writes before it renames. Always the same: a name made from the document's could exceed the longest.
pub(super) const TEMPORARY: &str = ".sluicebox-writing";

/// Where the sink keeps what is to be forgotten later.
pub(super) const STATE: &str = ".sluicebox-retention";

/// Where the sink keeps which files it appends to.
pub(super) const APPENDED: &str = ".sluicebox-appended";

/// What a file is called: its name, and the directory within the directory, where it has one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) collection: Option<String>,
    pub(super) name: String,
}

/// For a line of the log.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(collection) = &self.collection {
            write!(formatter, "{}/", shown(collection, NAME))?;
        }
        formatter.write_str(&shown(&self.name, NAME))
    }
}

impl Place {
    pub(super) fn weight(&self) -> usize {
        self.name.len() + self.collection.as_ref().map_or(0, String::len)
    }

    /// The place of a document; the reason when the sink cannot hold it.
    pub(super) fn new(collection: Option<String>, name: String) -> Result<Self, String> {
        if let Some(collection) = &collection {
            check(collection).map_err(|reason| format!("the collection cannot be a directory: {reason}"))?;
        }
        check(&name).map_err(|reason| format!("the name cannot be a file name: {reason}"))?;
        Ok(Self { collection, name })
    }
}

/// One path component that stays in its directory.
pub(super) fn check(name: &str) -> Result<(), String> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name == "." || name == ".." {
        "it names a directory"
    } else if name.contains('/') {
        "it holds `/`"
    } else if name.contains('\0') {
        "it holds a zero byte"
    } else if name.starts_with(OWN_PREFIX) {
        "names that begin with `.sluicebox` are kept for the sink itself"
    } else if name.len() > LONGEST {
        return Err(format!("it has {} bytes, {LONGEST} at most are possible", name.len()));
    } else {
        return Ok(());
    };
    Err(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_255_bytes_is_taken_and_one_of_256_is_not() {
        assert_eq!(check(&"a".repeat(255)), Ok(()));
        assert_eq!(check(&"a".repeat(256)), Err("it has 256 bytes, 255 at most are possible".to_owned()));
        assert!(check(&"é".repeat(128)).is_err());
    }

    #[test]
    fn a_name_that_would_leave_the_directory_is_refused() {
        for name in ["", ".", "..", "../../x", "/etc/passwd", "a/b", r"\impoossible////", "a\0b"] {
            assert!(check(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_sinks_own_names_are_refused_and_other_hidden_ones_taken() {
        for name in [STATE, APPENDED, TEMPORARY, ".sluicebox"] {
            assert!(check(name).is_err(), "{name}");
        }
        for name in [".hidden", "...", r"back\slash", "kube-system_etcd-docker-desktop.meta", "ü\n"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }
}
