//! The name of a dead letter: its moment first, so that names sort by age.

use std::fmt;
use std::str::FromStr;

use crate::StoreError;

/// Names a dead letter: 16 hexadecimal digits for the nanoseconds since 1970 when it was kept, and 4 that tell apart what was kept by
/// several programs. Cannot name anything outside of the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    nanos: u64,
    number: u16,
}

const ENDING: &str = ".json";

impl Id {
    pub(crate) fn new(nanos: u64, number: u16) -> Self {
        Self { nanos, number }
    }

    /// The next one in order; none after the last there can be.
    pub(crate) fn successor(self) -> Option<Self> {
        let number = self.number.wrapping_add(1);
        let nanos = if number == 0 { self.nanos.checked_add(1)? } else { self.nanos };
        Some(Self { nanos, number })
    }

    pub(crate) fn file_name(self) -> String {
        format!("{self}{ENDING}")
    }

    pub(crate) fn of_file(name: &str) -> Option<Self> {
        name.strip_suffix(ENDING)?.parse().ok()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}-{:04x}", self.nanos, self.number)
    }
}

impl FromStr for Id {
    type Err = StoreError;

    /// Takes only what [`fmt::Display`] writes, so that one letter has one name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('-').filter(|(nanos, number)| nanos.len() == 16 && number.len() == 4);
        let parsed = parts.and_then(|(nanos, number)| {
            Some(Self { nanos: u64::from_str_radix(nanos, 16).ok()?, number: u16::from_str_radix(number, 16).ok()? })
        });
        parsed.filter(|id| id.to_string() == text).ok_or_else(|| {
            StoreError::Unknown(format!("`{}` names no dead letter (hint: `list` shows the ids)", text.escape_debug()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_sorts_by_age() {
        let (old, new) = (Id::new(0x10, 0xffff), Id::new(0x11, 0));
        assert_eq!(old.to_string(), "0000000000000010-ffff");
        assert_eq!(old.to_string().parse::<Id>().unwrap(), old);
        assert_eq!(old.successor(), Some(new));
        assert!(old < new && old.to_string() < new.to_string());
        assert_eq!(Id::new(u64::MAX, u16::MAX).successor(), None);
    }

    #[test]
    fn nothing_else_is_a_name() {
        let texts =
            ["", "..", "../x", "0000000000000010-FFFF", "0000000000000010ffff", "+000000000000010-ffff", "0/0-1", "é-ffff"];
        for text in texts {
            assert!(text.parse::<Id>().is_err(), "{text}");
        }
    }
}
