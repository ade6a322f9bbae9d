//! Up to where the entries of a queue are done, as a file. It may be older than the truth: what is done is then written again.

use super::segment::HIGHEST;
use crate::StoreError;
use crate::directory::{Directory, Endures};

const NAME: &str = "place";
/// A number in decimal and its check sum.
const LONGEST: u64 = 64;

/// Writes it down.
pub(super) fn keep(directory: &Directory, number: u64) -> Result<(), StoreError> {
    let number = number.to_string();
    let text = format!("{number} {:08x}\n", crc32fast::hash(number.as_bytes()));
    directory.write(NAME, text.as_bytes(), Endures::Program)
}

/// What was written down; none where nothing was, or where it cannot be read: then it is not known what is done.
pub(super) fn kept(directory: &Directory) -> Result<Option<u64>, StoreError> {
    let bytes = match directory.read(NAME, LONGEST) {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(StoreError::Damaged { .. } | StoreError::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let text = str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n')?.split_once(' '));
    let number = text.and_then(|(number, sum)| {
        let expected = u32::from_str_radix(sum, 16).ok()?;
        (crc32fast::hash(number.as_bytes()) == expected).then(|| number.parse().ok()).flatten()
    });
    Ok(number.filter(|number| *number <= HIGHEST))
}
