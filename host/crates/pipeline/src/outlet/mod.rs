//! One sink at work: takes what the lanes made, writes it, and tries again until it is written or refused for good. Where it has a store, what
//! the sink does not take is put away on the disk meanwhile.
//!
//! What is oldest comes first: what is in hand, then what is in the store, then what is on its way there, then what waits in the queue.

mod disk;
mod gathered;
mod hand;
mod inlet;
mod record;
mod refusals;
mod store;
mod writer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::meter::{OutletMeter, StoreMeter};
use sluicebox_contract::{Fault, Sink};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::letters::Letterbox;
use crate::queue::{Receiver, WhenFull};
use disk::TOO_LARGE;
use hand::Hand;
use refusals::Refusals;
use store::Store;
use writer::Writer;

pub(crate) use gathered::{Origin, Parcel};
pub(crate) use inlet::Inlet;
pub use store::{StoreSettings, StoreTerms};

/// How an outlet works.
#[derive(Clone, Copy, Debug)]
pub struct OutletSettings {
    /// How long one write may take before it counts as failed.
    pub write_timeout: Duration,
    /// The first wait after a failure; it doubles up to `longest_wait`.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How long what is in a store is written on when the lanes have ended. It would survive anyway.
    pub drain: Duration,
}

impl Default for OutletSettings {
    fn default() -> Self {
        Self {
            write_timeout: Duration::from_secs(30),
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// How long a write may take, once the lanes have ended, before what it writes is put away; less where there is little time for all.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an outlet has nothing to do before what is done is written down.
const IDLE: Duration = Duration::from_secs(1);
/// Time between two tries to put away what is in hand.
const AGAIN: Duration = Duration::from_secs(1);

/// A sink with everything that it needs to work.
pub(crate) struct Outlet<K> {
    writer: Writer<K>,
    queue: Receiver<Parcel>,
    store: Option<Store>,
    meter: Arc<OutletMeter>,
    drain: Duration,
    /// Since when everything that the lanes have made is in hand or put away, as they have ended.
    ended: Option<Instant>,
}

impl<K: Sink> Outlet<K> {
    pub(crate) fn new(
        name: &Arc<str>,
        sink: K,
        queue: Receiver<Parcel>,
        letterbox: Option<Letterbox>,
        terms: (OutletSettings, Option<StoreTerms>, Arc<OutletMeter>, Vec<String>),
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let (settings, store, meter, lanes) = terms;
        let stopping = store.is_none().then_some(stopping);
        let refusals = Refusals::new(name, letterbox);
        let store = store.map(|terms| {
            let counts = Arc::clone(meter.store.get_or_init(Arc::<StoreMeter>::default));
            Store::new(Arc::clone(name), terms, refusals.clone(), counts)
        });
        let writer = Writer::new(Arc::clone(name), sink, refusals, settings, Arc::clone(&meter), lanes, stopping);
        Self { writer, queue, store, meter, drain: settings.drain, ended: None }
    }

    /// Works until the queue is closed and empty; ends early when the sink cannot work as configured and never has, or is not
    /// waited for any more, or when what is left is in the store.
    pub(crate) async fn run(mut self) -> Result<(), Fault> {
        while let Some(mut hand) = self.next().await? {
            if self.store.as_mut().is_some_and(|store| store.is_done_with_earlier(Some(&hand))) {
                self.writer.begins().await;
            }
            let is_done = self.write(&mut hand).await?;
            if !is_done {
                self.leave(&mut hand).await;
                break;
            }
            self.in_hand(None);
            if let (Some(store), Some(number)) = (&mut self.store, hand.done_before()) {
                store.done_before(number).await;
                if store.is_done_with_earlier(None) {
                    self.writer.begins().await;
                }
            }
            hand.finished(&self.meter);
            self.writer.settle(&hand.gathered.lanes).await?;
        }
        self.close().await;
        Ok(())
    }

    /// Writes down what the store holds: it is not at its end before the disk has taken it.
    async fn close(&mut self) {
        while let Some(store) = &mut self.store {
            store.catch_up().await;
            if !store.is_tidy() {
                store.put_away().await;
            }
            store.close().await;
            if store.is_safe() {
                break;
            }
            sleep(AGAIN).await;
        }
    }

    /// Leaves what is in hand in the store.
    async fn leave(&mut self, hand: &mut Hand) {
        let Some(store) = &mut self.store else { return };
        let too_large = store.leave(hand).await;
        store.count_too_large(too_large.len());
        for index in too_large {
            self.writer.refusals.bury(&hand.gathered, index, TOO_LARGE).await;
        }
        hand.dealt_with();
        self.in_hand(None);
    }

    /// What is to be written next. None when there is nothing more, or when the rest is in the store and there is no time for it.
    async fn next(&mut self) -> Result<Option<Hand>, Fault> {
        loop {
            if let Some(store) = &mut self.store {
                self.queue.set_when_full(WhenFull::Wait);
                store.catch_up().await;
            }
            match self.stored().await {
                Stored::Hand(hand) => return Ok(Some(hand)),
                Stored::Again => continue,
                Stored::Over => return Ok(None),
                Stored::Nothing => {}
            }
            let Some(parcels) = self.new_parcels().await? else {
                self.ended.get_or_insert_with(Instant::now);
                return Ok(None);
            };
            let mut hand = Hand::new(parcels);
            self.meter.taken.add(hand.left() as u64);
            self.in_hand(Some(&hand));
            if let Some(store) = self.store.as_mut().filter(|store| store.settings.always) {
                store.keep(&mut hand).await;
            }
            return Ok(Some(hand));
        }
    }

    /// What is older than what is in the queue.
    async fn stored(&mut self) -> Stored {
        let Some(store) = &mut self.store else { return Stored::Nothing };
        if store.holds() {
            if self.ended.is_some_and(|since| since.elapsed() >= self.drain) && store.is_safe() {
                return Stored::Over;
            }
            let pace = store.pace();
            let mut taking = Taking { hand: None, meter: &self.meter, ended: &mut self.ended };
            if meanwhile(pace, store, &mut self.queue, &mut taking, self.drain).await.is_none() {
                return Stored::Over;
            }
            store.catch_up().await;
            let hand = store.read().await;
            let is_empty = hand.is_done() && hand.gathered.lanes.is_empty() && !hand.is_stored();
            self.in_hand(Some(&hand));
            return if is_empty { Stored::Again } else { Stored::Hand(hand) };
        }
        // The disk does not take it: it is written from memory.
        let parcels = store.take_inbox();
        if parcels.is_empty() {
            return if self.ended.is_some() { Stored::Over } else { Stored::Nothing };
        }
        let hand = Hand::new(parcels);
        self.in_hand(Some(&hand));
        Stored::Hand(hand)
    }

    async fn new_parcels(&mut self) -> Result<Option<Vec<Parcel>>, Fault> {
        let Self { writer, queue, store, .. } = self;
        if let Some(store) = store {
            tokio::select! {
                biased;
                parcels = writer.next(queue) => return parcels,
                () = sleep(IDLE) => store.rest().await,
            }
        }
        writer.next(queue).await
    }

    /// Writes what is in hand; says whether all of it is dealt with, or else the rest stays in the store.
    async fn write(&mut self, hand: &mut Hand) -> Result<bool, Fault> {
        while !hand.is_done() {
            let (gathered, from) = (Arc::clone(&hand.gathered), hand.done);
            let writing = self.writer.write(&gathered, from);
            let written = match &mut self.store {
                Some(store) => {
                    let mut taking = Taking { hand: Some(&mut *hand), meter: &self.meter, ended: &mut self.ended };
                    meanwhile(writing, store, &mut self.queue, &mut taking, self.drain).await
                }
                None => Some(writing.await),
            };
            // It has not come to an end, and all is in the store.
            let Some(written) = written else { return Ok(false) };
            let written = written?;
            hand.done += written.entries;
            self.in_hand(Some(hand));
            let is_late = |since: Instant| written.wait.is_some() || since.elapsed() >= self.drain;
            if hand.is_stored() && self.ended.is_some_and(is_late) && self.is_safe().await {
                return Ok(hand.is_done());
            }
            if let Some(wait) = written.wait {
                self.pause(wait, hand).await;
            }
        }
        Ok(true)
    }

    /// Waits before the next try; what is in hand is put away first.
    async fn pause(&mut self, wait: Duration, hand: &mut Hand) {
        let waiting = self.writer.wait(wait);
        let Some(store) = &mut self.store else { return waiting.await };
        if !hand.is_stored() {
            store.keep(hand).await;
        }
        let mut taking = Taking { hand: Some(hand), meter: &self.meter, ended: &mut self.ended };
        meanwhile(waiting, store, &mut self.queue, &mut taking, Duration::ZERO).await;
    }

    /// Whether nothing is on its way into the store, nor in it without having reached the disk.
    async fn is_safe(&mut self) -> bool {
        match &mut self.store {
            Some(store) => {
                store.catch_up().await;
                store.is_safe()
            }
            None => true,
        }
    }

    fn in_hand(&mut self, hand: Option<&Hand>) {
        let entries = hand.map_or(0, |hand| i64::try_from(hand.left()).unwrap_or(i64::MAX));
        self.meter.in_hand.set(entries);
        if let Some(store) = self.meter.store.get() {
            store.in_hand.set(if hand.is_some_and(Hand::is_stored) { entries } else { 0 });
        }
        if let (Some(store), Some(number)) = (&mut self.store, hand.and_then(Hand::done_before)) {
            store.note_done(number);
        }
    }
}

/// What there is that is older than what is in the queue.
enum Stored {
    Hand(Hand),
    /// It could not be read.
    Again,
    Nothing,
    /// Nothing more is to be written.
    Over,
}

/// What [`meanwhile`] does besides.
struct Taking<'a> {
    /// What is in hand, unless nothing is.
    hand: Option<&'a mut Hand>,
    meter: &'a OutletMeter,
    ended: &'a mut Option<Instant>,
}

impl Taking<'_> {
    /// Whether something is in hand that is only in memory: nothing that is newer can be put away then.
    fn is_in_the_way(&self) -> bool {
        self.hand.as_ref().is_some_and(|hand| !hand.is_stored())
    }
}

/// Does some work while what comes is put away. What is in hand is put away first as soon as lanes have to wait for it, or have ended. None
/// when the work has not come to its end in that time after the lanes have ended, and nothing is lost without it.
async fn meanwhile<T>(
    work: impl Future<Output = T>,
    store: &mut Store,
    queue: &mut Receiver<Parcel>,
    taking: &mut Taking<'_>,
    drain: Duration,
) -> Option<T> {
    tokio::pin!(work);
    loop {
        if taking.is_in_the_way() {
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                () = pressed(queue, PATIENCE.min(drain / 4)) => {}
            }
            if let Some(hand) = &mut taking.hand
                && !store.keep(hand).await
            {
                queue.set_when_full(store.when_full());
                tokio::select! {
                    biased;
                    result = &mut work => return Some(result),
                    () = sleep(AGAIN) => {}
                }
            }
        } else if let Some(since) = *taking.ended
            && store.is_safe()
        {
            return timeout(drain.saturating_sub(since.elapsed()), work).await.ok();
        } else {
            queue.set_when_full(store.when_full());
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                () = fill(store, queue, taking) => {}
            }
        }
    }
}

/// Puts away what comes. Can be dropped and asked again.
async fn fill(store: &mut Store, queue: &mut Receiver<Parcel>, taking: &mut Taking<'_>) {
    store.catch_up().await;
    if taking.ended.is_some() && store.is_tidy() {
        // The disk has not taken what is in it.
        store.tries_again().await;
    } else if store.is_tidy() {
        tokio::select! {
            biased;
            parcels = queue.take(BATCH) => {
                let Some(parcels) = parcels else {
                    taking.ended.get_or_insert_with(Instant::now);
                    return;
                };
                taking.meter.taken.add(parcels.iter().map(Parcel::entries).sum());
                store.accept(parcels);
            }
            // What was taken and is not on the disk yet does not wait for what comes next.
            () = store.tries_again() => {}
        }
    }
    store.put_away().await;
}

/// Parcels that are put away at a time.
const BATCH: usize = 64;

/// Ready when a lane waits, or when the lanes have ended and the write takes long all the same.
async fn pressed(queue: &Receiver<Parcel>, patience: Duration) {
    queue.pressed().await;
    if !queue.is_blocked() {
        sleep(patience).await;
    }
}

/// Whether something that has happened so often is said once more: the first twenty times, then ever more rarely.
pub(crate) fn is_worth_a_line(count: u64) -> bool {
    count <= 20 || count.is_power_of_two()
}
