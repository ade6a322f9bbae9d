//! How entries stand in a file, one after the other. Pure.
//!
//! ```text
//! file    magic version:u32 crc:u32 frame*
//! frame   length:u32 entries:u32 crc:u32 payload
//! ```
//!
//! Numbers are little-endian; the check sums are CRC-32 (IEEE 802.3), that of a frame is over its length, its number of entries, which is not
//! zero, and its payload. Whatever a crash leaves at the end of a file, zeros included, is no frame.

use std::io::{ErrorKind, Read, Result};
use std::num::NonZeroU32;

use crc32fast::Hasher;

/// Which kind of file it is, and in which version we write it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// What every file of the kind begins with.
    pub(crate) magic: &'static [u8; 8],
    pub(crate) version: u32,
}

/// A file of a queue.
pub(crate) const QUEUE: Form = Form { magic: b"sluiceq\n", version: 1 };
/// Bytes before the first frame.
pub(crate) const HEADER: u64 = 16;
/// Bytes of a frame besides its payload.
pub(crate) const OVERHEAD: u64 = 12;

/// What a file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    Ours,
    /// A later version has written it.
    Newer(u32),
    Damaged,
}

/// What comes next in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// So many entries.
    Whole(u32, Vec<u8>),
    /// The file ends here.
    End,
    /// What stands here was never finished, or has changed.
    Damaged,
}

/// The beginning of a file.
pub(crate) fn header(form: Form) -> Vec<u8> {
    let mut bytes = form.magic.to_vec();
    bytes.extend(form.version.to_le_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Reads the beginning of a file.
pub(crate) fn read_header(file: &mut impl Read, form: Form) -> Result<Header> {
    let (mut magic, mut version, mut sum) = ([0; 8], [0; 4], [0; 4]);
    for part in [&mut magic[..], &mut version, &mut sum] {
        if !fill(file, part)? {
            return Ok(Header::Damaged);
        }
    }
    let mut hasher = Hasher::new();
    hasher.update(&magic);
    hasher.update(&version);
    if magic != *form.magic || hasher.finalize() != u32::from_le_bytes(sum) {
        return Ok(Header::Damaged);
    }
    let version = u32::from_le_bytes(version);
    Ok(if version > form.version { Header::Newer(version) } else { Header::Ours })
}

/// Whether that is all of a file of which a crash has left no more than a part of its beginning, or of zeros in its place.
pub(crate) fn is_begun(bytes: &[u8], form: Form) -> bool {
    let header = header(form);
    let same = bytes.iter().zip(&header).take_while(|(one, other)| one == other).count();
    bytes.len() <= header.len() && bytes.iter().skip(same).all(|byte| *byte == 0)
}

/// Appends a frame; the payload is shorter than 4 GiB, as whoever calls has seen to.
pub(crate) fn put(bytes: &mut Vec<u8>, entries: NonZeroU32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let entries = entries.get().to_le_bytes();
    bytes.extend(length);
    bytes.extend(entries);
    bytes.extend(sum(length, entries, payload).to_le_bytes());
    bytes.extend(payload);
}

/// Reads a frame with a payload of at most so many bytes.
pub(crate) fn next(file: &mut impl Read, most: u64) -> Result<Frame> {
    let (mut length, mut entries, mut expected) = ([0; 4], [0; 4], [0; 4]);
    let Some(first) = length.get_mut(..1) else { return Ok(Frame::Damaged) };
    if !fill(file, first)? {
        return Ok(Frame::End);
    }
    let Some(rest) = length.get_mut(1..) else { return Ok(Frame::Damaged) };
    let is_there = fill(file, rest)? && fill(file, &mut entries)? && fill(file, &mut expected)?;
    if !is_there || entries == [0; 4] || u64::from(u32::from_le_bytes(length)) > most {
        return Ok(Frame::Damaged);
    }
    let mut payload = vec![0; usize::try_from(u32::from_le_bytes(length)).unwrap_or(0)];
    let is_whole = fill(file, &mut payload)? && sum(length, entries, &payload) == u32::from_le_bytes(expected);
    Ok(if is_whole { Frame::Whole(u32::from_le_bytes(entries), payload) } else { Frame::Damaged })
}

fn sum(length: [u8; 4], entries: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&length);
    hasher.update(&entries);
    hasher.update(payload);
    hasher.finalize()
}

/// Says whether there was enough.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<bool> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(mut bytes: &[u8]) -> (Header, Vec<Vec<u8>>, bool) {
        let header = read_header(&mut bytes, QUEUE).unwrap();
        let mut frames = Vec::new();
        loop {
            match next(&mut bytes, 1 << 20).unwrap() {
                Frame::Whole(entries, payload) => frames.push([format!("{entries}:").into_bytes(), payload].concat()),
                Frame::End => return (header, frames, true),
                Frame::Damaged => return (header, frames, false),
            }
        }
    }

    fn file() -> Vec<u8> {
        let mut bytes = header(QUEUE);
        for (entries, payload) in [(1, &b"one"[..]), (2, b""), (3, b"three")] {
            put(&mut bytes, NonZeroU32::new(entries).unwrap(), payload);
        }
        bytes
    }

    #[test]
    fn what_was_written_is_read() {
        let expected = vec![b"1:one".to_vec(), b"2:".to_vec(), b"3:three".to_vec()];
        assert_eq!(frames(&file()), (Header::Ours, expected, true));
    }

    #[test]
    fn a_file_that_is_cut_anywhere_has_the_frames_before_it() {
        let file = file();
        let ends = [16, 31, 43, 60];
        for cut in 16..=file.len() {
            let (header, frames, is_whole) = frames(&file[..cut]);
            let expected = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!((header, frames.len(), is_whole), (Header::Ours, expected, ends.contains(&cut)), "{cut}");
        }
    }

    #[test]
    fn no_bit_can_change_unseen_and_zeros_are_no_frames() {
        let file = file();
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let (header, frames, is_whole) = frames(&changed);
            assert!(header != Header::Ours || !is_whole && frames.len() < 3, "{bit}: {frames:?}");
        }
        let mut longer = file;
        longer.extend([0; 64]);
        let (_, found, is_whole) = frames(&longer);
        assert_eq!((found.len(), is_whole), (3, false));
    }

    #[test]
    fn what_a_crash_has_left_of_a_beginning_is_known_as_such() {
        let header = header(QUEUE);
        for length in 0..=header.len() {
            let (cut, mut zeros) = (header[..length].to_vec(), header[..length].to_vec());
            zeros.resize(header.len(), 0);
            assert!(is_begun(&cut, QUEUE) && is_begun(&zeros, QUEUE), "{length}");
            let mut other = cut;
            other.push(b'!');
            assert!(!is_begun(&other, QUEUE), "{length}");
        }
        assert!(!is_begun(&[0; 17], QUEUE));
    }

    #[test]
    fn a_later_version_is_known_as_such() {
        let mut bytes = QUEUE.magic.to_vec();
        bytes.extend(7_u32.to_le_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        assert_eq!(read_header(&mut &bytes[..], QUEUE).unwrap(), Header::Newer(7));
    }
}
