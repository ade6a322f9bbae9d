//! Nodes as the API writes them, and what becomes of them.

use k8s_openapi::api::core::v1::Node as ApiNode;

use super::*;

const WORKER: &str = include_str!("../../fixtures/nodes/worker.json");

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[test]
fn an_ordinary_node() {
    let node = node(WORKER).unwrap();
    assert_eq!((node.name.as_str(), node.uid.as_str()), ("worker-1", "9d0a0c6b-3b0c-4a2f-9f5e-1d2c3b4a5f60"));
    assert_eq!(node.addresses, [pair("InternalIP", "10.0.1.2"), pair("InternalIP", "fd00::2"), pair("Hostname", "worker-1")]);
    assert_eq!(node.internal_ip(), Some("10.0.1.2"));
    assert_eq!(node.pod_cidrs, ["10.42.1.0/24", "fd42:0:0:1::/64"]);
    assert!(node.ready && node.unschedulable);
    assert_eq!(node.kernel_version, "6.1.0-18-arm64");
    assert_eq!((node.operating_system.as_str(), node.architecture.as_str()), ("linux", "arm64"));
    assert_eq!(node.container_runtime_version, "containerd://1.7.11-k3s2");
    assert_eq!((node.os_image.as_str(), node.kubelet_version.as_str()), ("Debian GNU/Linux 12 (bookworm)", "v1.29.1+k3s2"));
    assert_eq!(node.allocatable.first(), Some(&pair("cpu", "3800m")));
    assert_eq!(node.capacity.len(), 4);
}

/// What we read agrees with what the API's own types say.
#[test]
fn the_api_types_agree() {
    let ours = node(WORKER).unwrap();
    let theirs: ApiNode = serde_json::from_str(WORKER).unwrap();
    let (spec, status) = (theirs.spec.unwrap(), theirs.status.unwrap());
    assert_eq!(ours.labels.into_iter().collect::<BTreeMap<_, _>>(), theirs.metadata.labels.unwrap_or_default());
    assert_eq!(ours.annotations.into_iter().collect::<BTreeMap<_, _>>(), theirs.metadata.annotations.unwrap_or_default());
    assert_eq!(Some(ours.pod_cidrs), spec.pod_cidrs);
    let quantities = |quantities: Option<BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>| {
        quantities.unwrap_or_default().into_iter().map(|(name, quantity)| (name, quantity.0)).collect::<Vec<_>>()
    };
    assert_eq!(ours.capacity, quantities(status.capacity));
    assert_eq!(ours.allocatable, quantities(status.allocatable));
    let addresses = status.addresses.unwrap_or_default().into_iter().map(|address| (address.type_, address.address));
    assert_eq!(ours.addresses, addresses.collect::<Vec<_>>());
}

#[test]
fn a_node_that_was_just_made() {
    let least = node(r#"{"metadata":{"name":"n","uid":"u"},"spec":{},"status":{"nodeInfo":null,"conditions":null}}"#).unwrap();
    assert_eq!(least, Node { uid: "u".to_owned(), name: "n".to_owned(), ..Node::default() });
}

#[test]
fn a_node_is_ready_if_it_says_so() {
    for (status, ready) in [("True", true), ("False", false), ("Unknown", false)] {
        let json = format!(
            r#"{{"metadata":{{"name":"n","uid":"u"}},"status":{{"conditions":[{{"type":"MemoryPressure","status":"True"}},{{"type":"Ready","status":"{status}"}}]}}}}"#
        );
        assert_eq!(node(&json).unwrap().ready, ready, "{status}");
    }
}
