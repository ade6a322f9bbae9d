//! An outlet's store on the disk: what the sink does not take is put away there, and read again in the order in which it came. All work with
//! the disk is done beside the executor, and goes on to its end when whoever waited for it waits no more.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sluicebox_contract::meter::StoreMeter;
use sluicebox_contract::{Backlog, Fault, Waiting};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::disk::{Disk, Room, Table, arriving, held, lock};
use super::gathered::Parcel;
use super::hand::Hand;
use super::refusals::Refusals;
use crate::queue::WhenFull;

/// Time between two tries when the store is full.
const FULL: Duration = Duration::from_millis(50);
/// Time between two tries when the disk refuses something.
const REFUSED: Duration = Duration::from_millis(500);

/// How a store works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// Whether everything passes through it, and not only what the sink does not take.
    pub always: bool,
    /// Entries that are read from it each second, at most.
    pub entries_per_second: u32,
    /// What becomes of entries that have no room in the queue while the disk refuses what is to be put away.
    pub when_refused: WhenFull,
}

/// Where what a sink does not take is put away.
pub struct StoreTerms {
    /// The disk.
    pub backlog: Box<dyn Backlog>,
    /// How it is used.
    pub settings: StoreSettings,
}

/// The store of one outlet.
pub(super) struct Store {
    pub(super) settings: StoreSettings,
    disk: Arc<Mutex<Disk>>,
    table: Arc<Mutex<Table>>,
    meter: Arc<StoreMeter>,
    name: Arc<str>,
    /// As it was when it was last looked at.
    waiting: Waiting,
    /// Everything before this number was left by an earlier run.
    earlier: u64,
    /// So much is done of what was read, though the disk was not told yet.
    done: u64,
    markers: usize,
    /// Something is being put away: what it holds is not known.
    putting: Option<JoinHandle<()>>,
    /// Whether it was said that the disk refuses.
    refuses: bool,
    /// From when on the next records may be read.
    next_read: Instant,
}

impl Store {
    pub(super) fn new(
        name: Arc<str>,
        StoreTerms { backlog, settings }: StoreTerms,
        refusals: Refusals,
        meter: Arc<StoreMeter>,
    ) -> Self {
        let waiting = backlog.waiting();
        meter.recovered.add(waiting.unread + waiting.damaged);
        let disk = Arc::new(Mutex::new(Disk::new(backlog, refusals)));
        let table = Arc::new(Mutex::new(Table { waiting, ..Table::default() }));
        let (seen, markers, putting, refuses, next_read) = (Waiting::default(), 0, None, false, Instant::now());
        let mut store = Self {
            settings,
            disk,
            table,
            meter,
            name,
            waiting: seen,
            earlier: waiting.next,
            done: 0,
            markers,
            putting,
            refuses,
            next_read,
        };
        store.look();
        if waiting.unread > 0 {
            info!(sink = %store.name, entries = waiting.unread, bytes = waiting.bytes, "entries of an earlier run wait in the store: they are written first");
        }
        store
    }

    /// Whether something is in it that was not read.
    pub(super) fn holds(&self) -> bool {
        self.waiting.unread > 0 || self.markers > 0
    }

    /// What becomes of entries that have no room in the queue: they wait for it to be put away, unless the disk refuses.
    pub(super) fn when_full(&self) -> WhenFull {
        if self.refuses { self.settings.when_refused } else { WhenFull::Wait }
    }

    /// What was to be put away and could not be.
    pub(super) fn take_inbox(&self) -> Vec<Parcel> {
        let parcels: Vec<Parcel> = held(&self.table).inbox.drain(..).collect();
        self.meter.arriving.add(-arriving(&parcels));
        parcels
    }

    /// Whether everything that it was given is in it.
    pub(super) fn is_tidy(&self) -> bool {
        held(&self.table).inbox.is_empty()
    }

    /// Whether, besides, all of it outlives the program.
    pub(super) fn is_safe(&self) -> bool {
        self.is_tidy() && self.unflushed() == 0
    }

    /// Entries that it holds and that the disk has not taken.
    fn unflushed(&self) -> u64 {
        let Waiting { next, flushed, first_open, .. } = self.waiting;
        next.saturating_sub(flushed.max(first_open).max(self.done))
    }

    /// The entries before this number are written or refused.
    pub(super) fn note_done(&mut self, number: u64) {
        self.done = self.done.max(number);
        self.meter.unflushed.set(gauge(self.unflushed()));
    }

    /// So many entries are lost because they are too large.
    pub(super) fn count_too_large(&self, entries: usize) {
        self.meter.too_large.add(entries as u64);
    }

    /// Is given parcels; [`Store::put_away`] puts them away.
    pub(super) fn accept(&self, parcels: Vec<Parcel>) {
        self.meter.arriving.add(arriving(&parcels));
        held(&self.table).inbox.extend(parcels);
    }

    /// Puts away what it was given, as far as there is room, and waits for a while where there is none. Can be dropped and asked again.
    pub(super) async fn put_away(&mut self) {
        if self.putting.is_none() {
            let (disk, table, meter) = (Arc::clone(&self.disk), Arc::clone(&self.table), Arc::clone(&self.meter));
            self.putting = Some(spawn_blocking(move || {
                let mut disk = lock(&disk);
                let result = disk.put_away(&table, &meter);
                disk.shown(&table);
                held(&table).result = Some(result);
            }));
        }
        self.catch_up().await;
        let result = held(&self.table).result.take();
        let pause = match result {
            Some(Err(fault)) => {
                self.refused(&fault);
                REFUSED
            }
            Some(Ok(Room::Full)) => FULL,
            Some(Ok(Room::Enough)) | None => {
                self.works_again();
                return;
            }
        };
        if !self.is_tidy() {
            sleep(pause).await;
        }
    }

    /// Ready when the disk has refused something and it is time to try it again.
    pub(super) async fn tries_again(&self) {
        if !self.refuses && self.unflushed() == 0 {
            std::future::pending::<()>().await;
        }
        sleep(REFUSED).await;
    }

    /// Waits until nothing is being put away any more. Can be dropped and asked again.
    pub(super) async fn catch_up(&mut self) {
        // That very work: it may not even have begun, and what is asked of the disk later can come before it.
        if let Some(putting) = &mut self.putting {
            let _done = putting.await;
            self.putting = None;
            self.look();
        }
    }

    /// Puts away what is in hand and not done. Nothing else may be in the store, nor on its way there: it is the oldest.
    pub(super) async fn keep(&mut self, hand: &mut Hand) -> bool {
        let (disk, table, meter) = (Arc::clone(&self.disk), Arc::clone(&self.table), Arc::clone(&self.meter));
        let (gathered, from) = (Arc::clone(&hand.gathered), hand.done);
        let work = move || {
            let mut disk = lock(&disk);
            let kept = disk.keep(&gathered, from, &meter);
            disk.shown(&table);
            kept
        };
        // Whoever blocks does not panic.
        let kept = spawn_blocking(work).await.unwrap_or(Ok(None));
        self.look();
        match kept {
            Ok(Some(place)) => {
                hand.stands(place);
                self.meter.in_hand.set(i64::try_from(hand.left()).unwrap_or(i64::MAX));
                self.works_again();
            }
            Ok(None) => {}
            Err(fault) => self.refused(&fault),
        }
        hand.is_stored()
    }

    /// Whether what an earlier run has left is done just now; says so once, and in any case before anything of this run is written.
    pub(super) fn is_done_with_earlier(&mut self, next: Option<&Hand>) -> bool {
        let is_new = next.is_some_and(|hand| !hand.is_before(self.earlier));
        let is_done = self.earlier > 0 && (is_new || self.waiting.first_open >= self.earlier);
        if is_done {
            self.earlier = 0;
        }
        is_done
    }

    /// Waits until the next records may be read.
    pub(super) fn pace(&self) -> impl Future<Output = ()> + use<> {
        sleep_until(self.next_read)
    }

    /// Reads what comes next. The hand is empty where it could not be read.
    pub(super) async fn read(&mut self) -> Hand {
        let (disk, table, meter) = (Arc::clone(&self.disk), Arc::clone(&self.table), Arc::clone(&self.meter));
        // A fraction of what may come out in a second.
        let (earlier, most) = (self.earlier, (self.settings.entries_per_second / 4).max(1));
        let work = move || {
            let mut disk = lock(&disk);
            let read = disk.read(earlier, most, &meter);
            disk.shown(&table);
            read
        };
        let read = spawn_blocking(work).await.unwrap_or_else(|_| Ok(Hand::default()));
        self.look();
        match read {
            Ok(hand) => {
                let burst = Instant::now().checked_sub(Duration::from_secs(1)).unwrap_or(self.next_read);
                let entries = u32::try_from(hand.left()).unwrap_or(u32::MAX);
                let span = Duration::from_secs(1) * entries / self.settings.entries_per_second.max(1);
                self.next_read = self.next_read.max(burst) + span;
                hand
            }
            Err(fault) => {
                self.refused(&fault);
                sleep(REFUSED).await;
                Hand::default()
            }
        }
    }

    /// The entries before this number are done.
    pub(super) async fn done_before(&mut self, number: u64) {
        self.work(move |disk| disk.backlog.done_before(number)).await;
    }

    /// There is time to write down what is done.
    pub(super) async fn rest(&mut self) {
        self.work(|disk| disk.backlog.rest()).await;
    }

    /// Leaves what is in hand and not done in the store; gives what is too large for it, by index.
    pub(super) async fn leave(&mut self, hand: &Hand) -> Vec<usize> {
        let Some(number) = hand.done_before() else { return hand.only_here().collect() };
        self.done_before(number).await;
        // What newer entries have pushed out meanwhile is lost with the hand.
        let pushed_out = self.waiting.first_open.saturating_sub(number).min(hand.left() as u64);
        self.meter.dropped.add(pushed_out);
        hand.only_here().collect()
    }

    /// Writes down everything; what is too large cannot stay.
    pub(super) async fn close(&mut self) {
        let meter = Arc::clone(&self.meter);
        self.work(move |disk| disk.close(&meter)).await;
        self.meter.entries.set(gauge(self.waiting.open));
    }

    async fn work(&mut self, work: impl FnOnce(&mut Disk) -> Result<(), Fault> + Send + 'static) {
        let (disk, table) = (Arc::clone(&self.disk), Arc::clone(&self.table));
        let work = move || {
            let mut disk = lock(&disk);
            let done = work(&mut disk);
            disk.shown(&table);
            done
        };
        let done = spawn_blocking(work).await.unwrap_or(Ok(()));
        self.look();
        if let Err(fault) = done {
            self.refused(&fault);
        }
    }

    /// Takes note of what it holds.
    fn look(&mut self) {
        let (waiting, markers, arrived) = {
            let mut held = held(&self.table);
            (held.waiting, held.markers, std::mem::take(&mut held.arrived))
        };
        // What is there is counted once, whenever somebody asks.
        self.meter.arriving.add(-arrived);
        self.meter.entries.set(gauge(waiting.unread));
        self.meter.bytes.set(gauge(waiting.bytes));
        self.meter.dropped.add(waiting.dropped.saturating_sub(self.waiting.dropped));
        self.meter.damaged.add(waiting.damaged.saturating_sub(self.waiting.damaged));
        if grown(self.waiting.dropped, waiting.dropped) {
            warn!(sink = %self.name, so_far = waiting.dropped, hint = "give the store more `bytes`, or see to the sink", "its store is full: entries are dropped");
        }
        if waiting.damaged > self.waiting.damaged {
            warn!(sink = %self.name, so_far = waiting.damaged, hint = "see to the disk", "stored entries cannot be read any more and are lost");
        }
        (self.waiting, self.markers) = (waiting, markers);
        self.meter.unflushed.set(gauge(self.unflushed()));
    }

    fn works_again(&mut self) {
        if self.refuses {
            info!(sink = %self.name, "the store can be used again");
        }
        self.refuses = false;
    }

    /// One warning for each time that the disk is in trouble, not one for each try.
    fn refused(&mut self, fault: &Fault) {
        self.meter.failures.increment();
        if !self.refuses {
            warn!(sink = %self.name, %fault, "the store cannot be used: entries wait in memory, and it is tried again");
        }
        self.refuses = true;
    }
}

fn gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether a count has grown so much since it was last told that it is worth a line: ever more rarely.
fn grown(before: u64, now: u64) -> bool {
    now > before && now.ilog2() > before.checked_ilog2().unwrap_or(0) || before == 0 && now > 0
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
