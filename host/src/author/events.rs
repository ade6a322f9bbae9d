//! Events to measure a module with when its author names none: one batch of each kind, as a busy node has them.

use serde_json::{Value, json};

/// Events of one batch, about as many objects as change at once.
const OBJECTS: usize = 64;
/// Pods and containers whose samples make one tick.
const MEASURED: usize = 100;
/// Connections of one report.
const CONNECTIONS: usize = 1000;
/// Series that one query finds.
const SERIES: usize = 200;

/// One case for each kind of event, by the name of the handler that takes it.
pub(super) fn cases(settings: &Value) -> Vec<(&'static str, Value)> {
    let steps = [
        ("pods", vec![events("pod", pod)]),
        ("services", vec![events("service", service)]),
        ("nodes", vec![events("node", node)]),
        ("objects", vec![events("object", object)]),
        ("samples", tick()),
        ("connections", report()),
        ("inventory", vec![inventory()]),
        ("series", vec![series()]),
    ];
    let case = |(kind, steps)| {
        let sources = ["pods", "services", "nodes", "namespaces", "cgroups", "tracer", "inventory", "prometheus"];
        let context = json!({"lane": "bench", "node-name": "node-1", "sources": sources});
        (kind, json!({"about": "", "settings": settings, "context": context, "steps": steps}))
    };
    steps.into_iter().map(case).collect()
}

fn events(kind: &str, make: fn(usize) -> Value) -> Value {
    let event = |number| json!({kind: make(number)});
    json!({"events": (0..OBJECTS).map(event).collect::<Vec<_>>()})
}

fn pod(number: usize) -> Value {
    let name = format!("web-7d4b9c6f5-{number:05}");
    let container = |name: &str| {
        json!({
            "name": name, "kind": "app", "image": "registry.example/shop/web:1.27.3",
            "ports": [{"port": 8080, "protocol": "TCP"}], "requests": [["cpu", "100m"], ["memory", "128Mi"]],
            "status": {
                "image": "registry.example/shop/web:1.27.3", "container-id": format!("containerd://{number:064x}"),
                "state": {"running": "2026-01-01T12:00:00Z"}, "ready": true,
            },
        })
    };
    json!({"change": change(number), "pod": {
        "uid": uid(number), "namespace": "shop", "name": name, "labels": [["app", "web"], ["tier", "front"], ["team", "blue"]],
        "node-name": "node-1", "qos-class": "burstable", "phase": "running", "host-ip": "10.0.1.2",
        "pod-ips": [format!("10.42.1.{number}")], "start-time": "2026-01-01T12:00:00Z", "containers": [container("app"), container("proxy")],
    }})
}

fn service(number: usize) -> Value {
    json!({"change": change(number), "service": {
        "uid": uid(number), "namespace": "shop", "name": format!("web-{number}"), "labels": [["app", "web"]],
        "service-type": "ClusterIP", "selector": [["app", "web"]], "cluster-ips": [format!("10.96.0.{number}")], "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
    }})
}

fn node(number: usize) -> Value {
    json!({"change": change(number), "node": {
        "uid": uid(number), "name": format!("node-{number}"), "labels": [["kubernetes.io/arch", "amd64"]],
        "addresses": [["InternalIP", format!("10.0.1.{number}")]], "ready": true, "kernel-version": "6.12.0", "architecture": "amd64",
    }})
}

fn object(number: usize) -> Value {
    json!({"change": change(number), "json": {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"uid": uid(number), "namespace": "shop", "name": format!("web-7d4b9c6f5-{number:05}"), "labels": {"app": "web", "team": "blue"}},
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "registry.example/shop/web:1.27.3"}]},
        "status": {"phase": "Running", "hostIP": "10.0.1.2", "podIP": format!("10.42.1.{number}")},
    }})
}

/// Half of them have come, half have changed.
fn change(number: usize) -> &'static str {
    if number.is_multiple_of(2) { "added" } else { "modified" }
}

fn uid(number: usize) -> String {
    format!("12b379f7-ef99-46e5-8125-{number:012x}")
}

/// Pods and the container of each, by turns.
fn subjects(count: usize) -> Value {
    let subject = |number: usize| {
        let pod = number / 2;
        let common =
            json!({"workload-name": "web", "workload-kind": "Deployment", "qos-class": "Burstable", "node-name": "node-1"});
        let name = format!("web-7d4b9c6f5-{pod:05}");
        let mut subject = if number.is_multiple_of(2) {
            json!({"kind": "pod", "uid": uid(pod), "name": name, "attributes": common})
        } else {
            let mut subject = json!({"kind": "container", "uid": format!("{pod:064x}"), "name": "app", "attributes": common});
            if let Some(Value::Object(attributes)) = subject.get_mut("attributes") {
                attributes.insert("pod-name".to_owned(), name.into());
                attributes.insert("pod-uid".to_owned(), uid(pod).into());
            }
            subject
        };
        if let Value::Object(fields) = &mut subject {
            fields.insert("id".to_owned(), (number + 1).into());
            fields.insert("namespace".to_owned(), "shop".into());
        }
        subject
    };
    json!({"define": (0..count).map(subject).collect::<Vec<_>>()})
}

fn tick() -> Vec<Value> {
    let sample = |number: usize| {
        json!({
            "subject": number + 1,
            "cpu-usage": {"total": 5_000_000_000_u64 + number as u64, "increase": {"amount": 2_000_000 + number}},
            "cpu-user": {"total": 4_000_000_000_u64, "increase": {"amount": 1_500_000}},
            "memory-usage": 73_400_320 + number, "memory-limit": 134_217_728, "memory-working-set": 50_000_000 + number,
            "pids-current": 12, "io-reads": {"total": 1200, "increase": {"amount": 3}},
        })
    };
    let samples: Vec<_> = (0..MEASURED).map(sample).collect();
    vec![subjects(MEASURED), json!({"tick": {"online-cpus": 8, "samples": samples}})]
}

fn report() -> Vec<Value> {
    let connection = |number: usize| {
        json!({
            "source": {"subject": number % MEASURED + 1, "address": format!("10.42.1.{}", number % 200), "port": 32_768 + number},
            "destination": {"subject": (number * 7) % MEASURED + 1, "address": format!("10.42.2.{}", number % 80), "port": 8080},
            "pid": 1000 + number, "sent": {"total": 900_000 + number, "increase": 79}, "received": {"total": 5_849_000, "increase": 4000},
        })
    };
    let connections: Vec<_> = (0..CONNECTIONS).map(connection).collect();
    vec![subjects(MEASURED), json!({"report": {"over-nanoseconds": 5_000_000_000_u64, "connections": connections}})]
}

fn inventory() -> Value {
    let container = json!({
        "name": "app", "kind": "app", "image": "registry.example/shop/web:1.27.3", "pids": [4711, 4712], "ports": [{"port": 8080, "protocol": "TCP"}],
    });
    let owners = json!([{"api-version": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid(0)}]);
    let pod = |number: usize| {
        json!({
            "uid": uid(number), "namespace": "shop", "name": format!("web-7d4b9c6f5-{number:05}"), "pod-ips": [format!("10.42.1.{number}")],
            "phase": "running", "owners": owners, "containers": [container],
        })
    };
    let node = json!({"uid": uid(0), "name": "node-1", "addresses": [["InternalIP", "10.0.1.2"]]});
    json!({"inventory": {"node": node, "pods": (0..OBJECTS).map(pod).collect::<Vec<_>>()}})
}

fn series() -> Value {
    let found = |number: usize| {
        json!({
            "metric": {
                "__name__": "container_memory_usage_bytes", "namespace": "shop", "pod": format!("web-7d4b9c6f5-{number:05}"), "container": "app",
                "label_ow_action": "guest_action", "label_vim_id": uid(number),
            },
            "value": [1_767_268_800 + number, number.to_string()],
        })
    };
    json!({"series": {"query": "container_memory_usage_bytes", "result": (0..SERIES).map(found).collect::<Vec<_>>()}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::cases;

    #[test]
    fn each_of_them_can_be_read() {
        for (kind, case) in cases(&json!({})) {
            let case = cases::read(kind, &case.to_string()).unwrap_or_else(|error| panic!("{kind}: {error}"));
            if let Err(error) = cases::script(&case) {
                panic!("{kind}: {error}");
            }
        }
    }
}
