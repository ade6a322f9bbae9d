//! The table of metrics that 5g-media/kubernetes-prometheus-publisher asks for, and the queries that it makes of them.

use std::collections::BTreeMap;

use super::config::Metric;

/// What the table and its template are called in the configuration.
pub(super) const NAME: &str = "mape-kafka";
/// The template for the labels of Kubernetes before 1.16.
pub(super) const BEFORE_1_16: &str = "mape-kafka-pod-name";

/// For today's labels. Joined by namespace and pod, as names of pods are unique in a namespace only; what cAdvisor tells of a pod as a whole and of its
/// sandbox is left out where it tells of each container, so that nothing is counted twice.
pub(super) const TEMPLATE: &str = r#"sum by (pod, label_ow_action, label_vim_id) (
  max by (namespace, pod, label_ow_action, label_vim_id) (kube_pod_labels{label_ow_action!="",namespace="{{namespace}}"})
  * on (namespace, pod) group_right (label_ow_action, label_vim_id)
  sum by (namespace, pod) ({{function}}({{metric}}{namespace="{{namespace}}"{{containers}}}[{{window}}]))
)"#;

/// As the publisher writes it, byte for byte.
pub(super) const TEMPLATE_BEFORE_1_16: &str = r#"sum(
      max(kube_pod_labels{label_ow_action!=""}) by (label_ow_action, pod, label_vim_id)
      *
      on(pod)
      group_right(label_ow_action, label_vim_id)
      label_replace(
        sum by (pod_name) ({{function}}({{metric}}{namespace="{{namespace}}"}[{{window}}])), 
        "pod", 
        "$1", 
        "pod_name", 
        "(.+)"
      )
    ) by (pod, label_ow_action, label_vim_id)"#;

/// What a query of one container's series says, where each container has series of its own.
const CONTAINERS: &str = r#",container!="",container!="POD""#;

const TABLE: [(&str, &str, &str); 26] = [
    ("container_fs_inodes_free", "gauge", ""),
    ("container_fs_io_current", "gauge", "iops"),
    ("container_fs_usage_bytes", "gauge", "bytes"),
    ("container_fs_writes_bytes_total", "counter", "bytes"),
    ("container_fs_reads_bytes_total", "counter", "bytes"),
    ("container_cpu_load_average_10s", "gauge", "seconds"),
    ("container_cpu_system_seconds_total", "counter", "seconds"),
    ("container_cpu_usage_seconds_total", "counter", "seconds"),
    ("container_cpu_cfs_throttled_seconds_total", "counter", "seconds"),
    ("container_memory_usage_bytes", "gauge", "bytes"),
    ("container_memory_working_set_bytes", "gauge", "bytes"),
    ("container_memory_max_usage_bytes", "gauge", "bytes"),
    ("container_memory_swap", "gauge", "bytes"),
    ("container_network_receive_bytes_total", "counter", "bytes"),
    ("container_network_receive_errors_total", "counter", ""),
    ("container_network_receive_packets_dropped_total", "counter", ""),
    ("container_network_receive_packets_total", "counter", "packets"),
    ("container_network_transmit_bytes_total", "counter", "bytes"),
    ("container_network_transmit_errors_total", "counter", ""),
    ("container_network_transmit_packets_dropped_total", "counter", ""),
    ("container_network_transmit_packets_total", "counter", ""),
    ("container_network_tcp_usage_total", "gauge", ""),
    ("container_network_udp_usage_total", "gauge", ""),
    ("container_spec_memory_reservation_limit_bytes", "gauge", "bytes"),
    ("container_network_receive_packet_loss_percentage", "counter", "%"),
    ("container_network_transmit_packet_loss_percentage", "counter", "%"),
];

/// What stands for `{{containers}}`: the network is the pod's, as its containers share it.
pub(super) fn containers(metric: &str) -> &'static str {
    if metric.starts_with("container_network_") { "" } else { CONTAINERS }
}

/// The metrics, in the order in which they are asked for. Counters are told as rates.
pub(super) fn table() -> Vec<Metric> {
    let metric = |(name, metric_type, unit): (&str, &str, &str)| Metric {
        name: name.to_owned(),
        metric_type: Some(metric_type.to_owned()),
        unit: Some(unit.to_owned()),
        function: None,
        variables: BTreeMap::new(),
    };
    TABLE.into_iter().map(metric).collect()
}
