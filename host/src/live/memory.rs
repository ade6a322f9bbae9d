//! The memory for queues while lanes come and go: what one queue is to have more, another has let go of before.

use sluicebox_pipeline::{Adjust, Bounds};

use super::Live;
use super::difference::begins_anew;
use crate::plan::shares::{self, Cost};

/// A queue that runs.
struct Running<'queue> {
    queue: &'queue dyn Adjust,
    cost: Cost,
    /// What it is to have.
    wanted: Bounds,
    /// What it has, or holds already.
    has: usize,
}

impl Live {
    /// Gives each queue its share: at once where it is less than before, else as far as what others have held is free.
    pub(super) fn share_out(&mut self) {
        let parts = std::sync::Arc::clone(&self.parts);
        let mut lanes: Vec<_> = self.lanes.values().filter(|lane| lane.is_configured()).map(|lane| lane.plan.clone()).collect();
        let mut sinks = parts.plan.sinks.clone();
        shares::share_out(parts.plan.queues, &mut lanes, &mut sinks);
        for plan in lanes {
            if let Some(lane) = self.lanes.get_mut(&plan.name) {
                lane.plan.bounds = plan.bounds;
            }
        }
        let of_lanes = self.lanes.values().filter_map(|lane| {
            let running = lane.running.as_ref()?;
            let queue = running.control.queue();
            let wanted = if begins_anew(&running.tried.lane, &lane.plan) {
                // All else is for the one that begins.
                Bounds { bytes: lane.plan.bounds.bytes, ..queue.bounds() }
            } else {
                lane.plan.bounds
            };
            Some((queue, Cost::LANE, wanted))
        });
        let of_sinks = sinks.iter().filter_map(|sink| Some((parts.sink_queues.get(&sink.name)?.as_ref(), sink)));
        let of_sinks = of_sinks.map(|(queue, sink)| (queue as &dyn Adjust, Cost::of(sink), sink.bounds));
        let leaving: usize = self.leaving.iter().map(|(_, control)| control.queue().held()).sum();
        let all = parts.plan.queues.saturating_sub(shares::letters(parts.plan.queues));
        adjust(of_lanes.chain(of_sinks).collect(), all.saturating_sub(leaving));
    }
}

/// Narrows first, and widens with what is free then.
fn adjust(queues: Vec<(&dyn Adjust, Cost, Bounds)>, all: usize) {
    let mut free = all;
    let mut narrowed = Vec::with_capacity(queues.len());
    for (queue, cost, wanted) in queues {
        let bytes = queue.bounds().bytes.min(wanted.bytes);
        set(queue, Bounds { bytes, ..wanted });
        // From here on it holds no more than that, or than it holds now.
        let has = bytes.max(queue.held());
        free = free.saturating_sub(cost.take(has));
        narrowed.push(Running { queue, cost, wanted, has });
    }
    for Running { queue, cost, wanted, has } in narrowed {
        let bytes = wanted.bytes.min(has.max(cost.give(cost.take(has).saturating_add(free))));
        free = free.saturating_sub(cost.take(bytes.max(has)).saturating_sub(cost.take(has)));
        set(queue, Bounds { bytes, ..wanted });
    }
}

/// Whoever waits for room is woken only where something has changed.
fn set(queue: &dyn Adjust, bounds: Bounds) {
    if queue.bounds() != bounds {
        queue.set_bounds(bounds);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sluicebox_pipeline::WhenFull;

    use super::*;

    struct Fake {
        bytes: Cell<usize>,
        held: Cell<usize>,
    }

    impl Adjust for Fake {
        fn bounds(&self) -> Bounds {
            bounds(self.bytes.get())
        }

        fn held(&self) -> usize {
            self.held.get()
        }

        fn set_bounds(&self, bounds: Bounds) {
            self.bytes.set(bounds.bytes);
        }
    }

    fn bounds(bytes: usize) -> Bounds {
        Bounds { items: 1, bytes, when_full: WhenFull::Wait }
    }

    fn shared_out<const N: usize>(queues: &[Fake; N], wanted: [usize; N], all: usize) -> [usize; N] {
        let each = queues.iter().zip(wanted).map(|(queue, wanted)| (queue as &dyn Adjust, Cost::LANE, bounds(wanted)));
        adjust(each.collect(), all);
        std::array::from_fn(|index| queues[index].bytes.get())
    }

    #[test]
    fn what_one_queue_holds_another_does_not_get() {
        let fake = |bytes, held| Fake { bytes: Cell::new(bytes), held: Cell::new(held) };
        let queues = [fake(60, 60), fake(0, 0), fake(40, 10)];
        assert_eq!(shared_out(&queues, [30, 40, 30], 100), [30, 10, 30], "the first holds 60 still");
        queues[0].held.set(45);
        assert_eq!(shared_out(&queues, [30, 40, 30], 100), [30, 25, 30]);
        queues[0].held.set(5);
        assert_eq!(shared_out(&queues, [30, 40, 30], 100), [30, 40, 30]);
        queues[2].held.set(30);
        assert_eq!(shared_out(&queues, [50, 40, 10], 100), [30, 40, 10], "what the last one holds is not free");
    }
}
