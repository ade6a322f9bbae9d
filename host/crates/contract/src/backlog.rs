//! Where entries wait for a sink that does not take them, and survive the end of the program.

use std::num::NonZeroU32;

use crate::Fault;

/// Entries that came together. Each entry has a number, so that it is known how many are lost where a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The number of the first one.
    pub first: u64,
    /// How many they are.
    pub entries: u32,
    /// What they are, as they were handed over.
    pub payload: Vec<u8>,
}

impl Record {
    /// The number after the last one.
    pub fn next(&self) -> u64 {
        self.first.saturating_add(u64::from(self.entries))
    }
}

/// What became of entries that were to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The first one has this number. They survive the end of the program once they were flushed.
    Kept(u64),
    /// There is no room, and they were not taken.
    Full,
    /// There is no room, and they are dropped and counted.
    Dropped,
}

/// What a backlog holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Entries that were neither read nor skipped.
    pub unread: u64,
    /// The number of the entry that is read next, or a smaller one where some are missing.
    pub next_read: u64,
    /// The number of the first entry that is not done.
    pub first_open: u64,
    /// Entries that are there and not done.
    pub open: u64,
    /// The number of the entry that comes next.
    pub next: u64,
    /// Entries from this number on are in memory, or on a disk that has refused to keep them: they are lost if the program ends.
    pub flushed: u64,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Entries dropped for lack of room so far.
    pub dropped: u64,
    /// Entries that could not be read so far.
    pub damaged: u64,
}

/// Entries on the disk, in the order in which they came. Its calls may block.
pub trait Backlog: Send + 'static {
    /// The largest record that is taken, in bytes.
    fn largest(&self) -> u64;

    /// Takes so many entries, which stand together from here on. Where that is an error, they were not taken.
    fn append(&mut self, entries: NonZeroU32, record: &[u8]) -> Result<Appended, Fault>;

    /// Writes what was taken: it survives the end of the program from then on. When it fails nothing is lost, and the next one tries again.
    fn flush(&mut self) -> Result<(), Fault>;

    /// The next records, at most so many and about so many bytes. Of the first one, some entries may be done.
    fn read(&mut self, records: usize, bytes: usize) -> Result<Vec<Record>, Fault>;

    /// Whoever has handed over everything before this number has it still, and need not read it.
    fn skip_to(&mut self, number: u64);

    /// All entries before this number are done.
    fn done_before(&mut self, number: u64) -> Result<(), Fault>;

    /// There is time to write down what is done, so that less is done twice after a crash.
    fn rest(&mut self) -> Result<(), Fault>;

    /// Writes down everything, so that the next start finds it as it is.
    fn close(&mut self) -> Result<(), Fault>;

    /// What it holds now.
    fn waiting(&self) -> Waiting;
}
