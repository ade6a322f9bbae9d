//! The scenarios, against the test kit's API server.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::net::SocketAddr;
use std::time::Duration;

use cluster::Cluster;
use serde_json::{Value, json};
use sluicebox_sources::kubernetes::Config;
use sluicebox_testkit::api_server::{ApiServer, Kind};

struct Fake(ApiServer);

async fn start(_name: &str) -> Option<Fake> {
    Some(Fake(ApiServer::start().await.expect("the server starts")))
}

scenarios!(start);

impl Cluster for Fake {
    fn address(&self) -> SocketAddr {
        self.0.url().trim_start_matches("http://").parse().expect("an address")
    }

    fn config(&self, address: SocketAddr) -> Config {
        cluster::plain(address)
    }

    async fn create_namespace(&self, name: &str) {
        self.0.create_namespace(json!({"metadata": {"name": name}})).expect("it is created");
    }

    async fn create_node(&self, name: &str) {
        self.0.create_node(json!({"metadata": {"name": name}})).expect("it is created");
    }

    async fn label_node(&self, name: &str, labels: Value) {
        self.0.patch(Kind::Nodes, "", name, &json!({"metadata": {"labels": labels}})).expect("it is labelled");
    }

    async fn put_service(&self, namespace: &str, name: &str, spec: Value) {
        let service = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
        if self.0.create(Kind::Services, service.clone()).is_err() {
            self.0.patch(Kind::Services, namespace, name, &service).expect("it is patched");
        }
    }

    async fn create_pod(&self, pod: Value) -> Value {
        self.0.create_pod(pod).expect("it is created")
    }

    async fn get_pod(&self, namespace: &str, name: &str) -> Value {
        self.0.get(Kind::Pods, namespace, name).expect("it is there")
    }

    async fn patch_status(&self, namespace: &str, name: &str, status: Value) {
        self.0.patch_status(namespace, name, &status).expect("it is patched");
    }

    async fn delete_pod(&self, namespace: &str, name: &str) {
        self.0.delete_pod(namespace, name).expect("it is deleted");
    }

    async fn settle(&self, _node: &str, _pods: usize) {}

    async fn forget_history(&mut self) {
        self.0.compact();
    }

    async fn two_tokens(&self) -> [String; 2] {
        let tokens = ["first".to_owned(), "second".to_owned()];
        self.0.accept_tokens(&["first", "second"]);
        tokens
    }

    async fn refuse_the_first(&self, tokens: &[String; 2]) {
        self.0.accept_tokens(&[&tokens[1]]);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
