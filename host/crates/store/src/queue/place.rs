//! Up to where the entries of a queue are done, and how many there are, as a file. It may be older than the truth: what is done is then written
//! again, and what is lost at the end is not known to be.
//!
//! ```text
//! <the first entry that is not done> <the entry that comes next> <CRC-32 of both, in hexadecimal>
//! ```

use super::segment::HIGHEST;
use crate::StoreError;
use crate::directory::{Directory, Endures};

const NAME: &str = "place";
/// Two numbers in decimal and their check sum.
const LONGEST: u64 = 64;

/// Where a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the first entry that is not done.
    pub(super) first_open: u64,
    /// The number of the entry that is written next.
    pub(super) next: u64,
}

/// Writes it down.
pub(super) fn keep(directory: &Directory, place: Place) -> Result<(), StoreError> {
    let numbers = format!("{} {}", place.first_open, place.next);
    let text = format!("{numbers} {:08x}\n", crc32fast::hash(numbers.as_bytes()));
    directory.write(NAME, text.as_bytes(), Endures::Program)
}

/// What was written down; none where nothing was, or where it cannot be read: then it is not known what is done.
pub(super) fn kept(directory: &Directory) -> Result<Option<Place>, StoreError> {
    let bytes = match directory.read(NAME, LONGEST) {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(StoreError::Damaged { .. } | StoreError::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.rsplit_once(' '));
    Ok(text.and_then(|(numbers, sum)| {
        let is_whole = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(numbers.as_bytes());
        let (first_open, next) = numbers.split_once(' ').filter(|_| is_whole)?;
        let place = Place { first_open: first_open.parse().ok()?, next: next.parse().ok()? };
        Some(place).filter(|place| place.first_open <= place.next && place.next <= HIGHEST)
    }))
}
