//! What the page of Prometheus says about each metric.

/// A line without breaks, by the name in the catalogue.
pub(crate) fn help(name: &str) -> &'static str {
    match name {
        "cpu_time_delta" => "processor time since the reading before",
        "cpu_percent" => "processor time by the time between two readings, in percent",
        "memory_usage" => "memory, page cache included",
        "memory_max" => "how much memory there may be, -1 without a limit",
        "cgroup_memory_swap_current" => "swap space",
        "cgroup_memory_swap_max" => "how much swap space there may be, -1 without a limit",
        "cgroup_memory_anonymous" => "anonymous memory",
        "cgroup_memory_file" => "memory that caches files",
        "cgroup_memory_kernel_stack" => "memory of kernel stacks",
        "cgroup_memory_pagetables" => "memory of page tables",
        "cgroup_slab_reclaimable" => "memory of kernel objects that could be given back",
        "cgroup_pswpin" => "pages read from swap space so far",
        "cgroup_pswpout" => "pages written to swap space so far",
        "io_pressure_some_total" => "time since the reading before for which some task waited for input or output",
        "io_pressure_full_total" => "time since the reading before for which all tasks waited for input or output",
        "cpu_periods_delta" => "periods of the bandwidth control of processors",
        "cpu_throttled_periods_delta" => "periods in which tasks were held back",
        "cpu_throttled_time_delta" => "time for which tasks were held back",
        "cpu_pressure_some_total" => "time for which some task waited for a processor",
        "cpu_pressure_full_total" => "time for which all tasks waited for a processor",
        "cgroup_memory_working_set" => "memory without the inactive page cache",
        "cgroup_memory_oom_kills_delta" => "processes killed because memory was short",
        "memory_pressure_some_total" => "time for which some task waited for memory",
        "memory_pressure_full_total" => "time for which all tasks waited for memory",
        "pids_current" => "processes and threads",
        "pids_max" => "how many processes and threads there may be",
        "io_read_bytes_delta" => "bytes read from block devices",
        "io_written_bytes_delta" => "bytes written to block devices",
        "io_reads_delta" => "reads from block devices",
        "io_writes_delta" => "writes to block devices",
        "network_received_bytes_delta" => "bytes received",
        "network_transmitted_bytes_delta" => "bytes sent",
        "network_received_packets_delta" => "packets received",
        "network_transmitted_packets_delta" => "packets sent",
        "network_received_errors_delta" => "errors of packets on their way in",
        "network_transmitted_errors_delta" => "errors of packets on their way out",
        "network_received_dropped_delta" => "packets dropped on their way in",
        "network_transmitted_dropped_delta" => "packets dropped on their way out",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;

    #[test]
    fn every_metric_has_a_line_that_needs_no_escapes() {
        for row in &CATALOGUE {
            let help = help(row.name);
            assert!(!help.is_empty() && !help.contains(['\\', '\n']), "{}: `{help}`", row.name);
        }
    }
}
