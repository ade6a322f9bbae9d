//! The metrics that the replaced program asks for, with the types and units that it tells.

/// A metric, and what is told of it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) unit: &'static str,
}

pub(crate) const TABLE: [Row; 26] = [
    row("container_fs_inodes_free", "gauge", ""),
    row("container_fs_io_current", "gauge", "iops"),
    row("container_fs_usage_bytes", "gauge", "bytes"),
    row("container_fs_writes_bytes_total", "counter", "bytes"),
    row("container_fs_reads_bytes_total", "counter", "bytes"),
    row("container_cpu_load_average_10s", "gauge", "seconds"),
    row("container_cpu_system_seconds_total", "counter", "seconds"),
    row("container_cpu_usage_seconds_total", "counter", "seconds"),
    row("container_cpu_cfs_throttled_seconds_total", "counter", "seconds"),
    row("container_memory_usage_bytes", "gauge", "bytes"),
    row("container_memory_working_set_bytes", "gauge", "bytes"),
    row("container_memory_max_usage_bytes", "gauge", "bytes"),
    row("container_memory_swap", "gauge", "bytes"),
    row("container_network_receive_bytes_total", "counter", "bytes"),
    row("container_network_receive_errors_total", "counter", ""),
    row("container_network_receive_packets_dropped_total", "counter", ""),
    row("container_network_receive_packets_total", "counter", "packets"),
    row("container_network_transmit_bytes_total", "counter", "bytes"),
    row("container_network_transmit_errors_total", "counter", ""),
    row("container_network_transmit_packets_dropped_total", "counter", ""),
    row("container_network_transmit_packets_total", "counter", ""),
    row("container_network_tcp_usage_total", "gauge", ""),
    row("container_network_udp_usage_total", "gauge", ""),
    row("container_spec_memory_reservation_limit_bytes", "gauge", "bytes"),
    row("container_network_receive_packet_loss_percentage", "counter", "%"),
    row("container_network_transmit_packet_loss_percentage", "counter", "%"),
];

const fn row(name: &'static str, kind: &'static str, unit: &'static str) -> Row {
    Row { name, kind, unit }
}

/// What the table has under this name.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

/// The metrics of which the loss of packets is worked out, in the order of the table: of what is received and of what is transmitted, the
/// packets that were dropped and all.
pub(crate) const PACKETS: [&str; 4] = [
    "container_network_receive_packets_dropped_total",
    "container_network_receive_packets_total",
    "container_network_transmit_packets_dropped_total",
    "container_network_transmit_packets_total",
];

/// What is worked out.
pub(crate) const LOSS: [&str; 2] =
    ["container_network_receive_packet_loss_percentage", "container_network_transmit_packet_loss_percentage"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_metric_is_there_twice_and_none_of_the_packets_is_missing() {
        for row in &TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
        }
        assert!(PACKETS.iter().chain(&LOSS).all(|name| find(name).is_some_and(|row| row.kind == "counter")));
    }
}
