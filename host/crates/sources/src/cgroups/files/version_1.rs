//! The files of a cgroup of version 1. Each controller has a hierarchy of its own.
//!
//! Some values are without those of the cgroups below. All that a pod uses is used by the cgroups of its containers: of a pod such a value
//! would be zero whatever happens in it, so that it is left out. Of a container it is right, unless it makes cgroups itself.

use sluicebox_contract::Metric as M;

use super::values::Slot;
use super::{Content, Group, Home, Key, Row, Scale, Whose};
use crate::cgroups::hierarchy::Controller;

/// In the order in which they are read.
pub(super) static ROWS: &[Row] = &[
    row("cpu.stat", Controller::Cpu, Group::Cpu, Content::Pairs(CPU), None, "the kernel has no bandwidth control of processors"),
    row("cpuacct.usage", Controller::Cpuacct, Group::Cpu, single(M::CpuUsage), None, NOT_TOLD),
    row("cpuacct.usage_user", Controller::Cpuacct, Group::Cpu, single(M::CpuUser), Some(&USER), NOT_TOLD),
    row("cpuacct.usage_sys", Controller::Cpuacct, Group::Cpu, single(M::CpuSystem), Some(&SYSTEM), NOT_TOLD),
    row("memory.usage_in_bytes", Controller::Memory, Group::Memory, single(M::MemoryUsage), None, NOT_TOLD),
    row("memory.limit_in_bytes", Controller::Memory, Group::Memory, limit(Slot::of(M::MemoryLimit)), None, NOT_TOLD),
    row("memory.memsw.usage_in_bytes", Controller::Memory, Group::Memory, Content::Single(Slot::MEMORY_AND_SWAP), None, NO_SWAP),
    row("memory.memsw.limit_in_bytes", Controller::Memory, Group::Memory, limit(Slot::MEMORY_AND_SWAP_LIMIT), None, NO_SWAP),
    of(Whose::Others, row("memory.stat", Controller::Memory, Group::Memory, Content::Pairs(MEMORY), None, NOT_TOLD)),
    of(Whose::Pods, row("memory.stat", Controller::Memory, Group::Memory, Content::Pairs(MEMORY_OF_ALL), None, NOT_TOLD)),
    of(Whose::Others, row("memory.oom_control", Controller::Memory, Group::Memory, Content::Pairs(MEMORY_OOM), None, NOT_TOLD)),
    row("pids.current", Controller::Pids, Group::Pids, single(M::PidsCurrent), None, NOT_TOLD),
    row("pids.max", Controller::Pids, Group::Pids, Content::Limit(Slot::of(M::PidsLimit)), None, NOT_TOLD),
    row("blkio.throttle.io_service_bytes_recursive", Controller::Blkio, Group::Io, BYTES, Some(&OWN_BYTES), NO_BLKIO),
    row("blkio.throttle.io_serviced_recursive", Controller::Blkio, Group::Io, TIMES, Some(&OWN_TIMES), NO_BLKIO),
];

const NOT_TOLD: &str = "the root cgroup does not have it, nor do some kernels";
const NO_SWAP: &str = "the kernel has no swap accounting (swapaccount=1)";
const NO_BLKIO: &str = "the kernel cannot throttle block devices";

/// Kernels before 4.8 do not tell the two in nanoseconds.
static USER: Row = row(
    "cpuacct.stat",
    Controller::Cpuacct,
    Group::Cpu,
    Content::Pairs(&[key("user", M::CpuUser, Scale::Jiffies)]),
    None,
    NOT_TOLD,
);
static SYSTEM: Row = row(
    "cpuacct.stat",
    Controller::Cpuacct,
    Group::Cpu,
    Content::Pairs(&[key("system", M::CpuSystem, Scale::Jiffies)]),
    None,
    NOT_TOLD,
);

const BYTES: Content = Content::Throttle { read: Slot::of(M::IoReadBytes), written: Slot::of(M::IoWrittenBytes) };
const TIMES: Content = Content::Throttle { read: Slot::of(M::IoReads), written: Slot::of(M::IoWrites) };

/// Older kernels tell these without those of the cgroups below.
static OWN_BYTES: Row =
    of(Whose::Others, row("blkio.throttle.io_service_bytes", Controller::Blkio, Group::Io, BYTES, None, NO_BLKIO));
static OWN_TIMES: Row = of(Whose::Others, row("blkio.throttle.io_serviced", Controller::Blkio, Group::Io, TIMES, None, NO_BLKIO));

const CPU: &[Key] = &[
    key("nr_periods", M::CpuPeriods, Scale::Same),
    key("nr_throttled", M::CpuThrottledPeriods, Scale::Same),
    key("throttled_time", M::CpuThrottledTime, Scale::Same),
];

/// Those that begin with `total_` count the cgroups below as well. The three at the end have no such form, and stand only on kernels whose
/// makers have added them.
const MEMORY: &[Key] = &[
    key("total_cache", M::MemoryFile, Scale::Same),
    key("total_rss", M::MemoryAnonymous, Scale::Same),
    key("total_swap", M::MemorySwapUsage, Scale::Same),
    Key { name: b"total_inactive_file", slot: Slot::INACTIVE_FILE, scale: Scale::Same },
    key("kernel_stack", M::MemoryKernelStack, Scale::Same),
    key("pagetables", M::MemoryPageTables, Scale::Same),
    key("slab_reclaimable", M::MemorySlabReclaimable, Scale::Same),
];

/// Without those three.
const MEMORY_OF_ALL: &[Key] = MEMORY.split_at(4).0;

/// Without those of the cgroups below. Kernels before 4.13 do not tell it.
const MEMORY_OOM: &[Key] = &[key("oom_kill", M::MemoryOomKills, Scale::Same)];

const fn row(
    file: &'static str,
    controller: Controller,
    group: Group,
    content: Content,
    otherwise: Option<&'static Row>,
    missing_because: &'static str,
) -> Row {
    Row { file, home: Home::Version1(controller), whose: Whose::All, group, content, otherwise, missing_because }
}

const fn of(whose: Whose, row: Row) -> Row {
    Row { whose, ..row }
}

const fn key(name: &'static str, metric: M, scale: Scale) -> Key {
    Key { name: name.as_bytes(), slot: Slot::of(metric), scale }
}

const fn single(metric: M) -> Content {
    Content::Single(Slot::of(metric))
}

const fn limit(slot: Slot) -> Content {
    Content::LimitOfVersion1(slot)
}
