//! A queue bounded in items and in bytes, between tasks and threads. A full queue makes its senders wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicebox_contract::Closed;
use sluicebox_contract::meter::QueueMeter;
use tokio::sync::Notify;

/// What a queue may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Items.
    pub items: usize,
    /// Bytes, as the senders weigh them. A single heavier item passes when the queue is empty.
    pub bytes: usize,
    /// What happens when an item does not fit.
    pub when_full: WhenFull,
}

/// What happens when an item does not fit.
///
/// Where something is dropped, an item for which nothing can make room is dropped itself, and what is never dropped does not wait either, or others would wait because of it. There is no more of it than
/// of what exists: an end takes its beginning out again when nothing between them is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Its sender waits.
    #[default]
    Wait,
    /// The oldest samples make room, and are counted. All other facts wait.
    DropSamples,
    /// The oldest facts make room, and are counted.
    DropOldest,
}

/// How much an item is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// It is never dropped.
    Kept,
    /// It is dropped where the oldest are.
    Fact,
    /// The next one of its kind tells more: it is dropped before others have to wait for it.
    Sample,
}

/// What a queue can hold.
pub trait Item {
    /// How much it is missed.
    fn worth(&self) -> Worth;

    /// Whether nobody needs to know of this one if they do not know of the earlier one: the end of what began with it.
    fn undoes(&self, earlier: &Self) -> bool {
        let _ = earlier;
        false
    }

    /// Whether it makes no sense without the earlier one.
    fn needs(&self, earlier: &Self) -> bool {
        let _ = earlier;
        false
    }
}

impl WhenFull {
    fn drops(self, worth: Worth) -> bool {
        match self {
            Self::Wait => false,
            Self::DropSamples => worth == Worth::Sample,
            Self::DropOldest => worth != Worth::Kept,
        }
    }
}

struct State<T> {
    bounds: Bounds,
    items: VecDeque<Held<T>>,
    bytes: usize,
    /// Of these, what is never dropped: its number, and its bytes.
    kept: (usize, usize),
    senders: usize,
    /// Senders that wait for room.
    waiting: usize,
    /// Whether one of them has found no room since there last was some.
    pressed: bool,
    receiver: bool,
    /// Nothing more is taken in, whoever still has a sender.
    shut: bool,
}

struct Held<T> {
    item: T,
    weight: usize,
    /// It is never dropped.
    kept: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Notify,
    drained: Notify,
    /// A sender waits, or nothing more comes: for a thread that waits for either.
    pressure: Condvar,
    /// Nothing more is taken in. Not told by `drained`, which wakes whoever waits for it with each batch.
    ended: Notify,
    meter: Arc<QueueMeter>,
}

impl<T> State<T> {
    fn is_blocked(&self) -> bool {
        self.waiting > 0 && self.pressed
    }

    fn is_closed(&self) -> bool {
        self.shut || self.senders == 0
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing more is taken in.
    fn is_shut(&self) -> bool {
        let state = self.lock();
        state.shut || !state.receiver
    }

    /// What is never dropped takes no room from what is: else nothing would be told while much begins to exist.
    fn has_room(state: &State<T>, weight: usize) -> bool {
        let (kept, kept_bytes) = if state.bounds.when_full == WhenFull::Wait { (0, 0) } else { state.kept };
        let (items, bytes) = (state.items.len().saturating_sub(kept), state.bytes.saturating_sub(kept_bytes));
        let fits = items < state.bounds.items && bytes.saturating_add(weight) <= state.bounds.bytes;
        fits || items == 0
    }

    /// Takes what is there, at most `most`, and says whether the senders have gone.
    fn drain(&self, most: usize) -> (Vec<T>, bool) {
        let mut state = self.lock();
        let count = state.items.len().min(most);
        let mut items = Vec::with_capacity(count);
        let mut weight = 0;
        let mut kept = (0, 0);
        for held in state.items.drain(..count) {
            if held.kept {
                kept = (kept.0 + 1, kept.1 + held.weight);
            }
            items.push(held.item);
            weight += held.weight;
        }
        state.bytes -= weight;
        state.kept = (state.kept.0.saturating_sub(kept.0), state.kept.1.saturating_sub(kept.1));
        let closed = state.is_closed();
        self.measure(&state);
        if count > 0 {
            self.relieve(state);
        }
        (items, closed)
    }

    /// There may be room: whoever waits tries again.
    fn relieve(&self, mut state: MutexGuard<'_, State<T>>) {
        state.pressed = false;
        drop(state);
        self.drained.notify_waiters();
    }

    fn measure(&self, state: &State<T>) {
        self.meter.length.set(i64::try_from(state.items.len()).unwrap_or(i64::MAX));
        self.meter.bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }
}

impl<T: Item> Shared<T> {
    /// Drops the oldest item that may be dropped; says whether there was one.
    fn drop_oldest(&self, state: &mut State<T>) -> bool {
        let when_full = state.bounds.when_full;
        let oldest = state.items.iter().position(|held| when_full.drops(held.item.worth()));
        let Some(dropped) = oldest.and_then(|oldest| state.items.remove(oldest)) else { return false };
        state.bytes -= dropped.weight;
        self.meter.dropped.increment();
        true
    }
}

impl<T: Item> Shared<T> {
    /// Takes out what this item undoes, if nothing that is left needs it; says whether that was so.
    fn undo(&self, state: &mut State<T>, item: &T) -> bool {
        let Some(begin) = state.items.iter().rposition(|earlier| item.undoes(&earlier.item)) else { return false };
        let Some(earlier) = state.items.get(begin) else { return false };
        if state.items.iter().skip(begin + 1).any(|later| later.item.needs(&earlier.item)) {
            return false;
        }
        let Some(undone) = state.items.remove(begin) else { return false };
        state.bytes -= undone.weight;
        if undone.kept {
            state.kept = (state.kept.0.saturating_sub(1), state.kept.1.saturating_sub(undone.weight));
        }
        self.measure(state);
        true
    }
}

/// Counts a sender that waits, for as long as it waits.
struct Waiting<'queue, T>(&'queue Shared<T>);

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// The end that puts items in. The queue closes when the last sender is dropped.
pub struct Sender<T>(Arc<Shared<T>>);

/// The end that takes items out.
pub struct Receiver<T>(Arc<Shared<T>>);

/// Shuts a queue and changes its bounds from outside. Does not keep it open.
pub struct Valve<T>(Arc<Shared<T>>);

/// A queue with its two ends.
pub fn queue<T>(bounds: Bounds, meter: Arc<QueueMeter>) -> (Sender<T>, Receiver<T>) {
    let state = State {
        bounds,
        items: VecDeque::new(),
        bytes: 0,
        kept: (0, 0),
        senders: 1,
        waiting: 0,
        pressed: false,
        receiver: true,
        shut: false,
    };
    let (filled, drained, pressure, ended) = (Notify::new(), Notify::new(), Condvar::new(), Notify::new());
    let shared = Arc::new(Shared { state: Mutex::new(state), filled, drained, pressure, ended, meter });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T: Item> Sender<T> {
    /// Puts an item in; waits while the queue is full.
    pub async fn send(&self, item: T, weight: usize) -> Result<(), Closed> {
        let mut item = item;
        loop {
            let drained = self.0.drained.notified();
            let Some((back, _waiting)) = self.offer(item, weight)? else { return Ok(()) };
            item = back;
            drained.await;
        }
    }

    /// Puts an item in if there is room; gives it back if not, and counts as a sender that waits.
    fn offer(&self, item: T, weight: usize) -> Result<Option<(T, Waiting<'_, T>)>, Closed> {
        let mut state = self.0.lock();
        if !state.receiver || state.shut {
            return Err(Closed);
        }
        let (when_full, kept) = (state.bounds.when_full, item.worth() == Worth::Kept);
        let goes_at_once = kept && when_full != WhenFull::Wait;
        if goes_at_once && state.kept.0 >= state.bounds.items && self.0.undo(&mut state, &item) {
            return Ok(None);
        }
        while !goes_at_once && !Shared::has_room(&state, weight) {
            if !self.0.drop_oldest(&mut state) {
                if when_full.drops(item.worth()) {
                    self.0.meter.dropped.increment();
                    return Ok(None);
                }
                state.waiting += 1;
                state.pressed = true;
                self.0.pressure.notify_one();
                return Ok(Some((item, Waiting(&self.0))));
            }
        }
        if kept {
            state.kept = (state.kept.0 + 1, state.kept.1 + weight);
        }
        state.items.push_back(Held { item, weight, kept });
        state.bytes += weight;
        self.0.measure(&state);
        drop(state);
        self.0.filled.notify_one();
        Ok(None)
    }
}

impl<T> Sender<T> {
    /// How many items it has dropped so far, those of other queues that count with it included.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.meter.dropped.get()
    }

    /// A way to shut the queue.
    pub fn valve(&self) -> Valve<T> {
        Valve(Arc::clone(&self.0))
    }
}

impl<T> Valve<T> {
    /// Nothing more is taken in; what is there can still be taken out. Senders are told that the queue is closed.
    pub fn shut(&self) {
        self.0.lock().shut = true;
        self.0.filled.notify_one();
        self.0.pressure.notify_one();
        self.0.drained.notify_waiters();
        self.0.ended.notify_waiters();
    }

    /// Whether nothing more is taken in.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_shut()
    }

    /// Waits until nothing more is taken in.
    pub async fn closed(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.is_shut() {
                return;
            }
            ended.await;
        }
    }

    /// Changes what the queue may hold from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        let mut state = self.0.lock();
        state.bounds = bounds;
        self.0.relieve(state);
    }
}

impl<T> Clone for Valve<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.0.filled.notify_one();
            self.0.pressure.notify_one();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for an item, then takes as many as are there, at most `most`; none when the queue is empty and closed.
    pub async fn take(&mut self, most: usize) -> Option<Vec<T>> {
        loop {
            let filled = self.0.filled.notified();
            let (items, closed) = self.0.drain(most);
            if !items.is_empty() {
                return Some(items);
            }
            if closed {
                return None;
            }
            filled.await;
        }
    }

    /// As [`Receiver::take`], for a thread outside of the executor.
    pub fn take_blocking(&mut self, most: usize) -> Option<Vec<T>> {
        futures::executor::block_on(self.take(most))
    }

    /// Takes what is there, at most `most`, and says whether the senders have gone.
    pub fn take_now(&mut self, most: usize) -> (Vec<T>, bool) {
        self.0.drain(most)
    }

    /// Whether a sender waits that found no room. One that has been made room for and has not come to it yet does not count.
    pub fn is_blocked(&self) -> bool {
        self.0.lock().is_blocked()
    }

    /// Waits on this thread until a sender is blocked or the queue is closed, but no longer than this; says whether one is blocked.
    pub fn wait_until_blocked(&self, longest: Duration) -> bool {
        let is_quiet = |state: &mut State<T>| !state.is_blocked() && !state.is_closed();
        let waited = self.0.pressure.wait_timeout_while(self.0.lock(), longest, is_quiet);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_blocked() && !state.is_closed()
    }

    /// Whether the senders have gone; items may still be there.
    pub fn is_closed(&self) -> bool {
        self.0.lock().is_closed()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver = false;
        let items = std::mem::take(&mut state.items);
        state.bytes = 0;
        state.kept = (0, 0);
        self.0.measure(&state);
        drop(state);
        drop(items);
        self.0.drained.notify_waiters();
        self.0.ended.notify_waiters();
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
