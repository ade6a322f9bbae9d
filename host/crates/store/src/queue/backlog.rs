//! A queue as the backlog of an outlet.

use std::num::NonZeroU32;

use sluicebox_contract::{Appended, Backlog, Fault, Record, Waiting};

use super::{PLACING, Queue};

impl Backlog for Queue {
    fn largest(&self) -> u64 {
        Self::largest(self)
    }

    fn append(&mut self, entries: NonZeroU32, record: &[u8]) -> Result<Appended, Fault> {
        Self::append(self, entries, record).map_err(|error| error.fault_of("cannot store entries"))
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Self::flush(self).map_err(|error| error.fault_of("cannot store entries"))
    }

    fn read(&mut self, records: usize, bytes: usize) -> Result<Vec<Record>, Fault> {
        Self::read(self, records, bytes).map_err(|error| error.fault_of("cannot read stored entries"))
    }

    fn skip_to(&mut self, number: u64) {
        Self::skip_to(self, number);
    }

    fn done_before(&mut self, number: u64) -> Result<(), Fault> {
        let done = Self::done_before(self, number);
        let placed = if self.placed.0.elapsed() >= PLACING { self.keep_place() } else { Ok(()) };
        done.and(placed).map_err(|error| error.fault_of("cannot give back the room of what is written"))
    }

    fn rest(&mut self) -> Result<(), Fault> {
        self.flush().and_then(|()| self.keep_place()).map_err(|error| error.fault_of("cannot store entries"))
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.settle().map_err(|error| error.fault_of("cannot store entries"))
    }

    fn waiting(&self) -> Waiting {
        Waiting {
            unread: self.unread(),
            next_read: self.next_read,
            first_open: self.first_open(),
            open: self.len(),
            next: self.next(),
            flushed: self.flushed(),
            bytes: self.bytes(),
            dropped: self.dropped(),
            damaged: self.damaged(),
        }
    }
}
