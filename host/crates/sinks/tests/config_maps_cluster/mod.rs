//! A real API server, collectors that write to it, and what is in it then.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sluicebox_contract::{Entry, Fault, Outcome, Sink, TimeSpan};
use sluicebox_kubernetes::{Api, Config as Kubernetes, TokenRetrieval};
use sluicebox_sinks::config_maps::{Config, ConfigMaps};
use sluicebox_testkit::servers::{KubeApiServer, Need, require};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::time::timeout;

/// One for all tests of this program: it takes seconds to start. Its process ends with ours.
static SERVER: OnceCell<RwLock<KubeApiServer>> = OnceCell::const_new();

async fn server() -> Option<&'static RwLock<KubeApiServer>> {
    if !require(Need::KubeApiServer) {
        return None;
    }
    Some(SERVER.get_or_init(|| async { RwLock::new(KubeApiServer::start().await.expect("it starts")) }).await)
}

/// The server, for a test that shares it with others.
pub(crate) async fn shared(namespace: &'static str) -> Option<Namespace<RwLockReadGuard<'static, KubeApiServer>>> {
    Some(Namespace::new(server().await?.read().await, namespace).await)
}

/// The server, for a test that ends or pauses it.
pub(crate) async fn alone(namespace: &'static str) -> Option<Namespace<RwLockWriteGuard<'static, KubeApiServer>>> {
    Some(Namespace::new(server().await?.write().await, namespace).await)
}

/// A namespace of its own for a test.
pub(crate) struct Namespace<S> {
    pub(crate) server: S,
    pub(crate) name: &'static str,
}

/// How the server is reached with a token.
pub(crate) fn way(server: &KubeApiServer, token: &str) -> Kubernetes {
    let folder = tempfile::tempdir().expect("a folder").keep();
    let file = folder.join("token");
    std::fs::write(&file, token).expect("the token");
    Kubernetes {
        url: Some(server.url()),
        ca_file: Some(server.certificate_authority()),
        token_retrieval: TokenRetrieval::File(file),
        request_timeout: TimeSpan(Duration::from_mins(1)),
        ..Kubernetes::default()
    }
}

impl<S: std::ops::Deref<Target = KubeApiServer>> Namespace<S> {
    async fn new(server: S, name: &'static str) -> Self {
        server.create_namespace(name).await.expect("it is created");
        Self { server, name }
    }

    /// Settings that a test can wait for.
    pub(crate) fn config(&self) -> Config {
        Config { namespace: self.name.to_owned(), period: TimeSpan(Duration::from_millis(100)), ..Config::new("m") }
    }

    pub(crate) async fn sink(&self, node: &str, config: &Config) -> ConfigMaps {
        self.sink_as(self.server.admin_token(), node, config).await
    }

    pub(crate) async fn sink_as(&self, token: &str, node: &str, config: &Config) -> ConfigMaps {
        assert_eq!(config.problems(), []);
        self.any_sink(token, node, config).await
    }

    /// One whose times are shorter than anybody should have them.
    pub(crate) async fn hasty_sink(&self, node: &str, config: &Config) -> ConfigMaps {
        self.any_sink(self.server.admin_token(), node, config).await
    }

    async fn any_sink(&self, token: &str, node: &str, config: &Config) -> ConfigMaps {
        let api = Api::connect(&way(&self.server, token)).await.expect("a way");
        ConfigMaps::new("edges".into(), config, node, api)
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let path = format!("/api/v1/namespaces/{}/configmaps{path}", self.name);
        self.server.request(method, &path, body).await.expect("an answer")
    }

    /// What somebody else makes.
    pub(crate) async fn create(&self, name: &str, data: Value) {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        self.ask(Method::POST, "?fieldManager=somebody", Some(&body)).await;
    }

    /// What somebody else changes.
    pub(crate) async fn patch(&self, name: &str, patch: Value) {
        self.ask(Method::PATCH, &format!("/{name}?fieldManager=somebody"), Some(&patch)).await;
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.ask(Method::DELETE, &format!("/{name}"), None).await;
    }

    pub(crate) async fn object(&self, name: &str) -> Value {
        self.ask(Method::GET, &format!("/{name}"), None).await
    }

    /// Keys and values, in one line.
    pub(crate) async fn data(&self, name: &str) -> String {
        let keys = self.keys(name).await;
        keys.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
    }

    pub(crate) async fn keys(&self, name: &str) -> BTreeMap<String, String> {
        let object = self.object(name).await;
        let data = object["data"].as_object().cloned().unwrap_or_default();
        data.into_iter().map(|(key, value)| (key, value.as_str().expect("a text").to_owned())).collect()
    }

    pub(crate) async fn version(&self, name: &str) -> String {
        self.object(name).await["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
    }
}

/// Writes all, and again from where it stopped, as an outlet does.
pub(crate) async fn write_all(sink: &mut ConfigMaps, entries: &[Entry]) -> Vec<String> {
    let mut refused = Vec::new();
    let mut next = 0;
    while next < entries.len() {
        let batch = &entries[next..entries.len().min(next + 64)];
        let outcome = sink.write(batch).await;
        let done = outcome.stopped.as_ref().map_or(batch.len(), |(index, _)| *index);
        refused.extend(outcome.refused.into_iter().filter(|refusal| refusal.index < done).map(|refusal| refusal.reason));
        if outcome.stopped.is_some() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        next += done;
    }
    refused
}

/// Writes what must be taken.
pub(crate) async fn write(sink: &mut ConfigMaps, entries: &[Entry]) {
    assert_eq!(sink.write(entries).await, Outcome::written());
}

/// What a write met.
pub(crate) async fn fault(sink: &mut ConfigMaps, entries: &[Entry]) -> Fault {
    sink.write(entries).await.stopped.expect("it stops").1
}

/// Lets the sink do its own work for a while.
pub(crate) async fn work(sink: &mut ConfigMaps, span: Duration) {
    let work = async {
        loop {
            sink.upkeep().await.expect("it works");
        }
    };
    let _elapsed: Result<(), _> = timeout(span, work).await;
}
