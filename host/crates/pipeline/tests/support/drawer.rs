//! A backlog in memory that does as it is told, and outlives the pipeline that it belongs to.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use sluicebox_contract::{Appended, Backlog, Fault, Record, Waiting};

/// What happens when it is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Full {
    #[default]
    Block,
    DropOldest,
    DropNewest,
}

#[derive(Default)]
pub struct Contents {
    pub records: VecDeque<Record>,
    pub next: u64,
    pub next_read: u64,
    pub first_open: u64,
    pub dropped: u64,
    pub damaged: u64,
    /// How many records there may be.
    pub most: Option<usize>,
    pub full: Full,
    /// The disk takes nothing.
    pub refuses: bool,
    /// It takes something, and does not keep it.
    pub forgets: bool,
    /// Each call takes so long.
    pub takes: std::time::Duration,
    pub largest: Option<u64>,
    pub closed: u64,
    /// Of what was put away, how much was flushed.
    pub flushed: u64,
}

/// As a queue on the disk.
#[derive(Clone, Default)]
pub struct Drawer(pub Arc<Mutex<Contents>>);

impl Drawer {
    /// As it is found by the next run: what was not flushed is lost, and what was read and not done is there again.
    pub fn reopened(&self) -> Self {
        let mut contents = self.0.lock().unwrap();
        let flushed = contents.flushed;
        contents.records.retain(|record| record.next() <= flushed);
        contents.next = flushed;
        contents.next_read = contents.first_open;
        drop(contents);
        self.clone()
    }

    pub fn entries(&self) -> u64 {
        let contents = self.0.lock().unwrap();
        contents.next - contents.first_open
    }

    fn refused(&self) -> Result<std::sync::MutexGuard<'_, Contents>, Fault> {
        let contents = self.0.lock().unwrap();
        super::shaper::wait(contents.takes);
        if contents.refuses { Err(Fault::retry("cannot store", "no space left on device")) } else { Ok(contents) }
    }
}

impl Backlog for Drawer {
    fn largest(&self) -> u64 {
        self.0.lock().unwrap().largest.unwrap_or(1 << 20)
    }

    fn append(&mut self, entries: NonZeroU32, record: &[u8]) -> Result<Appended, Fault> {
        let mut contents = self.refused()?;
        let entries = entries.get();
        while contents.most.is_some_and(|most| contents.records.len() >= most) {
            match contents.full {
                Full::Block => return Ok(Appended::Full),
                Full::DropNewest => {
                    contents.dropped += u64::from(entries);
                    return Ok(Appended::Dropped);
                }
                Full::DropOldest => {
                    let oldest = contents.records.pop_front().unwrap();
                    contents.dropped += oldest.next().saturating_sub(contents.next_read.max(oldest.first));
                    contents.first_open = contents.first_open.max(oldest.next());
                    contents.next_read = contents.next_read.max(oldest.next());
                }
            }
        }
        let first = contents.next;
        contents.records.push_back(Record { first, entries, payload: record.to_vec() });
        contents.next += u64::from(entries);
        Ok(Appended::Kept(first))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        let mut contents = self.refused()?;
        if contents.forgets {
            return Err(Fault::retry("cannot store", "no space left on device"));
        }
        contents.flushed = contents.next;
        Ok(())
    }

    fn read(&mut self, records: usize, bytes: usize) -> Result<Vec<Record>, Fault> {
        let mut contents = self.0.lock().unwrap();
        let next_read = contents.next_read;
        let mut weight = 0;
        let few = |record: &&Record| {
            let first = weight;
            weight += record.payload.len();
            first < bytes
        };
        let found: Vec<Record> =
            contents.records.iter().filter(|record| record.next() > next_read).take(records).take_while(few).cloned().collect();
        contents.next_read = found.last().map_or(contents.next, Record::next);
        Ok(found)
    }

    fn skip_to(&mut self, number: u64) {
        let mut contents = self.0.lock().unwrap();
        contents.next_read = contents.next_read.max(number);
    }

    fn done_before(&mut self, number: u64) -> Result<(), Fault> {
        let mut contents = self.0.lock().unwrap();
        contents.first_open = contents.first_open.max(number);
        let first_open = contents.first_open;
        contents.records.retain(|record| record.next() > first_open);
        Ok(())
    }

    fn rest(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.flush()?;
        self.0.lock().unwrap().closed += 1;
        Ok(())
    }

    fn waiting(&self) -> Waiting {
        let contents = self.0.lock().unwrap();
        Waiting {
            unread: contents.next - contents.next_read.min(contents.next),
            next_read: contents.next_read.min(contents.next),
            first_open: contents.first_open,
            open: contents.next - contents.first_open,
            next: contents.next,
            flushed: contents.flushed,
            bytes: contents.records.iter().map(|record| record.payload.len() as u64).sum(),
            dropped: contents.dropped,
            damaged: contents.damaged,
        }
    }
}
