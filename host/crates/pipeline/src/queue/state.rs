//! What a queue holds, and what there is room for: pure, whoever asks holds the lock.

use std::collections::VecDeque;

use super::{Bounds, Item, WhenFull, Worth};

pub(super) struct State<T> {
    pub(super) bounds: Bounds,
    items: VecDeque<Held<T>>,
    /// Bytes that wait.
    bytes: usize,
    /// Bytes that were taken and are in work.
    in_work: usize,
    /// How many of the items are never dropped.
    kept: usize,
    /// So many of these there may be before it is looked through for what has come and gone.
    tidy_at: usize,
    pub(super) senders: usize,
    /// Senders that wait for room.
    pub(super) waiting: usize,
    /// Whether one of them has found no room since there last was some.
    pub(super) pressed: bool,
    pub(super) receiver: bool,
    /// Nothing more is taken in, whoever still has a sender.
    pub(super) shut: bool,
}

struct Held<T> {
    item: T,
    weight: usize,
    /// It is never dropped.
    kept: bool,
}

/// What becomes of an item that wants in.
pub(super) enum Offered<T> {
    /// It is in, or nobody needs to know of it any more.
    Taken,
    /// There is no room for it, and others do not wait because of it.
    Dropped,
    /// There is no room for it yet.
    Back(T),
}

impl WhenFull {
    /// Whether the oldest items of this worth make room.
    fn makes_room(self, worth: Worth) -> bool {
        match self {
            Self::Wait | Self::DropNewest => false,
            Self::DropSamples => worth == Worth::Sample,
            Self::DropOldest => worth != Worth::Kept,
        }
    }

    /// Whether an item of this worth is dropped when there is no room for it.
    fn drops(self, worth: Worth) -> bool {
        self.makes_room(worth) || self == Self::DropNewest && worth != Worth::Kept
    }

    /// Whether what is never dropped goes in at once.
    fn lets_pass(self) -> bool {
        matches!(self, Self::DropSamples | Self::DropOldest)
    }
}

impl<T> State<T> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            items: VecDeque::new(),
            bytes: 0,
            in_work: 0,
            kept: 0,
            tidy_at: 0,
            senders: 1,
            waiting: 0,
            pressed: false,
            receiver: true,
            shut: false,
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.waiting > 0 && self.pressed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.shut || self.senders == 0
    }

    pub(super) fn length(&self) -> usize {
        self.items.len()
    }

    /// How many may be dropped.
    pub(super) fn droppable(&self) -> usize {
        self.items.len().saturating_sub(self.kept)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn in_work(&self) -> usize {
        self.in_work
    }

    /// Bytes that wait and those in work.
    pub(super) fn held(&self) -> usize {
        self.bytes.saturating_add(self.in_work)
    }

    /// What is in work counts no more; says how much that was.
    pub(super) fn release(&mut self) -> usize {
        std::mem::take(&mut self.in_work)
    }

    /// Takes at most so many items, and no more bytes than that unless it is one item; gives what they weigh.
    pub(super) fn take(&mut self, most: usize, bytes: usize) -> (Vec<T>, usize) {
        let mut weight = 0_usize;
        let fits = |held: &&Held<T>| {
            let first = weight == 0;
            weight = weight.saturating_add(held.weight);
            first || weight <= bytes
        };
        let count = self.items.iter().take(most).take_while(fits).count();
        let mut items = Vec::with_capacity(count);
        let mut taken = 0;
        for held in self.items.drain(..count) {
            self.kept -= usize::from(held.kept);
            taken += held.weight;
            items.push(held.item);
        }
        self.bytes -= taken;
        if self.kept == 0 {
            self.tidy_at = 0;
        }
        (items, taken)
    }

    /// What is taken with these bytes is in work from now on.
    pub(super) fn work_on(&mut self, weight: usize) {
        self.in_work = weight;
    }

    /// Empties it; what was in it is to be dropped when the lock is not held.
    pub(super) fn clear(&mut self) -> impl Sized + use<T> {
        (self.bytes, self.in_work, self.kept) = (0, 0, 0);
        std::mem::take(&mut self.items)
    }

    fn fits(&self, weight: usize) -> bool {
        self.held().saturating_add(weight) <= self.bounds.bytes
    }

    /// What is never dropped counts as no item where others are dropped: else nothing would be told while much begins to exist. When nothing waits
    /// one item goes in that weighs more than half of all bytes; any other then waits no longer than what is in work.
    fn has_room(&self, weight: usize) -> bool {
        let kept = if self.bounds.when_full.lets_pass() { self.kept } else { 0 };
        match self.items.len().saturating_sub(kept) {
            0 => self.in_work == 0 || weight > self.bounds.bytes / 2 || self.fits(weight),
            items => items < self.bounds.items && self.fits(weight),
        }
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        let held = self.items.remove(index)?;
        self.bytes -= held.weight;
        self.kept -= usize::from(held.kept);
        Some(held.item)
    }
}

impl<T: Item> State<T> {
    /// Takes an item in if there is room, or room can be made; says also how many things were dropped.
    pub(super) fn offer(&mut self, item: T, weight: usize) -> (Offered<T>, u64) {
        let (when_full, worth) = (self.bounds.when_full, item.worth());
        let passes = worth == Worth::Kept && when_full.lets_pass();
        if passes && self.kept >= self.bounds.items && self.undo(&item) {
            return (Offered::Taken, 0);
        }
        if passes && self.kept >= self.tidy_at.max(self.bounds.items.saturating_mul(2)) {
            self.tidy();
            self.tidy_at = self.kept.saturating_mul(2);
        }
        let mut dropped = 0;
        while !(if passes { self.fits(weight) } else { self.has_room(weight) }) {
            if let Some(oldest) = self.drop_oldest() {
                dropped += oldest;
            } else if passes {
                break;
            } else if when_full.drops(worth) {
                return (Offered::Dropped, dropped + item.things());
            } else {
                return (Offered::Back(item), dropped);
            }
        }
        let kept = worth == Worth::Kept;
        self.kept += usize::from(kept);
        self.items.push_back(Held { item, weight, kept });
        self.bytes += weight;
        (Offered::Taken, dropped)
    }

    /// Drops of what may be dropped the oldest until the rest is within the bounds; says how many.
    pub(super) fn shrink(&mut self) -> u64 {
        let mut dropped = 0;
        while !self.fits(0) || self.items.len() > self.bounds.items.saturating_add(self.kept) {
            let Some(oldest) = self.drop_oldest() else { break };
            dropped += oldest;
        }
        dropped
    }

    /// Drops the oldest item that may be dropped; says how many things it held, if there was one.
    fn drop_oldest(&mut self) -> Option<u64> {
        let when_full = self.bounds.when_full;
        let oldest = self.items.iter().position(|held| when_full.makes_room(held.item.worth()));
        Some(self.remove(oldest?)?.things())
    }

    /// Takes out what has come and gone, and of which what stood between has been dropped since. It takes long where much is held, and is done
    /// when that has doubled.
    fn tidy(&mut self) {
        let mut index = 0;
        while let Some(end) = self.items.get(index) {
            if end.item.ends()
                && let Some(begin) = self.begin_of(&end.item, index)
            {
                self.remove(index);
                self.remove(begin);
                index = index.saturating_sub(1);
            } else {
                index += 1;
            }
        }
    }

    /// Where that stands, before this place, which the item undoes; if nothing between needs it.
    fn begin_of(&self, item: &T, before: usize) -> Option<usize> {
        let begin = self.items.iter().take(before).rposition(|earlier| item.undoes(&earlier.item))?;
        let earlier = self.items.get(begin)?;
        let mut between = self.items.iter().take(before).skip(begin + 1);
        (!between.any(|later| later.item.needs(&earlier.item))).then_some(begin)
    }

    /// Takes out what this item undoes, if nothing that is left needs it; says whether that was so.
    fn undo(&mut self, item: &T) -> bool {
        self.begin_of(item, self.items.len()).is_some_and(|begin| self.remove(begin).is_some())
    }
}
