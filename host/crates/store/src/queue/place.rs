//! Up to where the entries of a queue are done, and how many there are, as a file. It may be older than the truth: what is done is then written
//! again, and what is lost at the end is not known to be.
//!
//! ```text
//! <the first entry that is not done> <the entry that comes next> <entries between them that are known to be lost> <CRC-32 of these, in hexadecimal>
//! ```

use rustix::io::Errno;

use super::segment::HIGHEST;
use crate::StoreError;
use crate::directory::{Directory, Endures};

const NAME: &str = "place";
/// Three numbers in decimal and their check sum.
const LONGEST: u64 = 96;

/// Where a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the first entry that is not done.
    pub(super) first_open: u64,
    /// The number of the entry that is written next.
    pub(super) next: u64,
    /// Entries between these that are known to be lost, and were counted.
    pub(super) lost: u64,
}

/// Writes it down.
pub(super) fn keep(directory: &Directory, place: Place) -> Result<(), StoreError> {
    let numbers = format!("{} {} {}", place.first_open, place.next, place.lost);
    let text = format!("{numbers} {:08x}\n", crc32fast::hash(numbers.as_bytes()));
    match directory.write(NAME, text.as_bytes(), Endures::Program) {
        // The file that is there has its room already. Where that is cut short the place is not known, and what is done comes once more.
        Err(full @ StoreError::Io { cause: Errno::NOSPC | Errno::DQUOT, .. }) => {
            if directory.write_over(NAME, text.as_bytes())? {
                Ok(())
            } else {
                Err(full)
            }
        }
        written => written,
    }
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
        let mut numbers = numbers.split(' ').filter(|_| is_whole).map(str::parse);
        let mut number = || numbers.next()?.ok();
        let place = Place { first_open: number()?, next: number()?, lost: number()? };
        Some(place).filter(|place| place.first_open <= place.next && place.next <= HIGHEST)
    }))
}
