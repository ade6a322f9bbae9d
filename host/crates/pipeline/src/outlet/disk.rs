//! What an outlet's store does with the disk, one thing after the other. Its calls block.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluicebox_contract::meter::StoreMeter;
use sluicebox_contract::{Appended, Backlog, Fault, Receipt, Record, Waiting};
use tracing::warn;

use super::gathered::{Gathered, Parcel};
use super::hand::{Hand, Place};
use super::record::{decode, encode};
use super::refusals::Refusals;

/// What is read at a time, in bytes and in records.
const READ_BYTES: usize = 256 << 10;
const READ_RECORDS: usize = 64;
/// What stands in the store in memory only, such as that a lane has settled, at most.
const MARKERS: usize = 1024;
/// Bytes of entries that wait in memory at their place because they are too large for the store.
const LARGE: usize = 8 << 20;

pub(super) const TOO_LARGE: &str =
    "it is larger than a quarter of the store of its sink, which does not take it now (hint: give the store more `bytes`)";

/// What only whoever works with the disk has.
pub(super) struct Disk {
    pub(super) backlog: Box<dyn Backlog>,
    /// Parcels that are not stored, each with the number of the entry before which it has come.
    pub(super) markers: VecDeque<(u64, Parcel)>,
    /// Bytes of those that are too large to be stored.
    pub(super) large: usize,
    /// Entries that have arrived in the store, or have left it on their way into the hand, and were not shown.
    pub(super) arrived: i64,
    /// Of the events of what is put away and not flushed.
    pub(super) receipts: Vec<Receipt>,
    /// Of what is too large to be stored.
    pub(super) refusals: Refusals,
    /// Entries that the backlog counts as dropped, and that are in hand still.
    excused: u64,
    /// Entries that are put away and not flushed: only what is flushed survives the end of the program, and counts as stored.
    pub(super) unflushed: u64,
}

/// What lies between the outlet and the disk. Never held for long.
#[derive(Default)]
pub(super) struct Table {
    /// What is to be put away.
    pub(super) inbox: VecDeque<Parcel>,
    /// What came of the last time that something was put away.
    pub(super) result: Option<Result<Room, Fault>>,
    pub(super) waiting: Waiting,
    pub(super) markers: usize,
    /// Entries that are on their way into the store no more.
    pub(super) arrived: i64,
}

/// Whether there was room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    Full,
}

impl Disk {
    pub(super) fn new(backlog: Box<dyn Backlog>, refusals: Refusals) -> Self {
        Self { backlog, markers: VecDeque::new(), large: 0, arrived: 0, receipts: Vec::new(), refusals, excused: 0, unflushed: 0 }
    }

    pub(super) fn put_away(&mut self, table: &Mutex<Table>, meter: &StoreMeter) -> Result<Room, Fault> {
        let mut room = Room::Enough;
        while room == Room::Enough && self.markers.len() < MARKERS {
            let Some(parcel) = held(table).inbox.pop_front() else { break };
            match self.put(parcel, meter) {
                Ok(None) => {}
                Ok(Some(rest)) => {
                    held(table).inbox.push_front(rest);
                    room = Room::Full;
                }
                Err(refused) => {
                    let (rest, fault) = *refused;
                    held(table).inbox.push_front(rest);
                    return Err(fault);
                }
            }
        }
        self.backlog.flush()?;
        meter.stored.add(std::mem::take(&mut self.unflushed));
        self.receipts.drain(..).for_each(Receipt::done);
        Ok(if self.markers.len() < MARKERS { room } else { Room::Full })
    }

    /// Puts a parcel away; gives back what there is no room for.
    fn put(&mut self, parcel: Parcel, meter: &StoreMeter) -> Result<Option<Parcel>, Box<(Parcel, Fault)>> {
        if !parcel.is_stored() {
            self.markers.push_back((self.backlog.waiting().next, parcel));
            return Ok(None);
        }
        let Parcel::Entries { origin, mut entries, observed_at, mut receipt } = parcel else { return Ok(None) };
        while !entries.is_empty() {
            let Some(encoded) = encode(&origin, observed_at, &entries, self.backlog.largest()) else {
                let rest = entries.split_off(1);
                let large = std::mem::replace(&mut entries, rest);
                let (origin, receipt) = (Arc::clone(&origin), receipt.clone());
                self.put_large(Parcel::Entries { origin, entries: large, observed_at, receipt }, meter);
                continue;
            };
            match self.backlog.append(encoded.entries, &encoded.record) {
                Ok(Appended::Full) => return Ok(Some(Parcel::Entries { origin, entries, observed_at, receipt })),
                Ok(Appended::Kept(_)) => self.unflushed += u64::from(encoded.entries.get()),
                // It is told again at the next start.
                Ok(Appended::Dropped) => drop(receipt.take()),
                Err(fault) => return Err(Box::new((Parcel::Entries { origin, entries, observed_at, receipt }, fault))),
            }
            let stored = encoded.entries.get();
            self.arrived += i64::from(stored);
            entries.drain(..usize::try_from(stored).unwrap_or(usize::MAX).min(entries.len()));
        }
        self.receipts.extend(receipt);
        Ok(None)
    }

    /// One entry that is too large waits in memory at its place, as long as there are few of them; else it is a dead letter.
    fn put_large(&mut self, parcel: Parcel, meter: &StoreMeter) {
        let weight = parcel.weight();
        if self.large > 0 && self.large.saturating_add(weight) > LARGE {
            meter.arriving.add(-1);
            self.bury(parcel, meter);
        } else {
            self.large += weight;
            self.markers.push_back((self.backlog.waiting().next, parcel));
        }
    }

    /// Keeps what is too large for the store as dead letters.
    fn bury(&mut self, mut parcel: Parcel, meter: &StoreMeter) {
        let receipt = parcel.take_receipt();
        let too_large = Gathered::new([parcel]);
        for index in 0..too_large.entries.len() {
            meter.too_large.increment();
            // Nobody waits for room among the letters.
            futures::executor::block_on(self.refusals.bury(&too_large, index, TOO_LARGE));
        }
        receipt.into_iter().for_each(Receipt::done);
    }

    /// Puts away all of these entries or none, but for those that are too large.
    pub(super) fn keep(&mut self, gathered: &Gathered, from: usize, meter: &StoreMeter) -> Result<Option<Place>, Fault> {
        let mut place = Place::default();
        match self.keep_parts(gathered, from, &mut place) {
            Ok(true) => {
                meter.stored.add(gathered.entries.len().saturating_sub(from + place.too_large.len()) as u64);
                Ok(Some(place))
            }
            other => {
                let next = self.backlog.waiting().next;
                self.backlog.done_before(next)?;
                other.map(|_| None)
            }
        }
    }

    fn keep_parts(&mut self, gathered: &Gathered, from: usize, place: &mut Place) -> Result<bool, Fault> {
        for (mut index, origin, observed_at, mut entries) in gathered.parts(from) {
            if origin.replay.is_some() {
                return Ok(false);
            }
            while !entries.is_empty() {
                let Some(encoded) = encode(origin, observed_at, entries, self.backlog.largest()) else {
                    place.too_large.push(index);
                    entries = entries.get(1..).unwrap_or_default();
                    index += 1;
                    continue;
                };
                let first = match self.backlog.append(encoded.entries, &encoded.record)? {
                    Appended::Kept(first) => first,
                    Appended::Full => return Ok(false),
                    Appended::Dropped => {
                        self.excused += u64::from(encoded.entries.get());
                        return Ok(false);
                    }
                };
                let next = first + u64::from(encoded.entries.get());
                // It is in hand: where the next one pushes it out, it is not lost.
                self.backlog.skip_to(next);
                let stored = usize::try_from(encoded.entries.get()).unwrap_or(usize::MAX);
                entries = entries.get(stored..).unwrap_or_default();
                index += stored;
                place.numbers.push((index, next));
            }
        }
        self.backlog.flush().map(|()| true)
    }

    /// Reads what comes next, which may be a parcel that is not stored: nothing of this run together with what an earlier one has left, which is everything before that number.
    pub(super) fn read(&mut self, earlier: u64, most: u32, meter: &StoreMeter) -> Result<Hand, Fault> {
        let next_read = self.backlog.waiting().next_read;
        if self.markers.front().is_some_and(|(number, _)| *number <= next_read) {
            return Ok(Hand::stored(Vec::new(), self.due(next_read)));
        }
        let is_before = |number: &u64| next_read < *number;
        let large = self.markers.iter().filter(|(_, parcel)| parcel.is_stored()).map(|(number, _)| *number);
        let end = large.chain([earlier]).filter(is_before).min().unwrap_or(u64::MAX);
        let records = self.read_before(end, u64::from(most))?;
        let first_open = self.backlog.waiting().first_open;
        let mut parcels = Vec::new();
        for record in &records {
            match parcel(record, first_open) {
                Ok(parcel) => parcels.push((parcel, record.next())),
                // The check sum is right: it is what another version has written.
                Err(error) => {
                    meter.damaged.add(u64::from(record.entries));
                    warn!(first = record.first, entries = record.entries, %error, "stored entries cannot be understood and are left out");
                }
            }
        }
        if let (true, Some(last)) = (parcels.is_empty(), records.last()) {
            self.backlog.done_before(last.next())?;
        }
        let up_to = self.backlog.waiting().next_read;
        Ok(Hand::stored(parcels, self.due(up_to)))
    }

    /// What is not stored and has come before this entry.
    fn due(&mut self, number: u64) -> Vec<Parcel> {
        let due = self.markers.iter().take_while(|(before, _)| *before <= number).count();
        let parcels: Vec<Parcel> = self.markers.drain(..due).map(|(_, parcel)| parcel).collect();
        self.large -= parcels.iter().filter(|parcel| parcel.is_stored()).map(Parcel::weight).sum::<usize>();
        self.arrived += arriving(&parcels);
        parcels
    }

    /// Writes down everything. What is too large cannot stay when the program ends.
    pub(super) fn close(&mut self, meter: &StoreMeter) -> Result<(), Fault> {
        for parcel in self.due(u64::MAX) {
            if parcel.is_stored() {
                self.bury(parcel, meter);
            }
        }
        self.backlog.close()
    }

    /// Records before this number, and about so many entries at most.
    fn read_before(&mut self, end: u64, most: u64) -> Result<Vec<Record>, Fault> {
        let (mut records, mut bytes, mut entries) = (Vec::new(), 0, 0);
        let is_before = |waiting: Waiting| waiting.unread > 0 && waiting.next_read < end;
        while bytes < READ_BYTES && records.len() < READ_RECORDS && entries < most && is_before(self.backlog.waiting()) {
            let Some(record) = self.backlog.read(1, READ_BYTES)?.pop() else { break };
            bytes += record.payload.len();
            entries += u64::from(record.entries);
            records.push(record);
        }
        Ok(records)
    }

    pub(super) fn shown(&mut self, table: &Mutex<Table>) {
        let mut held = held(table);
        held.arrived += std::mem::take(&mut self.arrived);
        let waiting = self.backlog.waiting();
        held.waiting = Waiting { dropped: waiting.dropped.saturating_sub(self.excused), ..waiting };
        held.markers = self.markers.len();
    }
}

/// The entries of a record that are not done.
fn parcel(record: &Record, first_open: u64) -> Result<Parcel, serde_json::Error> {
    let done = first_open.saturating_sub(record.first).min(u64::from(record.entries));
    decode(&record.payload, usize::try_from(done).unwrap_or(usize::MAX))
}

pub(super) fn arriving(parcels: &[Parcel]) -> i64 {
    i64::try_from(parcels.iter().map(Parcel::entries).sum::<u64>()).unwrap_or(i64::MAX)
}

pub(super) fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    // Nothing panics while it is held.
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn held(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
