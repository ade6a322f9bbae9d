//! How much room keys and values take: of the budget, in the server's storage, and on the way there. Pure.

use std::ops::{Add, AddAssign, Sub, SubAssign};

/// What the API server's storage takes for one object is 1.5 MiB, with the names of the keys once more for each of their owners.
const MOST_STORED: usize = 1_350_000;
/// The API server reads 3 MiB of a request.
const MOST_SENT: usize = 2_500_000;
/// What a key adds to the storage beside its names and its value.
const STORED_WITH: usize = 16;
/// What a key adds to a request beside its name and its value.
const SENT_WITH: usize = 6;

/// The room that something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Of the budget.
    pub(super) bytes: usize,
    stored: usize,
    sent: usize,
}

impl Load {
    /// A key with a value that we send.
    pub(super) fn of(key: &str, value: &str) -> Self {
        let sent = |letter: char| match letter {
            '"' | '\\' => 2,
            _ if is_harmless(letter) => letter.len_utf8(),
            _ => 6,
        };
        Self { sent: key.len() + SENT_WITH + value.chars().map(sent).sum::<usize>(), ..Self::of_others(key, value.len()) }
    }

    /// A key that is there anyway.
    pub(super) fn of_others(key: &str, value: usize) -> Self {
        Self { bytes: key.len() + value, stored: 2 * key.len() + value + STORED_WITH, sent: 0 }
    }

    pub(super) fn fits(self, budget: usize) -> bool {
        self.fits_part(budget, 1)
    }

    /// Whether it takes at most one of so many parts of the room.
    pub(super) fn fits_part(self, budget: usize, parts: usize) -> bool {
        self.bytes <= budget / parts && self.stored <= MOST_STORED / parts && self.sent <= MOST_SENT
    }
}

/// Whether a letter may stand in a request as it is: it is read as YAML, where some are line breaks and others forbidden.
pub(super) fn is_harmless(letter: char) -> bool {
    !matches!(letter, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

impl Add for Load {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, stored: self.stored + other.stored, sent: self.sent + other.sent }
    }
}

impl Sub for Load {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            stored: self.stored.saturating_sub(other.stored),
            sent: self.sent.saturating_sub(other.sent),
        }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_kinds_of_room_are_bounded() {
        assert!(Load::of("ab", "cde").fits(5) && !Load::of("ab", "cde").fits(4));
        assert!(Load::of("ab", "cde").fits_part(10, 2) && !Load::of("ab", "cde").fits_part(9, 2));
        let many = (0..60_000).map(|_| Load::of_others("a", 0)).fold(Load::default(), Load::add);
        assert!(many.bytes == 60_000 && many.fits(60_000));
        let many = many + (0..20_000).map(|_| Load::of_others("a", 0)).fold(Load::default(), Load::add);
        assert!(!many.fits(900 << 10), "the names of whose they are do not fit in the storage");
        let zeros = "\0".repeat(500_000);
        assert!(!Load::of("a", &zeros).fits(900 << 10), "written out, it is six times as long");
        assert!(Load::of("a", &"\u{fc}".repeat(250_000)).fits(900 << 10));
    }
}
