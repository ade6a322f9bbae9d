//! What somebody records of a lane: all that it is given, or a chance part of that where more comes than is wanted.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sluicebox_contract::{Closed, Event, Shaper, Subject, SubjectId};

use crate::lane::Lane;
use crate::order::{LaneControl, Order};
use crate::shape::LAST_BYTES;

/// What is kept weighs at most so much, unless it is one event.
const MOST_BYTES: usize = 8 << 20;
/// What comes in quick succession has the same chance: so long after the first event others may still take a place.
const LISTEN: Duration = Duration::from_secs(1);

/// An event that a lane was given.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Events of one batch have the same number; later ones have a higher one.
    pub batch: u64,
    /// The event; of one that is very large a part.
    pub event: Event,
    /// The subjects that it names, as they were when it came.
    pub subjects: Vec<Arc<Subject>>,
}

/// The listener's end; nothing is heard any more when it is dropped.
#[derive(Debug)]
pub struct Tap(Arc<Mutex<Kept>>);

/// The lane's end.
pub(crate) struct TapOfLane(Arc<Mutex<Kept>>);

impl<S> LaneControl<S> {
    /// Keeps, of what the lane is given from now on, so many objects, samples, connections or values, and the rest of the event with which
    /// it is as many: all that comes where it is less, else a chance part in which each event has the same chance. What was shaped last
    /// before stands in until others come. The lane waits for nothing; an earlier listener hears no more.
    pub async fn tap(&self, wanted: usize) -> Result<Tap, Closed> {
        let kept = Arc::new(Mutex::new(Kept::new(wanted)));
        self.orders.send(Order::Tap(TapOfLane(Arc::clone(&kept)))).await.map_err(|_| Closed)?;
        Ok(Tap(kept))
    }
}

impl Tap {
    /// Whether as much has come as is wanted, and whatever came in quick succession has had its chance.
    pub fn is_enough(&self) -> bool {
        let kept = lock(&self.0);
        kept.is_full && kept.first.is_some_and(|first| first.elapsed() >= LISTEN)
    }

    /// What was kept, in the order in which it came.
    pub fn into_heard(self) -> Vec<Heard> {
        let kept = std::mem::take(&mut lock(&self.0).row);
        let mut heard: Vec<(Place, Heard)> = kept.into_iter().collect();
        heard.sort_by_key(|(place, _)| place.number);
        heard.into_iter().map(|(_, heard)| heard).collect()
    }
}

impl<S: Shaper> Lane<S> {
    /// Somebody wants to hear; what was shaped last stands in.
    pub(crate) fn open_tap(&mut self, tap: TapOfLane) {
        let last = self.snapshot().batch;
        self.tap = Some(tap);
        self.tell_tap(&last, true);
    }

    /// Tells whoever listens what the module is given.
    pub(crate) fn tell_tap(&mut self, events: &[Event], stands_in: bool) {
        let Some(TapOfLane(kept)) = &self.tap else { return };
        if Arc::strong_count(kept) == 1 {
            self.tap = None;
            return;
        }
        let mut kept = lock(kept);
        kept.batch += 1;
        for event in events {
            let Some(place) = kept.place(stands_in) else { continue };
            let Some(event) = event.only(|subject| !self.leaves_out(subject)) else { continue };
            let event = light(event, place.chance);
            let subjects = self.named_by(&event);
            kept.keep(place, event, subjects);
        }
    }

    fn named_by(&self, event: &Event) -> Vec<Arc<Subject>> {
        let mut named = BTreeMap::<SubjectId, Arc<Subject>>::new();
        event.names(|id| {
            named.extend(self.subjects.get(&id).map(|subject| (id, Arc::clone(subject))));
            false
        });
        named.into_values().collect()
    }
}

/// Of an event that is too large one of its parts, whichever.
fn light(mut event: Event, mut chance: u64) -> Event {
    while event.weight() > LAST_BYTES {
        let Some((left, right)) = event.halves() else { break };
        event = if chance & 1 == 0 { left } else { right };
        chance >>= 1;
    }
    event
}

/// Where an event stands in a shuffled row of all that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// What stands in is the first to go.
    stands_in: bool,
    chance: u64,
    /// How many came before.
    number: u64,
}

/// The beginning of that row: what has left it never comes back, as what comes later only makes it longer.
#[derive(Debug)]
struct Kept {
    wanted: usize,
    /// What is kept of it.
    row: BTreeMap<Place, Heard>,
    items: usize,
    bytes: usize,
    /// There was as much as is wanted, or as may be.
    is_full: bool,
    batch: u64,
    number: u64,
    /// When the first event came, or what stands in.
    first: Option<Instant>,
    is_standing_in: bool,
    random: u64,
}

impl Kept {
    fn new(wanted: usize) -> Self {
        Self {
            wanted: wanted.max(1),
            row: BTreeMap::new(),
            items: 0,
            bytes: 0,
            is_full: false,
            batch: 0,
            number: 0,
            first: None,
            is_standing_in: false,
            // Chance needs no secrecy here, only that two recordings differ: the keys of a hash table do.
            random: RandomState::new().build_hasher().finish() | 1,
        }
    }

    /// The place of an event that comes now; none when it is behind all that is kept.
    fn place(&mut self, stands_in: bool) -> Option<Place> {
        if self.first.is_none() || (self.is_standing_in && !stands_in) {
            self.first = Some(Instant::now());
        }
        self.is_standing_in = stands_in;
        // xorshift64*, see Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2014.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.number += 1;
        let place = Place { stands_in, chance: self.random.wrapping_mul(0x2545_F491_4F6C_DD1D), number: self.number };
        let is_behind = self.is_full && self.row.last_key_value().is_some_and(|(last, _)| *last < place);
        (!is_behind).then_some(place)
    }

    fn keep(&mut self, place: Place, event: Event, subjects: Vec<Arc<Subject>>) {
        self.items += event.items().max(1);
        self.bytes += event.weight();
        self.row.insert(place, Heard { batch: self.batch, event, subjects });
        while let Some(last) = self.row.last_entry() {
            let (items, bytes) = (last.get().event.items().max(1), last.get().event.weight());
            let is_wanted = self.items - items < self.wanted && self.bytes <= MOST_BYTES;
            if is_wanted || self.items == items {
                break;
            }
            last.remove();
            self.items -= items;
            self.bytes -= bytes;
            self.is_full = true;
        }
        self.is_full |= self.items >= self.wanted || self.bytes >= MOST_BYTES;
    }
}

/// Nothing that is done under the lock can fail half-way.
fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
