//! What is around the collectors: real servers for the sinks, a tracer, a Prometheus, and a node with a pod.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::servers::{KafkaOptions, KafkaServer, PrometheusServer, RedisOptions, RedisServer};
use sluicebox_testkit::tracer::{Answer, SIX, Tracer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::container::host;
use super::pod::NODE;

/// The pod that everybody is to tell of.
pub(super) const POD: &str = "web-0";
pub(super) const POD_NAMESPACE: &str = "shop";

/// What kube-state-metrics and a kubelet tell of a container.
const PAGE: &str = "kube_pod_labels{namespace=\"default\",pod=\"web-0\",label_ow_action=\"a\",label_vim_id=\"3ae5f2ca936f48dea5f2ca936f78de3a\"} 1\n\
                    container_memory_usage_bytes{namespace=\"default\",pod=\"web-0\",container=\"web\",image=\"nginx\"} 2442\n";

pub(super) struct Surroundings {
    pub(super) redis: RedisServer,
    kafka: KafkaServer,
    prometheus: PrometheusServer,
    _tracer: Tracer,
    /// None where no cgroups can be made.
    kubelet: Option<Kubelet>,
    _page: JoinSet<()>,
}

impl Surroundings {
    /// Starts everything.
    pub(super) async fn start(cluster: &Cluster, folder: &Path) -> Result<Self> {
        let redis = RedisServer::start(RedisOptions::default()).await.context("`cargo xtask lab` gets a redis-server")?;
        let topics = ["nfvi.ncsrd.kubernetes", "service-map"].map(|name| (name.to_owned(), 1)).to_vec();
        let kafka = KafkaServer::start(KafkaOptions { topics, ..KafkaOptions::default() }).await;
        let mut page = JoinSet::new();
        let address = serve(&mut page).await?;
        let prometheus = PrometheusServer::scraping(&address, "/metrics").await.context("`cargo xtask lab` gets a Prometheus")?;
        let socket = host(folder, "/network/var/run");
        std::fs::create_dir_all(&socket)?;
        let socket = socket.join("network-tracer.sock");
        let tracer = Tracer::start(&socket, Answer::Report(SIX.as_bytes().to_vec()))?;
        // As Datadog's tracer has it.
        std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o722))?;
        let kubelet = node(cluster).await?;
        let kafka = kafka.context("`cargo xtask lab` gets a broker")?;
        Ok(Self { redis, kafka, prometheus, _tracer: tracer, kubelet, _page: page })
    }

    /// Whether there are cgroups of pods on this machine.
    pub(super) fn has_cgroups(&self) -> bool {
        self.kubelet.is_some()
    }

    /// Where the servers are that the manifests name otherwise.
    pub(super) fn addresses(&self) -> [(&'static str, String); 3] {
        [("REDIS_URL", self.redis.url()), ("KAFKA_BROKER", self.kafka.address()), ("PROMETHEUS_URL", self.prometheus.url())]
    }
}

/// A node, a service, and a pod that runs on the node, with its cgroups where these can be made.
async fn node(cluster: &Cluster) -> Result<Option<Kubelet>> {
    let kubelet = Kubelet::real();
    let mut pod = PodSpec::numbered(NODE, 0, 1);
    cluster.api.create_namespace(&pod.namespace).await?;
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}).to_string())?;
    let address = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.1.2"}]}});
    cluster.ask(&["patch", "node", NODE, "--subresource=status", "--type=merge", "-p", &address.to_string()])?;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": pod.namespace}, "spec": {"ports": [{"port": 80, "protocol": "TCP"}]},
    });
    cluster.apply(&service.to_string())?;
    let mut object = pod.object();
    own(&mut object, "apps/v1", "ReplicaSet", "0b5e0000-0000-4000-8000-000000000012");
    let made = cluster.api.create_pod(&object).await?;
    let uid = made.pointer("/metadata/uid").and_then(Value::as_str).context("the pod has no uid")?;
    uid.clone_into(&mut pod.uid);
    let status = object.get("status").context("the pod has no status")?;
    cluster.api.patch_status(&pod.namespace, &pod.name, status).await?;
    let mut other = PodSpec::numbered(NODE, 1, 1).object();
    own(&mut other, "batch/v1", "Job", "0b5e0000-0000-4000-8000-000000000013");
    cluster.api.create_pod(&other).await?;
    if let Some(kubelet) = &kubelet {
        kubelet.run(&pod)?;
    }
    Ok(kubelet)
}

/// Says who controls a pod, so that it is asked for; it is not there. The pod's own uid is left to the server.
fn own(pod: &mut Value, version: &str, kind: &str, uid: &str) {
    let owner = json!({"apiVersion": version, "kind": kind, "name": "web", "uid": uid, "controller": true});
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("uid");
        metadata.insert("ownerReferences".to_owned(), json!([owner]));
    }
}

/// Serves the page on a port of its own; tells where.
async fn serve(tasks: &mut JoinSet<()>) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
    let address = listener.local_addr().context("cannot tell the port")?.to_string();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            // Whoever goes away early asks again.
            let _asked = stream.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                PAGE.len()
            );
            let _answered = stream.write_all(format!("{head}{PAGE}").as_bytes()).await;
        }
    });
    Ok(address)
}
