//! One file of a queue: written at its end until it is full, read from its beginning, removed as a whole.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;

use rustix::io::Errno;
use sluicebox_contract::Record;

use super::frame::{self, Frame, HEADER, Header, OVERHEAD, QUEUE};
use crate::StoreError;
use crate::directory::Directory;

/// The end of the name of a file; before it stands the number of its first entry.
const ENDING: &str = ".entries";
/// Digits of the number.
const DIGITS: usize = 16;

/// No entry has a higher number, however long a queue is in use: what has one has not come from us, and numbers can be counted on.
pub(super) const HIGHEST: u64 = 1 << 62;

/// A file of which all that is known was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// The number of its first entry.
    pub(super) first: u64,
    /// How many entries it has.
    pub(super) entries: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// What a look at a file has found.
pub(super) struct Found {
    pub(super) segment: Segment,
    /// Bytes behind the last good entry.
    pub(super) behind: u64,
}

impl Found {
    /// Whether it has its beginning: one that has not was about to be made when a crash came.
    pub(super) fn is_begun(&self) -> bool {
        self.segment.bytes >= HEADER
    }
}

impl Segment {
    /// One with nothing in it but its header.
    pub(super) fn empty(first: u64) -> Self {
        Self { first, entries: 0, bytes: HEADER }
    }

    pub(super) fn name(self) -> String {
        name(self.first)
    }

    /// The number after its last entry.
    pub(super) fn next(self) -> u64 {
        self.first.saturating_add(self.entries)
    }
}

/// The name of the file whose first entry has this number.
pub(super) fn name(first: u64) -> String {
    format!("{first:0DIGITS$x}{ENDING}")
}

/// The number of the first entry of the file with this name, if it is one of a queue.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(ENDING).filter(|digits| digits.len() == DIGITS)?;
    let is_ours = digits.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit));
    is_ours.then(|| u64::from_str_radix(digits, 16).ok()).flatten().filter(|first| *first <= HIGHEST)
}

/// Makes a file with nothing in it but its header.
pub(super) fn create(directory: &Directory, first: u64) -> Result<(File, Segment), StoreError> {
    let file = directory.create(&name(first))?;
    let segment = Segment::empty(first);
    if let Err(error) = file.write_all_at(&frame::header(QUEUE), 0) {
        let _gone = directory.remove(segment.name());
        return Err(failed(directory, "write", segment, &error));
    }
    Ok((file, segment))
}

/// Reads all of a file, from the beginning to the last good entry. None where it is no file of ours from the beginning; an error where a later
/// version has written it.
pub(super) fn look(directory: &Directory, first: u64) -> Result<Option<Found>, StoreError> {
    let name = name(first);
    let Some(file) = directory.open_file(&name)? else { return Ok(None) };
    let mut segment = Segment::empty(first);
    let broken = |error: &std::io::Error| failed(directory, "read", segment, error);
    let size = file.metadata().map_err(|error| broken(&error))?.len();
    let mut reader = BufReader::new(file);
    match frame::read_header(&mut reader, QUEUE).map_err(|error| broken(&error))? {
        Header::Ours => {}
        Header::Newer(version) => {
            let reason = format!(
                "a later version of sluicebox has written it (format {version}): run that version again, or move the file away to go on without its entries"
            );
            return Err(StoreError::Damaged { path: directory.path(&name), reason });
        }
        Header::Damaged if size <= HEADER && is_begun(directory, &name)? => {
            let segment = Segment { bytes: size.min(HEADER - 1), ..segment };
            return Ok(Some(Found { segment, behind: 0 }));
        }
        Header::Damaged => return Ok(None),
    }
    while let Frame::Whole(entries, payload) =
        frame::next(&mut reader, size).map_err(|error| failed(directory, "read", segment, &error))?
    {
        segment.entries += u64::from(entries);
        segment.bytes += OVERHEAD + payload.len() as u64;
    }
    Ok(Some(Found { segment, behind: size.saturating_sub(segment.bytes) }))
}

/// Whether it was about to be begun when a crash came: nothing of it is lost.
fn is_begun(directory: &Directory, name: &str) -> Result<bool, StoreError> {
    let bytes = directory.read(name, HEADER)?;
    Ok(bytes.is_some_and(|bytes| frame::is_begun(&bytes, QUEUE)))
}

/// Reads entries from a file, one after the other.
pub(super) struct Reading {
    file: BufReader<File>,
    pub(super) segment: u64,
    /// The number of the entry that comes next.
    next: u64,
}

impl Reading {
    /// None where the file is gone or not ours.
    pub(super) fn open(directory: &Directory, first: u64) -> Result<Option<Self>, StoreError> {
        let Some(mut file) = directory.open_file(&name(first))? else { return Ok(None) };
        let segment = Segment { first, entries: 0, bytes: 0 };
        file.seek(SeekFrom::Start(0)).map_err(|error| failed(directory, "read", segment, &error))?;
        let mut file = BufReader::new(file);
        let header = frame::read_header(&mut file, QUEUE).map_err(|error| failed(directory, "read", segment, &error))?;
        Ok((header == Header::Ours).then_some(Self { file, segment: first, next: first }))
    }

    /// The number of the entry that comes next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The next entries that stand together; none where there are no good ones.
    pub(super) fn read(&mut self, directory: &Directory) -> Result<Option<Record>, StoreError> {
        let segment = Segment { first: self.segment, entries: 0, bytes: 0 };
        let broken = |error: &std::io::Error| failed(directory, "read", segment, error);
        // No record is larger than the file, which grows while it is read.
        let most = self.file.get_ref().metadata().map_err(|error| broken(&error))?.len();
        match frame::next(&mut self.file, most).map_err(|error| broken(&error))? {
            Frame::Whole(entries, payload) => {
                let record = Record { first: self.next, entries, payload };
                self.next = record.next();
                Ok(Some(record))
            }
            Frame::End | Frame::Damaged => Ok(None),
        }
    }
}

pub(super) fn failed(directory: &Directory, tried: &'static str, segment: Segment, error: &std::io::Error) -> StoreError {
    let cause = Errno::from_io_error(error).unwrap_or(Errno::IO);
    StoreError::Io { tried, path: directory.path(segment.name()), cause }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_their_numbers_and_nothing_else_is_one() {
        assert!(name(9) < name(10) && name(u64::MAX) > name(1 << 60));
        assert_eq!([first_of(&name(0x1f)), first_of(&name(HIGHEST))], [Some(0x1f), Some(HIGHEST)]);
        assert_eq!([first_of(&name(HIGHEST + 1)), first_of(&name(u64::MAX))], [None, None]);
        for odd in ["", ".entries", "1f.entries", "000000000000001F.entries", "+00000000000001f.entries", "000000000000001f"] {
            assert_eq!(first_of(odd), None, "{odd}");
        }
    }
}
