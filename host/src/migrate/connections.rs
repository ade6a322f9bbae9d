//! Cluster Monitoring, whose program is `meta`.

use sluicebox_sources::kubernetes::is_object_name;

use super::draft::{Draft, Setting, System, by_kubeconfig, quoted};

/// The program.
pub(super) static SYSTEM: System = System {
    command: "connections",
    program: "cluster-monitoring",
    settings: &[
        Setting { name: SOCKET, default: None, becomes: "sources.tracer.socket" },
        Setting { name: HOSTNAME, default: None, becomes: "node-name" },
        Setting { name: REMOTE, default: Some("false"), becomes: "kubernetes.access" },
        Setting { name: KUBECONFIG, default: None, becomes: "kubernetes.kubeconfig, where remote_collector is `true`" },
    ],
    prefixes: &["SOCKET_", "remote_"],
    common: &[HOSTNAME, KUBECONFIG],
};

const SOCKET: &str = "SOCKET_PATH";
const HOSTNAME: &str = "HOSTNAME";
const REMOTE: &str = "remote_collector";
const KUBECONFIG: &str = "KUBECONFIG";

/// The configuration.
pub(super) fn configuration(draft: &mut Draft<'_>) -> String {
    let cure = "write the path of the tracer's Unix socket, such as /network/var/run/network-tracer.sock";
    let socket = draft.read(SOCKET, cure, |text| text.starts_with('/').then(|| text.to_owned()));
    let node = node(draft);
    let access = access(draft);
    draft.differs(
        "keys have the process in third place, as that program wrote them; without `key: process` they are as its README says",
    );
    draft.differs(
        "what is over and gone is forgotten: connections five minutes after they were last told, addresses after five minutes",
    );
    draft.differs(
        "pods and services are watched, not listed every five seconds; both ConfigMaps are written every five seconds at most",
    );
    draft.differs("keys of other nodes are never lost, and one that the API server refuses spoils no other");
    let socket = quoted(&socket.unwrap_or_default());
    format!(
        "{node}{access}sources:\n  pods: {{}}\n  services: {{}}\n  nodes: {{}}\n\
         \x20 tracer: {{socket: {socket}, period: 5s, kubernetes: false}}\n\
         modules:\n  transactions:\n    use: connection-transactions\n    settings: {{key: process}}\n    from: [tracer]\n    to: [cluster]\n\
         \x20 metadata:\n    use: pod-metadata\n    from: [pods, services, nodes]\n    to: [cluster]\n\
         sinks:\n  cluster:\n    config-maps: {{namespace: default, period: 5s}}\n"
    )
}

fn node(draft: &mut Draft<'_>) -> String {
    if draft.set(HOSTNAME).is_none() {
        draft.becomes(HOSTNAME, "nothing: the node is what NODE_NAME or the host is called");
        return String::new();
    }
    if draft.leaves_node(HOSTNAME) {
        return String::new();
    }
    let name = draft.read(HOSTNAME, "write the name of the node", |text| is_object_name(text).then(|| text.to_owned()));
    format!("node-name: {}\n", quoted(&name.unwrap_or_default()))
}

fn access(draft: &mut Draft<'_>) -> String {
    let remote = draft.value(REMOTE, "").and_then(|value| value.text);
    if remote.is_none() {
        draft.becomes(
            REMOTE,
            "nothing: the way to the API server is found by looking for a pod's service account, then for KUBECONFIG",
        );
        return String::new();
    }
    if remote.as_deref() != Some("true") {
        draft.becomes(KUBECONFIG, "nothing, as remote_collector is not `true`");
        return "kubernetes: {access: in-cluster}\n".to_owned();
    }
    let cure = format!("set KUBECONFIG, or leave `{REMOTE}` out in a pod");
    by_kubeconfig(draft, KUBECONFIG, format!("`KUBECONFIG` is not set, and `{REMOTE}` is `true`\nhint: {cure}"))
}
