//! A queue bounded in items and in bytes, between tasks and threads. A full queue makes its senders wait.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluicebox_contract::Closed;
use sluicebox_contract::meter::QueueMeter;
use tokio::sync::Notify;

/// What a queue may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Items.
    pub items: usize,
    /// Bytes, as the senders weigh them. A single heavier item passes when the queue is empty.
    pub bytes: usize,
    /// What happens when an item does not fit.
    pub when_full: WhenFull,
}

/// What happens when an item does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Its sender waits.
    #[default]
    Wait,
    /// The oldest items that may be dropped make room, and are counted. The sender waits only when there is none.
    DropOldest,
}

/// What a queue can hold.
pub trait Item {
    /// Whether it may be dropped when the queue is full and is to drop its oldest.
    fn may_be_dropped(&self) -> bool;
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    senders: usize,
    /// Senders that wait for room.
    waiting: usize,
    receiver: bool,
}

struct Shared<T> {
    bounds: Bounds,
    state: Mutex<State<T>>,
    filled: Notify,
    drained: Notify,
    meter: Arc<QueueMeter>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held, so a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_room(&self, state: &State<T>, weight: usize) -> bool {
        let fits = state.items.len() < self.bounds.items && state.bytes.saturating_add(weight) <= self.bounds.bytes;
        fits || state.items.is_empty()
    }

    /// Takes what is there, at most `most`, and says whether the senders have gone.
    fn drain(&self, most: usize) -> (Vec<T>, bool) {
        let mut state = self.lock();
        let count = state.items.len().min(most);
        let mut items = Vec::with_capacity(count);
        let mut weight = 0;
        for (item, bytes) in state.items.drain(..count) {
            items.push(item);
            weight += bytes;
        }
        state.bytes -= weight;
        let closed = state.senders == 0;
        self.measure(&state);
        drop(state);
        if count > 0 {
            self.drained.notify_waiters();
        }
        (items, closed)
    }

    fn measure(&self, state: &State<T>) {
        self.meter.length.set(i64::try_from(state.items.len()).unwrap_or(i64::MAX));
        self.meter.bytes.set(i64::try_from(state.bytes).unwrap_or(i64::MAX));
    }
}

impl<T: Item> Shared<T> {
    /// Drops the oldest item that may be dropped; says whether there was one.
    fn drop_oldest(&self, state: &mut State<T>) -> bool {
        let oldest = state.items.iter().position(|(item, _)| item.may_be_dropped());
        let Some((_, weight)) = oldest.and_then(|oldest| state.items.remove(oldest)) else { return false };
        state.bytes -= weight;
        self.meter.dropped.increment();
        true
    }
}

/// Counts a sender that waits, for as long as it waits.
struct Waiting<'queue, T>(&'queue Shared<T>);

impl<'queue, T> Waiting<'queue, T> {
    fn new(shared: &'queue Shared<T>) -> Self {
        shared.lock().waiting += 1;
        Self(shared)
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// The end that puts items in. The queue closes when the last sender is dropped.
pub struct Sender<T>(Arc<Shared<T>>);

/// The end that takes items out.
pub struct Receiver<T>(Arc<Shared<T>>);

/// A queue with its two ends.
pub fn queue<T>(bounds: Bounds, meter: Arc<QueueMeter>) -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), bytes: 0, senders: 1, waiting: 0, receiver: true };
    let shared = Arc::new(Shared { bounds, state: Mutex::new(state), filled: Notify::new(), drained: Notify::new(), meter });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T: Item> Sender<T> {
    /// Puts an item in; waits while the queue is full.
    pub async fn send(&self, item: T, weight: usize) -> Result<(), Closed> {
        let mut item = item;
        loop {
            let drained = self.0.drained.notified();
            match self.offer(item, weight)? {
                None => return Ok(()),
                Some(back) => item = back,
            }
            let _waiting = Waiting::new(&self.0);
            drained.await;
        }
    }

    /// Puts an item in if there is room; gives it back if not.
    fn offer(&self, item: T, weight: usize) -> Result<Option<T>, Closed> {
        let mut state = self.0.lock();
        if !state.receiver {
            return Err(Closed);
        }
        while !self.0.has_room(&state, weight) {
            if self.0.bounds.when_full == WhenFull::Wait || !self.0.drop_oldest(&mut state) {
                return Ok(Some(item));
            }
        }
        state.items.push_back((item, weight));
        state.bytes += weight;
        self.0.measure(&state);
        drop(state);
        self.0.filled.notify_one();
        Ok(None)
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

    /// Whether a sender waits for room.
    pub fn is_blocked(&self) -> bool {
        self.0.lock().waiting > 0
    }

    /// Whether the senders have gone; items may still be there.
    pub fn is_closed(&self) -> bool {
        self.0.lock().senders == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver = false;
        let items = std::mem::take(&mut state.items);
        state.bytes = 0;
        self.0.measure(&state);
        drop(state);
        drop(items);
        self.0.drained.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Item for u32 {
        fn may_be_dropped(&self) -> bool {
            *self < 100
        }
    }

    fn small(items: usize, bytes: usize) -> (Sender<u32>, Receiver<u32>) {
        queue(Bounds { items, bytes, when_full: WhenFull::Wait }, Arc::default())
    }

    #[tokio::test]
    async fn the_oldest_that_may_go_makes_room_and_is_counted() {
        let meter = Arc::<QueueMeter>::default();
        let (sender, mut receiver) = queue(Bounds { items: 3, bytes: 100, when_full: WhenFull::DropOldest }, Arc::clone(&meter));
        for number in [1, 100, 2, 3, 4] {
            sender.send(number, 1).await.unwrap();
        }
        assert_eq!(receiver.take(9).await, Some(vec![100, 3, 4]));
        assert_eq!((meter.dropped.get(), meter.bytes.get()), (2, 0));
    }

    #[tokio::test]
    async fn a_queue_in_which_nothing_may_go_makes_its_sender_wait() {
        let (sender, mut receiver) = queue(Bounds { items: 1, bytes: 100, when_full: WhenFull::DropOldest }, Arc::default());
        sender.send(100, 1).await.unwrap();
        let mut second = Box::pin(sender.send(1, 1));
        assert!(futures::poll!(&mut second).is_pending());
        assert!(receiver.is_blocked());
        drop(second);
        assert!(!receiver.is_blocked(), "a sender that has given up waits no more");
        assert_eq!(receiver.take(9).await, Some(vec![100]));
    }

    #[tokio::test]
    async fn items_come_out_in_the_order_in_which_they_went_in() {
        let (sender, mut receiver) = small(10, 100);
        for number in 0..5 {
            sender.send(number, 1).await.unwrap();
        }
        assert_eq!(receiver.take(3).await, Some(vec![0, 1, 2]));
        assert_eq!(receiver.take(3).await, Some(vec![3, 4]));
        drop(sender);
        assert_eq!(receiver.take(3).await, None);
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait_by_items_and_by_bytes() {
        for (sender, mut receiver) in [small(1, 100), small(10, 3)] {
            sender.send(1, 2).await.unwrap();
            let mut second = Box::pin(sender.send(2, 2));
            assert!(futures::poll!(&mut second).is_pending());
            assert_eq!(receiver.take(1).await, Some(vec![1]));
            second.await.unwrap();
            assert_eq!(receiver.take(1).await, Some(vec![2]));
        }
    }

    #[tokio::test]
    async fn an_item_heavier_than_the_queue_passes_alone() {
        let (sender, mut receiver) = small(10, 3);
        sender.send(1, 1000).await.unwrap();
        assert!(futures::poll!(Box::pin(sender.send(2, 1))).is_pending());
        assert_eq!(receiver.take(9).await, Some(vec![1]));
    }

    #[tokio::test]
    async fn a_sender_without_receiver_is_told_so_even_while_it_waits() {
        let (sender, receiver) = small(1, 100);
        sender.send(1, 1).await.unwrap();
        let mut second = Box::pin(sender.send(2, 1));
        assert!(futures::poll!(&mut second).is_pending());
        drop(receiver);
        assert_eq!(second.await, Err(Closed));
    }

    #[test]
    fn a_thread_waits_for_a_sender_on_another_thread() {
        let (sender, mut receiver) = small(4, 100);
        let thread = std::thread::spawn(move || {
            let mut taken = Vec::new();
            while let Some(items) = receiver.take_blocking(2) {
                taken.extend(items);
            }
            taken
        });
        for number in 0..1000 {
            futures::executor::block_on(sender.send(number, 1)).unwrap();
        }
        drop(sender);
        assert_eq!(thread.join().unwrap(), (0..1000).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_meter_shows_what_is_held() {
        let meter = Arc::<QueueMeter>::default();
        let (sender, mut receiver) = queue(Bounds { items: 4, bytes: 100, when_full: WhenFull::Wait }, Arc::clone(&meter));
        sender.send(1, 7).await.unwrap();
        sender.send(2, 5).await.unwrap();
        assert_eq!((meter.length.get(), meter.bytes.get()), (2, 12));
        receiver.take(1).await;
        assert_eq!((meter.length.get(), meter.bytes.get()), (1, 5));
    }
}
