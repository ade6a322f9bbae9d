//! What is measured of pods, containers and other cgroups. The one table of names, kinds and units; modules are told it.

use serde::{Deserialize, Serialize};

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Processor time, all of it.
    CpuUsage,
    /// Processor time outside of the kernel.
    CpuUser,
    /// Processor time in the kernel.
    CpuSystem,
    /// Periods of the processor's bandwidth control that have passed.
    CpuPeriods,
    /// Those of them in which tasks were held back.
    CpuThrottledPeriods,
    /// Time for which tasks were held back.
    CpuThrottledTime,
    /// Time for which some task waited for a processor.
    CpuPressureSome,
    /// Time for which all tasks did.
    CpuPressureFull,
    /// Memory charged, page cache included.
    MemoryUsage,
    /// How much that may be.
    MemoryLimit,
    /// Usage without the inactive part of the page cache, as the kubelet computes it.
    MemoryWorkingSet,
    /// Swap space in use.
    MemorySwapUsage,
    /// How much that may be.
    MemorySwapLimit,
    /// Anonymous memory.
    MemoryAnonymous,
    /// Memory that caches files.
    MemoryFile,
    /// Memory of kernel stacks.
    MemoryKernelStack,
    /// Memory of page tables.
    MemoryPageTables,
    /// Memory of kernel objects that could be given back.
    MemorySlabReclaimable,
    /// Pages read from swap space.
    MemorySwappedIn,
    /// Pages written to swap space.
    MemorySwappedOut,
    /// Processes that were killed because memory was short.
    MemoryOomKills,
    /// Time for which some task waited for memory.
    MemoryPressureSome,
    /// Time for which all tasks did.
    MemoryPressureFull,
    /// Processes and threads.
    PidsCurrent,
    /// How many there may be.
    PidsLimit,
    /// Bytes read from block devices.
    IoReadBytes,
    /// Bytes written to block devices.
    IoWrittenBytes,
    /// Reads from block devices.
    IoReads,
    /// Writes to block devices.
    IoWrites,
    /// Time for which some task waited for input or output.
    IoPressureSome,
    /// Time for which all tasks did.
    IoPressureFull,
    /// Bytes that have come in through the interfaces of the network namespace, the loopback one left out; likewise the others below.
    NetworkReceivedBytes,
    /// Bytes that went out.
    NetworkTransmittedBytes,
    /// Packets that have come in.
    NetworkReceivedPackets,
    /// Packets that went out.
    NetworkTransmittedPackets,
    /// Errors of packets on their way in.
    NetworkReceivedErrors,
    /// Errors of packets on their way out.
    NetworkTransmittedErrors,
    /// Packets that were dropped on their way in.
    NetworkReceivedDropped,
    /// Packets that were dropped on their way out.
    NetworkTransmittedDropped,
}

/// What the readings of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A total that only grows, until what is measured begins anew.
    Counter,
    /// How much it is at the moment.
    Gauge,
    /// How much it may be at most.
    Limit,
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricUnit {
    /// Nanoseconds.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// Pages of memory.
    Pages,
    /// Things.
    Count,
}

impl MetricUnit {
    /// As modules are told it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "nanoseconds",
            Self::Bytes => "bytes",
            Self::Pages => "pages",
            Self::Count => "count",
        }
    }
}

/// Every metric with its name as modules are told it. In the order of the metrics, which is that of the samples of a subject.
const TABLE: [(Metric, &str, MetricKind, MetricUnit); 39] = {
    use Metric as M;
    use MetricKind::{Counter, Gauge, Limit};
    use MetricUnit::{Bytes, Count, Nanoseconds, Pages};
    [
        (M::CpuUsage, "cpu-usage", Counter, Nanoseconds),
        (M::CpuUser, "cpu-user", Counter, Nanoseconds),
        (M::CpuSystem, "cpu-system", Counter, Nanoseconds),
        (M::CpuPeriods, "cpu-periods", Counter, Count),
        (M::CpuThrottledPeriods, "cpu-throttled-periods", Counter, Count),
        (M::CpuThrottledTime, "cpu-throttled-time", Counter, Nanoseconds),
        (M::CpuPressureSome, "cpu-pressure-some", Counter, Nanoseconds),
        (M::CpuPressureFull, "cpu-pressure-full", Counter, Nanoseconds),
        (M::MemoryUsage, "memory-usage", Gauge, Bytes),
        (M::MemoryLimit, "memory-limit", Limit, Bytes),
        (M::MemoryWorkingSet, "memory-working-set", Gauge, Bytes),
        (M::MemorySwapUsage, "memory-swap-usage", Gauge, Bytes),
        (M::MemorySwapLimit, "memory-swap-limit", Limit, Bytes),
        (M::MemoryAnonymous, "memory-anonymous", Gauge, Bytes),
        (M::MemoryFile, "memory-file", Gauge, Bytes),
        (M::MemoryKernelStack, "memory-kernel-stack", Gauge, Bytes),
        (M::MemoryPageTables, "memory-page-tables", Gauge, Bytes),
        (M::MemorySlabReclaimable, "memory-slab-reclaimable", Gauge, Bytes),
        (M::MemorySwappedIn, "memory-swapped-in", Counter, Pages),
        (M::MemorySwappedOut, "memory-swapped-out", Counter, Pages),
        (M::MemoryOomKills, "memory-oom-kills", Counter, Count),
        (M::MemoryPressureSome, "memory-pressure-some", Counter, Nanoseconds),
        (M::MemoryPressureFull, "memory-pressure-full", Counter, Nanoseconds),
        (M::PidsCurrent, "pids-current", Gauge, Count),
        (M::PidsLimit, "pids-limit", Limit, Count),
        (M::IoReadBytes, "io-read-bytes", Counter, Bytes),
        (M::IoWrittenBytes, "io-written-bytes", Counter, Bytes),
        (M::IoReads, "io-reads", Counter, Count),
        (M::IoWrites, "io-writes", Counter, Count),
        (M::IoPressureSome, "io-pressure-some", Counter, Nanoseconds),
        (M::IoPressureFull, "io-pressure-full", Counter, Nanoseconds),
        (M::NetworkReceivedBytes, "network-received-bytes", Counter, Bytes),
        (M::NetworkTransmittedBytes, "network-transmitted-bytes", Counter, Bytes),
        (M::NetworkReceivedPackets, "network-received-packets", Counter, Count),
        (M::NetworkTransmittedPackets, "network-transmitted-packets", Counter, Count),
        (M::NetworkReceivedErrors, "network-received-errors", Counter, Count),
        (M::NetworkTransmittedErrors, "network-transmitted-errors", Counter, Count),
        (M::NetworkReceivedDropped, "network-received-dropped", Counter, Count),
        (M::NetworkTransmittedDropped, "network-transmitted-dropped", Counter, Count),
    ]
};

impl Metric {
    /// How many there are.
    pub const COUNT: usize = TABLE.len();

    /// All of them, in their order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(metric, ..)| *metric)
    }

    /// Its place in the order, from 0; also what names it at the border to modules.
    pub fn index(self) -> usize {
        self as usize
    }

    /// As modules are told it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// What its readings are.
    pub fn kind(self) -> MetricKind {
        self.row().2
    }

    /// What it is counted in.
    pub fn unit(self) -> MetricUnit {
        self.row().3
    }

    fn row(self) -> (Self, &'static str, MetricKind, MetricUnit) {
        #[allow(clippy::indexing_slicing, reason = "a test holds every metric against its row")]
        TABLE[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_stands_in_the_row_of_its_number() {
        for (index, metric) in Metric::all().enumerate() {
            assert_eq!(metric.index(), index);
        }
        assert_eq!(Metric::NetworkTransmittedDropped.index(), Metric::COUNT - 1, "no metric is missing at the end");
    }

    #[test]
    fn the_name_is_that_of_its_json() {
        for metric in Metric::all() {
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("{:?}", metric.name()));
        }
    }
}
