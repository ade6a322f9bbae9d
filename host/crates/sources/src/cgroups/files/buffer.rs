//! Where the text of one file after another is read into, within a bound.

use std::os::fd::AsFd;

use rustix::io::{Errno, pread, retry_on_intr};

use super::file::Failure;

const FIRST_BYTES: usize = 8 << 10;
/// No file of a cgroup that we read comes near to that.
const MOST_BYTES: usize = 64 << 10;

/// One for all cgroups of a source. Grows to what the longest file needs, within the bound, and then allocates no more.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; FIRST_BYTES] }
    }

    /// Reads all of a file that the kernel hands out in one piece, as it does those of a cgroup. Says how long it is.
    pub(super) fn fill(&mut self, file: impl AsFd) -> Result<usize, Failure> {
        loop {
            let length = retry_on_intr(|| pread(&file, self.bytes.as_mut_slice(), 0)).map_err(Failure::from)?;
            if length < self.bytes.len() {
                return Ok(length);
            }
            self.grow()?;
        }
    }

    /// Reads all of a file that may come in several pieces, as lists of the kernel do.
    pub(crate) fn fill_by_pieces(&mut self, file: impl AsFd) -> Result<usize, Failure> {
        let mut length = 0;
        loop {
            if length == self.bytes.len() {
                self.grow()?;
            }
            let room = self.bytes.get_mut(length..).unwrap_or_default();
            let offset = u64::try_from(length).map_err(|_too_long| Failure::TooLong)?;
            match retry_on_intr(|| pread(&file, &mut *room, offset)).map_err(Failure::from)? {
                0 => return Ok(length),
                more => length += more,
            }
        }
    }

    /// Reads the beginning of a file, in one piece.
    pub(crate) fn fill_beginning(&mut self, file: impl AsFd) -> Result<usize, Errno> {
        retry_on_intr(|| pread(&file, self.bytes.as_mut_slice(), 0))
    }

    /// What was read.
    pub(crate) fn text(&self, length: usize) -> &[u8] {
        self.bytes.get(..length).unwrap_or_default()
    }

    fn grow(&mut self) -> Result<(), Failure> {
        if self.bytes.len() >= MOST_BYTES {
            return Err(Failure::TooLong);
        }
        self.bytes.resize((self.bytes.len() * 2).min(MOST_BYTES), 0);
        Ok(())
    }
}
