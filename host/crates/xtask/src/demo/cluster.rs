//! What happens in the demo's cluster.

use anyhow::Result;
use serde_json::{Value, json};
use sluicebox_testkit::api_server::ApiServer;

/// The node that the program believes to run on.
pub(super) const NODE: &str = "demo-node";

/// One thing that happens.
pub(super) struct Step {
    /// What is said about it.
    pub(super) tells: &'static str,
    /// How many paces it is given.
    pub(super) takes: u32,
    pub(super) act: fn(&ApiServer) -> Result<()>,
}

/// What happens, one after the other.
pub(super) const STEPS: &[Step] = &[
    Step { tells: "a pod comes: shop/web-1, pending", takes: 1, act: |server| pending(server, "web-1") },
    Step {
        tells: "its container starts: its id is known, an event is published",
        takes: 1,
        act: |server| running(server, "web-1", 'b', 0),
    },
    Step {
        tells: "its container restarts under a new id: delete of the old, create of the new",
        takes: 1,
        act: |server| running(server, "web-1", 'c', 1),
    },
    Step {
        tells: "three pods come at once, and one on another node, which is none of this node's business",
        takes: 1,
        act: burst,
    },
    Step { tells: "web-1 is asked to end, then is gone; its file stays for the retention of 3 s", takes: 1, act: gone },
    Step { tells: "the retention is over: its file is gone as well", takes: 3, act: |_| Ok(()) },
];

/// What is there before the program starts.
pub(super) fn begin(server: &ApiServer) -> Result<()> {
    server.create_node(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": NODE, "labels": {"kubernetes.io/arch": "arm64", "zone": "edge"}},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}},
    }))?;
    pending(server, "was-here-before")?;
    running(server, "was-here-before", 'a', 0)
}

fn pod(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"nodeName": node, "containers": [{
            "name": "nginx", "image": "nginx:1.27", "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        }]},
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

fn pending(server: &ApiServer, name: &str) -> Result<()> {
    server.create_pod(pod(name, NODE)).map(drop)
}

fn running(server: &ApiServer, name: &str, digit: char, restarts: u32) -> Result<()> {
    let id = digit.to_string().repeat(64);
    server
        .patch_status(
            "shop",
            name,
            &json!({
                "phase": "Running", "qosClass": "Burstable", "hostIP": "10.0.1.2", "podIP": "10.42.1.95", "podIPs": [{"ip": "10.42.1.95"}],
                "startTime": "2026-01-01T12:00:00Z",
                "containerStatuses": [{
                    "name": "nginx", "state": {"running": {"startedAt": "2026-01-01T12:00:01Z"}}, "ready": true, "restartCount": restarts,
                    "image": "docker.io/library/nginx:1.27", "imageID": "docker.io/library/nginx@sha256:4c0f",
                    "containerID": format!("containerd://{id}"),
                }],
            }),
        )
        .map(drop)
}

fn burst(server: &ApiServer) -> Result<()> {
    for (name, digit) in [("web-2", 'd'), ("web-3", 'e'), ("web-4", 'f')] {
        pending(server, name)?;
        running(server, name, digit, 0)?;
    }
    server.create_pod(pod("elsewhere", "another-node")).map(drop)
}

fn gone(server: &ApiServer) -> Result<()> {
    server.terminate("shop", "web-1")?;
    server.delete_pod("shop", "web-1").map(drop)
}
