//! Every metric that the module can make: its name, its unit, what it is made of and how. The one table; the README shows it.

use Take::{Gauge, Increase, Limit, Micros, Percent};
use Unit::{Bytes, Count, Microseconds, Nanoseconds, Pages, Percents};

/// A metric, or one `kind` of it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The attribute that tells it from others of its name.
    pub(crate) kind: Option<&'static str>,
    /// The host's metric that it is made of.
    pub(crate) of: &'static str,
    pub(crate) take: Take,
    pub(crate) unit: Unit,
    /// How Prometheus is told it; none for the metrics of Alumet, which are gauges under their own names.
    pub(crate) series: Option<Series>,
}

/// What is told of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// How much a counter has grown.
    Increase,
    /// The same, from nanoseconds to microseconds.
    Micros,
    /// How much of the time it is, in percent of a core or of the machine.
    Percent,
    /// The total of a counter.
    Total,
    /// The same, from nanoseconds to seconds.
    Seconds,
    /// A gauge.
    Gauge,
    /// A limit, -1.0 where it is not set.
    Limit,
    /// A limit, infinite where it is not set.
    Bound,
}

/// What a metric is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Microseconds,
    Percents,
    Bytes,
    Pages,
    Count,
}

/// A metric in the way of Prometheus: base units, and counters that are totals.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) kind: &'static str,
    pub(crate) name: &'static str,
    /// What stands behind name and suffix.
    pub(crate) ending: &'static str,
    pub(crate) take: Take,
}

impl Unit {
    /// As JSON tells it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Nanoseconds => "nanoseconds",
            Microseconds => "microseconds",
            Percents => "percent",
            Bytes => "bytes",
            Pages => "pages",
            Count => "count",
        }
    }

    /// As it stands behind a name in a CSV file of Alumet.
    pub(crate) fn sign(self) -> Option<&'static str> {
        match self {
            Nanoseconds => Some("ns"),
            // The Greek letter, not the sign that looks like it.
            Microseconds => Some("\u{3bc}s"),
            Percents => Some("%"),
            Bytes => Some("B"),
            Pages | Count => None,
        }
    }

    /// As it stands behind a name that Alumet tells Prometheus.
    pub(crate) fn ending(self) -> Option<&'static str> {
        match self {
            Nanoseconds => Some("nanoseconds"),
            Microseconds => Some("microseconds"),
            Percents => Some("ratio"),
            Bytes => Some("bytes"),
            Pages | Count => None,
        }
    }
}

impl Row {
    /// Whether Alumet has it, too.
    pub(crate) fn is_alumet(&self) -> bool {
        self.series.is_none()
    }

    /// Whether it is there for pods only.
    pub(crate) fn is_of_pods(&self) -> bool {
        self.of.starts_with("network-")
    }
}

/// In the order in which they are told.
pub(crate) static CATALOGUE: [Row; 42] = [
    kind("cpu_time_delta", "total", "cpu-usage", Increase, Nanoseconds),
    kind("cpu_percent", "total", "cpu-usage", Percent, Percents),
    kind("cpu_time_delta", "system", "cpu-system", Increase, Nanoseconds),
    kind("cpu_percent", "system", "cpu-system", Percent, Percents),
    kind("cpu_time_delta", "user", "cpu-user", Increase, Nanoseconds),
    kind("cpu_percent", "user", "cpu-user", Percent, Percents),
    alumet("memory_usage", "memory-usage", Gauge, Bytes),
    alumet("memory_max", "memory-limit", Limit, Bytes),
    alumet("cgroup_memory_swap_current", "memory-swap-usage", Gauge, Bytes),
    alumet("cgroup_memory_swap_max", "memory-swap-limit", Limit, Bytes),
    alumet("cgroup_memory_anonymous", "memory-anonymous", Gauge, Bytes),
    alumet("cgroup_memory_file", "memory-file", Gauge, Bytes),
    alumet("cgroup_memory_kernel_stack", "memory-kernel-stack", Gauge, Bytes),
    alumet("cgroup_memory_pagetables", "memory-page-tables", Gauge, Bytes),
    alumet("cgroup_slab_reclaimable", "memory-slab-reclaimable", Gauge, Bytes),
    alumet("cgroup_pswpin", "memory-swapped-in", Take::Total, Pages),
    alumet("cgroup_pswpout", "memory-swapped-out", Take::Total, Pages),
    alumet("io_pressure_some_total", "io-pressure-some", Micros, Microseconds),
    alumet("io_pressure_full_total", "io-pressure-full", Micros, Microseconds),
    counted("cpu_periods_delta", "cpu-periods", "cpu_periods"),
    counted("cpu_throttled_periods_delta", "cpu-throttled-periods", "cpu_throttled_periods"),
    counter("cpu_throttled_time_delta", "cpu-throttled-time", Increase, Nanoseconds, "cpu_throttled_time"),
    counter("cpu_pressure_some_total", "cpu-pressure-some", Micros, Microseconds, "cpu_pressure_some"),
    counter("cpu_pressure_full_total", "cpu-pressure-full", Micros, Microseconds, "cpu_pressure_full"),
    gauge("cgroup_memory_working_set", "memory-working-set", Gauge, Bytes),
    counted("cgroup_memory_oom_kills_delta", "memory-oom-kills", "cgroup_memory_oom_kills"),
    counter("memory_pressure_some_total", "memory-pressure-some", Micros, Microseconds, "memory_pressure_some"),
    counter("memory_pressure_full_total", "memory-pressure-full", Micros, Microseconds, "memory_pressure_full"),
    gauge("pids_current", "pids-current", Gauge, Count),
    gauge("pids_max", "pids-limit", Limit, Count),
    counter("io_read_bytes_delta", "io-read-bytes", Increase, Bytes, "io_read"),
    counter("io_written_bytes_delta", "io-written-bytes", Increase, Bytes, "io_written"),
    counted("io_reads_delta", "io-reads", "io_reads"),
    counted("io_writes_delta", "io-writes", "io_writes"),
    counter("network_received_bytes_delta", "network-received-bytes", Increase, Bytes, "network_received"),
    counter("network_transmitted_bytes_delta", "network-transmitted-bytes", Increase, Bytes, "network_transmitted"),
    counted("network_received_packets_delta", "network-received-packets", "network_received_packets"),
    counted("network_transmitted_packets_delta", "network-transmitted-packets", "network_transmitted_packets"),
    counted("network_received_errors_delta", "network-received-errors", "network_received_errors"),
    counted("network_transmitted_errors_delta", "network-transmitted-errors", "network_transmitted_errors"),
    counted("network_received_dropped_delta", "network-received-dropped", "network_received_dropped"),
    counted("network_transmitted_dropped_delta", "network-transmitted-dropped", "network_transmitted_dropped"),
];

const fn alumet(name: &'static str, of: &'static str, take: Take, unit: Unit) -> Row {
    Row { name, kind: None, of, take, unit, series: None }
}

const fn kind(name: &'static str, kind: &'static str, of: &'static str, take: Take, unit: Unit) -> Row {
    Row { name, kind: Some(kind), of, take, unit, series: None }
}

const fn counted(name: &'static str, of: &'static str, total: &'static str) -> Row {
    counter(name, of, Increase, Count, total)
}

const fn counter(name: &'static str, of: &'static str, take: Take, unit: Unit, total: &'static str) -> Row {
    let (ending, total_take) = match unit {
        Nanoseconds | Microseconds => ("seconds_total", Take::Seconds),
        Bytes => ("bytes_total", Take::Total),
        Percents | Pages | Count => ("total", Take::Total),
    };
    Row { name, kind: None, of, take, unit, series: Some(Series { kind: "counter", name: total, ending, take: total_take }) }
}

const fn gauge(name: &'static str, of: &'static str, take: Take, unit: Unit) -> Row {
    let ending = match unit {
        Bytes => "bytes",
        Nanoseconds | Microseconds | Percents | Pages | Count => "",
    };
    let bound = match take {
        Limit => Take::Bound,
        other => other,
    };
    Row { name, kind: None, of, take, unit, series: Some(Series { kind: "gauge", name, ending, take: bound }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_measured_can_be_told() {
        for metric in sluicebox_sdk::cases::metrics() {
            assert!(CATALOGUE.iter().any(|row| row.of == metric.name), "{} is told under no name", metric.name);
        }
    }

    #[test]
    fn every_row_is_made_of_something_that_is_measured() {
        let metrics = sluicebox_sdk::cases::metrics();
        for row in &CATALOGUE {
            assert!(metrics.iter().any(|metric| metric.name == row.of), "{} is made of nothing", row.name);
        }
    }

    #[test]
    fn no_row_stands_there_twice() {
        for (index, row) in CATALOGUE.iter().enumerate() {
            let again = CATALOGUE.iter().skip(index + 1).any(|other| (other.name, other.kind) == (row.name, row.kind));
            assert!(!again, "{} stands there twice", row.name);
        }
    }

    #[test]
    fn the_readme_shows_every_metric() {
        let readme = include_str!("../README.md");
        for row in &CATALOGUE {
            assert!(readme.contains(&format!("`{}`", row.name)), "the README does not show {}", row.name);
            if let Some(series) = &row.series {
                let ending = if series.ending.is_empty() { String::new() } else { format!("_{}", series.ending) };
                let name = format!("`{}_alumet{ending}`", series.name);
                assert!(readme.contains(&name), "the README does not show {name}");
            }
        }
    }
}
