//! A queue bounded in items and in bytes, between tasks and threads. A full queue makes its senders wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluicebox_contract::Closed;
use sluicebox_contract::meter::QueueMeter;
use tokio::sync::Notify;

mod item;
mod state;

pub use item::{Bounds, Item, WhenFull, Worth};
use state::{Offered, State};

struct Shared<T> {
    state: Mutex<State<T>>,
    filled: Notify,
    drained: Notify,
    /// A sender waits, or nothing more comes: for a thread that waits for either.
    pressure: Condvar,
    /// The same, for a task.
    pressing: Notify,
    /// Nothing more is taken in. Not told by `drained`, which wakes whoever waits for it with each batch.
    ended: Notify,
    meter: Arc<QueueMeter>,
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

    /// Takes what is there, at most `most`, and says whether the senders have gone. What was taken before counts no more.
    fn drain(&self, most: usize) -> (Vec<T>, bool) {
        let mut state = self.lock();
        let released = state.release();
        let half = state.bounds.bytes / 2;
        let (items, weight) = state.take(most, half);
        state.work_on(weight);
        let closed = state.is_closed();
        self.measure(&state);
        if released > 0 || !items.is_empty() {
            self.relieve(state);
        }
        (items, closed)
    }

    /// Nobody finds room: whoever waits for that is told.
    fn press(&self) {
        self.pressure.notify_one();
        self.pressing.notify_waiters();
    }

    /// There may be room: whoever waits tries again.
    fn relieve(&self, mut state: MutexGuard<'_, State<T>>) {
        state.pressed = false;
        drop(state);
        self.drained.notify_waiters();
    }

    fn measure(&self, state: &State<T>) {
        self.meter.length.set(number(state.length()));
        self.meter.bytes.set(number(state.bytes()));
        self.meter.droppable.set(number(state.droppable()));
        self.meter.bytes_in_work.set(number(state.in_work()));
        self.meter.bytes_held.set(number(state.held()));
    }
}

fn number(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
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

/// What can be said to a queue, and asked of it, while it is at work.
pub trait Adjust {
    /// What it may hold.
    fn bounds(&self) -> Bounds;

    /// Bytes that it holds: of what waits and of what is in work.
    fn held(&self) -> usize;

    /// Changes what it may hold from now on. Of what may be dropped the oldest goes at once where it is too much, and is counted; all else
    /// stays until it is taken.
    fn set_bounds(&self, bounds: Bounds);
}

/// Shuts a queue and changes its bounds from outside. Does not keep it open.
pub struct Valve<T>(Arc<Shared<T>>);

/// A queue with its two ends.
pub fn queue<T>(bounds: Bounds, meter: Arc<QueueMeter>) -> (Sender<T>, Receiver<T>) {
    meter.most_bytes.set(number(bounds.bytes));
    let (state, filled, drained) = (Mutex::new(State::new(bounds)), Notify::new(), Notify::new());
    let (pressure, pressing, ended) = (Condvar::new(), Notify::new(), Notify::new());
    let shared = Arc::new(Shared { state, filled, drained, pressure, pressing, ended, meter });
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
        let counts = u64::from(item.worth() != Worth::Kept);
        let (offered, dropped) = state.offer(item, weight);
        self.0.meter.dropped.add(dropped);
        self.0.measure(&state);
        match offered {
            Offered::Taken => {
                self.0.meter.offered.add(counts);
                drop(state);
                self.0.filled.notify_one();
                Ok(None)
            }
            Offered::Dropped => {
                self.0.meter.offered.add(counts);
                Ok(None)
            }
            Offered::Back(item) => {
                state.waiting += 1;
                state.pressed = true;
                self.0.press();
                Ok(Some((item, Waiting(&self.0))))
            }
        }
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
        self.0.press();
        self.0.drained.notify_waiters();
        self.0.ended.notify_waiters();
    }

    /// Bytes that are held: those that wait and those in work.
    pub fn held(&self) -> usize {
        let state = self.0.lock();
        state.bytes().saturating_add(state.in_work())
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
}

impl<T: Item> Adjust for Valve<T> {
    fn bounds(&self) -> Bounds {
        self.0.lock().bounds
    }

    fn held(&self) -> usize {
        self.0.lock().held()
    }

    fn set_bounds(&self, bounds: Bounds) {
        let mut state = self.0.lock();
        state.bounds = bounds;
        self.0.meter.most_bytes.set(number(bounds.bytes));
        self.0.meter.dropped.add(state.shrink());
        self.0.measure(&state);
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
            self.0.press();
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for an item, then takes as many as are there, at most `most` and at most half of the bytes that the queue may hold, or else
    /// one; none when the queue is empty and closed.
    ///
    /// What it gives is in work, and counts towards the bytes of the queue until more is taken, it is released, or the receiver is
    /// dropped.
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

    /// Says what becomes of what there is no room for from now on.
    pub(crate) fn set_when_full(&self, when_full: WhenFull) {
        let mut state = self.0.lock();
        if state.bounds.when_full != when_full {
            state.bounds.when_full = when_full;
            self.0.relieve(state);
        }
    }

    /// As [`Receiver::take`], for a thread outside of the executor.
    pub fn take_blocking(&mut self, most: usize) -> Option<Vec<T>> {
        futures::executor::block_on(self.take(most))
    }

    /// Takes what is there, at most `most`, and says whether the senders have gone. That is never in work: it is for whoever lets go of
    /// it at once. What was in work before still is.
    pub fn take_now(&mut self, most: usize) -> (Vec<T>, bool) {
        let mut state = self.0.lock();
        let (items, _) = state.take(most, usize::MAX);
        let closed = state.is_closed();
        self.0.measure(&state);
        if !items.is_empty() {
            self.0.relieve(state);
        }
        (items, closed)
    }

    /// What was taken is done with, or kept elsewhere: it counts towards the bytes of the queue no more.
    pub fn release(&mut self) {
        let mut state = self.0.lock();
        if state.release() > 0 {
            self.0.measure(&state);
            self.0.relieve(state);
        }
    }

    /// Waits until a sender is blocked, as [`Receiver::is_blocked`] says, or the queue is closed.
    pub async fn pressed(&self) {
        loop {
            let pressing = self.0.pressing.notified();
            if self.is_blocked() || self.is_closed() {
                return;
            }
            pressing.await;
        }
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
        self.0.meter.abandoned.add(state.droppable() as u64);
        let items = state.clear();
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

#[cfg(test)]
#[path = "queue_model_tests.rs"]
mod model_tests;
