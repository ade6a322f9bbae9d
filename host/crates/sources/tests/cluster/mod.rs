//! What the scenarios need: a cluster to change, a source to watch it, a record of what was told.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod bench;
pub(crate) mod gate;
pub(crate) mod kinds;
pub(crate) mod log;
pub(crate) mod record;
pub(crate) mod scenarios;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Source, SubjectIds};
use sluicebox_sources::Wants;
use sluicebox_sources::kubernetes::{Api, Config};
use sluicebox_sources::pods::{self, Pods};

pub(crate) use gate::Gate;
pub(crate) use record::Recorder;

/// A cluster that a scenario changes: the fake one or a real one.
pub(crate) trait Cluster {
    /// Where its API server listens.
    fn address(&self) -> SocketAddr;
    /// How it is reached by way of another address, with a token that may read everything.
    fn config(&self, address: SocketAddr) -> Config;
    async fn create_namespace(&self, name: &str);
    async fn create_node(&self, name: &str);
    async fn label_node(&self, name: &str, labels: Value);
    /// Makes a service, or gives it another specification.
    async fn put_service(&self, namespace: &str, name: &str, spec: Value);
    async fn create_pod(&self, pod: Value) -> Value;
    async fn get_pod(&self, namespace: &str, name: &str) -> Value;
    async fn patch_status(&self, namespace: &str, name: &str, status: Value);
    async fn delete_pod(&self, namespace: &str, name: &str);
    /// Waits until the server's cache shows so many pods of a node.
    async fn settle(&self, node: &str, pods: usize);
    /// Makes every version before the present one too old.
    async fn forget_history(&mut self);
    /// Two tokens that may watch.
    async fn two_tokens(&self) -> [String; 2];
    /// From now on, only the second of them may.
    async fn refuse_the_first(&self, tokens: &[String; 2]);
}

/// A name that no other scenario uses.
pub(crate) fn unique(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A pod as users write it.
pub(crate) fn pod(namespace: &str, name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"zebra": "1", "app": "demo"}, "annotations": {"note": "a<b&c"}},
        "spec": {
            "nodeName": node,
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "registry.test/image:1"}],
        },
    })
}

/// A status as a kubelet writes it.
pub(crate) fn running(container_id: &str, restarts: u32) -> Value {
    json!({
        "phase": "Running",
        "podIP": "10.42.1.95",
        "podIPs": [{"ip": "10.42.1.95"}],
        "hostIP": "10.0.1.2",
        "startTime": "2021-08-17T18:29:58Z",
        "containerStatuses": [{
            "name": "main",
            "image": "registry.test/image:1",
            "imageID": "registry.test/image@sha256:abc",
            "containerID": container_id,
            "ready": true,
            "restartCount": restarts,
            "lastState": {},
            "state": {"running": {"startedAt": "2021-08-17T18:30:00Z"}},
        }],
    })
}

/// A pods source, the meter that it feeds, and the gate that it goes through.
pub(crate) struct Watched {
    pub(crate) gate: Gate,
    pub(crate) meter: Arc<SourceMeter>,
    pub(crate) source: Pods,
}

pub(crate) const TYPED: Wants = Wants { typed: true, json: false };
pub(crate) const JSON: Wants = Wants { typed: false, json: true };

/// A source that watches a node's pods through a gate.
pub(crate) async fn pods_of(cluster: &impl Cluster, node: &str, wants: Wants) -> Watched {
    pods_with(cluster, &pods::Config::default(), node, wants).await
}

/// A source of pods as configured, through a gate.
pub(crate) async fn pods_with(cluster: &impl Cluster, config: &pods::Config, node: &str, wants: Wants) -> Watched {
    let gate = Gate::to(cluster.address()).await;
    let kubernetes = cluster.config(gate.address());
    pods_by(gate, &kubernetes, config, node, wants).await
}

/// A source of pods that reaches the API server as configured.
pub(crate) async fn pods_by(gate: Gate, kubernetes: &Config, config: &pods::Config, node: &str, wants: Wants) -> Watched {
    let api = Api::connect(kubernetes).await.expect("a way to the API server");
    let meter = Arc::new(SourceMeter::default());
    let source = Pods::new(config, api, node, wants, Arc::new(SubjectIds::default()), Arc::clone(&meter));
    Watched { gate, meter, source }
}

/// Runs a source while something happens, then stops it; that must be quick in whatever state it is.
pub(crate) async fn during<T>(source: impl Source, recorder: &Recorder, scenario: impl Future<Output = T>) -> T {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = source.run(recorder.clone(), async move { drop(stopped.await) });
    let scenario = async {
        let value = scenario.await;
        drop(stop);
        (value, Instant::now())
    };
    let (ended, (value, stopped_at)) = futures::join!(run, scenario);
    assert_eq!(ended, Ok(()));
    let took = stopped_at.elapsed();
    assert!(took < Duration::from_secs(1), "stopping took {took:?}");
    value
}

/// A configuration of a plain address.
pub(crate) fn plain(address: SocketAddr) -> Config {
    Config { url: Some(format!("http://{address}")), ..Config::default() }
}

/// A configuration with a token in a file.
pub(crate) fn with_token_file(config: Config, path: &Path) -> Config {
    let token_retrieval = sluicebox_sources::kubernetes::TokenRetrieval::File(path.to_owned());
    Config { token_retrieval, ..config }
}
