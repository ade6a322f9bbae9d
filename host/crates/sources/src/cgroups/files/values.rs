//! What one reading of a cgroup has found, each value in its slot. What is computed from several of them is, once all are there.

use sluicebox_contract::{Metric, MetricKind, Reading};

use super::parse::{Bad, Limit, Number};

/// Where a value is kept: that of a metric, or of something that metrics are computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u8);

const SLOTS: usize = Metric::COUNT + 3;

impl Slot {
    /// The part of the page cache that is given back first.
    pub(crate) const INACTIVE_FILE: Self = Self::further(0);
    /// Of version 1: memory and swap space together.
    pub(crate) const MEMORY_AND_SWAP: Self = Self::further(1);
    /// How much that may be.
    pub(crate) const MEMORY_AND_SWAP_LIMIT: Self = Self::further(2);

    pub(crate) const fn of(metric: Metric) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the sets below would not compile with more than 64 slots")]
        Self(metric as u8)
    }

    const fn further(number: u8) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the sets below would not compile with more than 64 slots")]
        Self(Metric::COUNT as u8 + number)
    }

    /// The metric that is kept here, or computed from what is.
    pub(crate) fn metric(self) -> Option<Metric> {
        match self {
            Self::INACTIVE_FILE => Some(Metric::MemoryWorkingSet),
            Self::MEMORY_AND_SWAP => Some(Metric::MemorySwapUsage),
            Self::MEMORY_AND_SWAP_LIMIT => Some(Metric::MemorySwapLimit),
            slot => Metric::all().nth(slot.place()),
        }
    }

    fn place(self) -> usize {
        usize::from(self.0)
    }

    fn bit(self) -> u64 {
        1_u64.checked_shl(u32::from(self.0)).unwrap_or_default()
    }
}

const _: () = assert!(SLOTS <= 64, "a set of slots is one number");

/// What was found so far.
pub(crate) struct Values {
    numbers: [u64; SLOTS],
    /// Which of them are there, as a set of bits.
    there: u64,
    /// Which limits are not set.
    unset: u64,
    /// How many stood there and were no numbers.
    bad: u32,
}

impl Values {
    pub(crate) fn new() -> Self {
        Self { numbers: [0; SLOTS], there: 0, unset: 0, bad: 0 }
    }

    /// Puts a value in its place.
    pub(crate) fn put(&mut self, slot: Slot, number: Number) {
        match (number, self.numbers.get_mut(slot.place())) {
            (Ok(number), Some(value)) => {
                *value = number;
                self.there |= slot.bit();
            }
            _ => self.bad += 1,
        }
    }

    /// Puts a limit in its place.
    pub(crate) fn put_limit(&mut self, slot: Slot, limit: Result<Limit, Bad>) {
        match limit {
            Ok(Limit::Set(number)) => self.put(slot, Ok(number)),
            Ok(Limit::Unset) => self.unset |= slot.bit(),
            Err(bad) => self.put(slot, Err(bad)),
        }
    }

    /// How many values were no numbers since it was last asked.
    pub(crate) fn take_bad(&mut self) -> u32 {
        std::mem::take(&mut self.bad)
    }

    /// Whether there is something for this slot.
    pub(crate) fn has(&self, slot: Slot) -> bool {
        (self.there | self.unset) & slot.bit() != 0
    }

    fn get(&self, slot: Slot) -> Option<u64> {
        if self.there & slot.bit() == 0 { None } else { self.numbers.get(slot.place()).copied() }
    }

    fn limit(&self, slot: Slot) -> Option<Limit> {
        if self.unset & slot.bit() != 0 { Some(Limit::Unset) } else { self.get(slot).map(Limit::Set) }
    }

    /// What is computed from several values.
    pub(crate) fn derive(&mut self) {
        let usage = self.get(Slot::of(Metric::MemoryUsage));
        if let (Some(usage), Some(inactive)) = (usage, self.get(Slot::INACTIVE_FILE)) {
            self.put(Slot::of(Metric::MemoryWorkingSet), Ok(usage.saturating_sub(inactive)));
        }
        // The statistics tell it exactly on most kernels; this is the difference of two files, which were read one after the other.
        let swap = Slot::of(Metric::MemorySwapUsage);
        if let (false, Some(usage), Some(both)) = (self.has(swap), usage, self.get(Slot::MEMORY_AND_SWAP)) {
            self.put(swap, Ok(both.saturating_sub(usage)));
        }
        let swap_limit = Slot::of(Metric::MemorySwapLimit);
        match (self.limit(Slot::MEMORY_AND_SWAP_LIMIT), self.limit(Slot::of(Metric::MemoryLimit))) {
            (Some(Limit::Unset), Some(_)) => self.put_limit(swap_limit, Ok(Limit::Unset)),
            (Some(Limit::Set(both)), Some(Limit::Set(memory))) => self.put(swap_limit, Ok(both.saturating_sub(memory))),
            // The kernel refuses to set the limit of both together below that of the memory alone.
            (Some(Limit::Set(_)), Some(Limit::Unset)) | (None, _) | (_, None) => {}
        }
    }

    /// What is there of each metric, in the order of the metrics; `counted` makes the reading of a counter.
    pub(crate) fn readings(&self, mut counted: impl FnMut(Metric, u64) -> Reading) -> impl Iterator<Item = (Metric, Reading)> {
        Metric::all().filter(|metric| self.has(Slot::of(*metric))).filter_map(move |metric| {
            let reading = match (self.limit(Slot::of(metric))?, metric.kind()) {
                (Limit::Unset, _) => Reading::Unlimited,
                (Limit::Set(total), MetricKind::Counter) => counted(metric, total),
                (Limit::Set(value), MetricKind::Gauge | MetricKind::Limit) => Reading::Value(value),
            };
            Some((metric, reading))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(values: &[(Slot, &str)]) -> Vec<(Metric, Reading)> {
        let mut all = Values::new();
        for (slot, value) in values {
            all.put_limit(*slot, super::super::parse::limit(value.as_bytes()));
        }
        all.derive();
        all.readings(|_, total| Reading::Counter { total, increase: None }).collect()
    }

    const USAGE: Slot = Slot::of(Metric::MemoryUsage);
    const LIMIT: Slot = Slot::of(Metric::MemoryLimit);

    #[test]
    fn the_working_set_is_never_below_nothing() {
        let set = |usage, inactive| derived(&[(USAGE, usage), (Slot::INACTIVE_FILE, inactive)]).pop();
        assert_eq!(set("100", "40"), Some((Metric::MemoryWorkingSet, Reading::Value(60))));
        assert_eq!(set("40", "100"), Some((Metric::MemoryWorkingSet, Reading::Value(0))));
        assert_eq!(set("40", "x"), Some((Metric::MemoryUsage, Reading::Value(40))), "half of what it needs is not enough");
    }

    #[test]
    fn swap_is_what_both_are_more_than_the_memory() {
        let swap = |stated: &str| {
            let mut values = vec![(USAGE, "100"), (Slot::MEMORY_AND_SWAP, "130")];
            values.extend((!stated.is_empty()).then_some((Slot::of(Metric::MemorySwapUsage), stated)));
            derived(&values).pop()
        };
        assert_eq!(swap(""), Some((Metric::MemorySwapUsage, Reading::Value(30))));
        assert_eq!(swap("7"), Some((Metric::MemorySwapUsage, Reading::Value(7))), "what is told needs no computing");
    }

    #[test]
    fn a_limit_of_both_is_one_of_swap() {
        let limit = |memory, both| derived(&[(LIMIT, memory), (Slot::MEMORY_AND_SWAP_LIMIT, both)]).into_iter().nth(1);
        assert_eq!(limit("100", "300"), Some((Metric::MemorySwapLimit, Reading::Value(200))));
        assert_eq!(limit("100", "max"), Some((Metric::MemorySwapLimit, Reading::Unlimited)));
        assert_eq!(limit("max", "max"), Some((Metric::MemorySwapLimit, Reading::Unlimited)));
        assert_eq!(limit("max", "300"), None);
    }
}
