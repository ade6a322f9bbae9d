//! Random lives of a queue: its bounds hold, nothing is counted twice, nobody waits for ever.

use super::*;

/// The numbers of a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn size(&mut self, most: usize) -> usize {
        usize::try_from(self.below(most as u64)).unwrap()
    }
}

const MODES: [WhenFull; 4] = [WhenFull::Wait, WhenFull::DropSamples, WhenFull::DropOldest, WhenFull::DropNewest];

#[tokio::test]
async fn what_may_be_dropped_is_taken_dropped_or_held_and_never_more_bytes_than_may_be() {
    for seed in 1..400 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let when_full = MODES[dice.size(4)];
        let mut bounds = Bounds { items: 1 + dice.size(20), bytes: 40 + dice.size(100), when_full };
        let meter = Arc::<QueueMeter>::default();
        let (sender, mut receiver) = queue(bounds, Arc::clone(&meter));
        let mut gone = 0;
        for _ in 0..300 {
            match dice.below(10) {
                0..6 => {
                    // Never more than half of the least that a queue has here; of what is never dropped, what weighs nothing.
                    let item = u32::try_from(dice.below(110)).unwrap();
                    let weight = if item < 100 { 1 + dice.size(20) } else { 0 };
                    let _may_wait_in_vain = futures::poll!(Box::pin(sender.send(item, weight)));
                }
                6 | 7 => {
                    let most = 1 + dice.size(8);
                    if let std::task::Poll::Ready(items) = futures::poll!(Box::pin(receiver.take(most))) {
                        gone += items.unwrap().iter().filter(|item| **item < 100).count();
                    }
                }
                8 => {
                    if dice.below(2) == 0 {
                        receiver.release();
                    } else {
                        gone += receiver.take_now(3).0.iter().filter(|item| **item < 100).count();
                    }
                }
                _ => {
                    bounds.bytes = 40 + dice.size(100);
                    sender.valve().set_bounds(bounds);
                    // What was there before may stay.
                    bounds.bytes = bounds.bytes.max(sender.valve().held());
                    sender.valve().set_bounds(bounds);
                }
            }
            let held = usize::try_from(meter.bytes_held.get()).unwrap();
            assert!(held <= bounds.bytes, "seed {seed}: {held} of {bounds:?}");
            assert_eq!(held, sender.valve().held());
            let droppable = u64::try_from(meter.droppable.get()).unwrap();
            assert_eq!(meter.offered.get(), gone as u64 + meter.dropped.get() + droppable, "seed {seed}");
        }
        let droppable = u64::try_from(meter.droppable.get()).unwrap();
        drop(receiver);
        assert_eq!((meter.abandoned.get(), meter.bytes_held.get(), meter.droppable.get()), (droppable, 0, 0), "seed {seed}");
    }
}

#[test]
fn whatever_its_bounds_and_the_weight_of_what_comes_all_of_it_comes_through_in_the_end() {
    for seed in 1..9 {
        let bounds = Bounds { items: 4, bytes: 10, when_full: WhenFull::Wait };
        let meter = Arc::<QueueMeter>::default();
        let (sender, mut receiver) = queue(bounds, Arc::clone(&meter));
        let senders: Vec<_> = (0..3)
            .map(|number| {
                let sender = sender.clone();
                let mut dice = Dice(seed * 31 + number);
                std::thread::spawn(move || {
                    for _ in 0..2000 {
                        // Many are heavier than the queue.
                        let weight = dice.size(20);
                        futures::executor::block_on(sender.send(1, weight)).unwrap();
                    }
                })
            })
            .collect();
        let valve = sender.valve();
        let narrow = std::thread::spawn(move || {
            let mut dice = Dice(seed);
            while !valve.is_closed() {
                valve.set_bounds(Bounds { bytes: dice.size(12), ..bounds });
                std::thread::yield_now();
            }
        });
        drop(sender);
        let mut dice = Dice(seed + 7);
        let mut taken = 0;
        while let Some(items) = receiver.take_blocking(1 + dice.size(3)) {
            taken += items.len();
            if dice.below(3) == 0 {
                receiver.release();
            }
            if dice.below(5) == 0 && receiver.wait_until_blocked(Duration::ZERO) {
                taken += receiver.take_now(1).0.len();
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
        drop(receiver);
        narrow.join().unwrap();
        assert_eq!((taken, meter.offered.get(), meter.dropped.get()), (6000, 6000, 0));
    }
}
