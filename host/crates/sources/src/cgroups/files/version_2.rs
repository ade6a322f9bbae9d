//! The files of a cgroup of version 2, the unified hierarchy.

use sluicebox_contract::Metric as M;

use super::values::Slot;
use super::{Content, Group, Home, Key, Row, Scale, Whose};

/// In the order in which they are read.
pub(super) static ROWS: &[Row] = &[
    row("cpu.stat", Group::Cpu, Content::Pairs(CPU), "the kernel does not account for processor time"),
    row("memory.current", Group::Memory, Content::Single(Slot::of(M::MemoryUsage)), NO_MEMORY),
    row("memory.max", Group::Memory, Content::Limit(Slot::of(M::MemoryLimit)), NO_MEMORY),
    row("memory.swap.current", Group::Memory, Content::Single(Slot::of(M::MemorySwapUsage)), NO_SWAP),
    row("memory.swap.max", Group::Memory, Content::Limit(Slot::of(M::MemorySwapLimit)), NO_SWAP),
    row("memory.stat", Group::Memory, Content::Pairs(MEMORY), NO_MEMORY),
    row("memory.events", Group::Memory, Content::Pairs(MEMORY_EVENTS), NO_MEMORY),
    row("pids.current", Group::Pids, Content::Single(Slot::of(M::PidsCurrent)), NO_PIDS),
    row("pids.max", Group::Pids, Content::Limit(Slot::of(M::PidsLimit)), NO_PIDS),
    row(
        "io.stat",
        Group::Io,
        Content::Fields(IO),
        "the io controller is not enabled for these cgroups (cgroup.subtree_control of the one above)",
    ),
    row("cpu.pressure", Group::Pressure, pressure(M::CpuPressureSome, M::CpuPressureFull), NO_PRESSURE),
    row("memory.pressure", Group::Pressure, pressure(M::MemoryPressureSome, M::MemoryPressureFull), NO_PRESSURE),
    row("io.pressure", Group::Pressure, pressure(M::IoPressureSome, M::IoPressureFull), NO_PRESSURE),
];

const NO_MEMORY: &str = "the memory controller is not enabled for these cgroups (cgroup.subtree_control of the one above)";
const NO_SWAP: &str = "the kernel has no swap accounting (swapaccount=1)";
const NO_PIDS: &str = "the pids controller is not enabled for these cgroups (cgroup.subtree_control of the one above)";
const NO_PRESSURE: &str = "the kernel does not measure pressure (psi=1)";

const CPU: &[Key] = &[
    key("usage_usec", M::CpuUsage, Scale::Microseconds),
    key("user_usec", M::CpuUser, Scale::Microseconds),
    key("system_usec", M::CpuSystem, Scale::Microseconds),
    key("nr_periods", M::CpuPeriods, Scale::Same),
    key("nr_throttled", M::CpuThrottledPeriods, Scale::Same),
    key("throttled_usec", M::CpuThrottledTime, Scale::Microseconds),
];

const MEMORY: &[Key] = &[
    key("anon", M::MemoryAnonymous, Scale::Same),
    key("file", M::MemoryFile, Scale::Same),
    key("kernel_stack", M::MemoryKernelStack, Scale::Same),
    key("pagetables", M::MemoryPageTables, Scale::Same),
    Key { name: b"inactive_file", slot: Slot::INACTIVE_FILE, scale: Scale::Same },
    key("slab_reclaimable", M::MemorySlabReclaimable, Scale::Same),
    // Most kernels do not tell these of a cgroup.
    key("pswpin", M::MemorySwappedIn, Scale::Same),
    key("pswpout", M::MemorySwappedOut, Scale::Same),
];

/// With those of the cgroups below; `memory.events.local` has them without.
const MEMORY_EVENTS: &[Key] = &[key("oom_kill", M::MemoryOomKills, Scale::Same)];

const IO: &[Key] = &[
    key("rbytes", M::IoReadBytes, Scale::Same),
    key("wbytes", M::IoWrittenBytes, Scale::Same),
    key("rios", M::IoReads, Scale::Same),
    key("wios", M::IoWrites, Scale::Same),
];

const fn row(file: &'static str, group: Group, content: Content, missing_because: &'static str) -> Row {
    Row { file, home: Home::Unified, whose: Whose::All, group, content, otherwise: None, missing_because }
}

const fn key(name: &'static str, metric: M, scale: Scale) -> Key {
    Key { name: name.as_bytes(), slot: Slot::of(metric), scale }
}

const fn pressure(some: M, full: M) -> Content {
    Content::Pressure { some: Slot::of(some), full: Slot::of(full) }
}
