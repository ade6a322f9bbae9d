//! The scenarios, against a real kube-apiserver with etcd.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test that meets what it did not expect fails")]

mod cluster;

use std::net::SocketAddr;
use std::time::Duration;

use cluster::Cluster;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use sluicebox_sources::kubernetes::{Api, Config, Kubectl, TlsVerify, TokenRetrieval};
use sluicebox_sources::pods;
use sluicebox_testkit::servers::{KubeApiServer, Need, kubectl, require};
use tokio::sync::{OnceCell, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One for all tests of this program: it takes seconds to start. Its process ends with ours.
static SERVER: OnceCell<RwLock<KubeApiServer>> = OnceCell::const_new();

enum Real {
    Shared(RwLockReadGuard<'static, KubeApiServer>),
    /// For what the others could not bear.
    Alone(RwLockWriteGuard<'static, KubeApiServer>),
}

async fn start(name: &str) -> Option<Real> {
    if !require(Need::KubeApiServer) {
        return None;
    }
    let server = SERVER.get_or_init(|| async { RwLock::new(KubeApiServer::start().await.expect("it starts")) }).await;
    // Other pods would come to the whole cluster.
    let alone = name.contains("history") || name.contains("five_hundred");
    Some(if alone { Real::Alone(server.write().await) } else { Real::Shared(server.read().await) })
}

scenarios!(start);

impl Real {
    fn server(&self) -> &KubeApiServer {
        match self {
            Self::Shared(server) => server,
            Self::Alone(server) => server,
        }
    }
}

impl Cluster for Real {
    fn address(&self) -> SocketAddr {
        self.server().url().trim_start_matches("https://").parse().expect("an address")
    }

    fn config(&self, address: SocketAddr) -> Config {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let token = folder.join("token");
        std::fs::write(&token, self.server().admin_token()).expect("the token");
        Config {
            url: Some(format!("https://{address}")),
            ca_file: Some(self.server().certificate_authority()),
            token_retrieval: TokenRetrieval::File(token),
            ..Config::default()
        }
    }

    async fn create_namespace(&self, name: &str) {
        self.server().create_namespace(name).await.expect("it is created");
    }

    async fn create_node(&self, name: &str) {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
        self.server().request(Method::POST, "/api/v1/nodes", Some(&node)).await.expect("it is created");
    }

    async fn label_node(&self, name: &str, labels: Value) {
        let patch = json!({"metadata": {"labels": labels}});
        self.server().request(Method::PATCH, &format!("/api/v1/nodes/{name}"), Some(&patch)).await.expect("it is labelled");
    }

    async fn put_service(&self, namespace: &str, name: &str, spec: Value) {
        let path = format!("/api/v1/namespaces/{namespace}/services");
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec});
        if self.server().request(Method::POST, &path, Some(&service)).await.is_err() {
            self.server().request(Method::PATCH, &format!("{path}/{name}"), Some(&service)).await.expect("it is patched");
        }
    }

    async fn create_pod(&self, pod: Value) -> Value {
        self.server().create_pod(&pod).await.expect("it is created")
    }

    async fn get_pod(&self, namespace: &str, name: &str) -> Value {
        self.server().get_pod(namespace, name).await.expect("it is there")
    }

    async fn patch_status(&self, namespace: &str, name: &str, status: Value) {
        self.server().patch_status(namespace, name, &status).await.expect("it is patched");
    }

    async fn delete_pod(&self, namespace: &str, name: &str) {
        self.server().delete_pod(namespace, name).await.expect("it is deleted");
    }

    async fn settle(&self, node: &str, pods: usize) {
        let path = format!("/api/v1/pods?resourceVersion=0&fieldSelector=spec.nodeName%3D{node}");
        loop {
            let list = self.server().request(Method::GET, &path, None).await.expect("a list");
            if list["items"].as_array().is_some_and(|items| items.len() == pods) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn forget_history(&mut self) {
        let Self::Alone(server) = self else { panic!("the server is shared") };
        server.compact().await.expect("it is compacted");
        server.restart().await.expect("it is restarted");
    }

    async fn two_tokens(&self) -> [String; 2] {
        let space = cluster::unique("accounts");
        self.create_namespace(&space).await;
        let mut tokens = Vec::new();
        for name in ["first", "second"] {
            self.server().create_service_account(&space, name).await.expect("an account");
            self.server().let_service_account_watch(&space, name, &["pods"]).await.expect("its rights");
            let token = self.server().mint_token(&space, name).await.expect("a token");
            while self.server().status_for(&token, "/api/v1/pods").await.expect("an answer") != StatusCode::OK {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            tokens.push(token);
        }
        tokens.try_into().expect("two tokens")
    }

    async fn refuse_the_first(&self, tokens: &[String; 2]) {
        let account = account(&tokens[0]);
        let path = format!("/api/v1/namespaces/{account}/serviceaccounts/first");
        self.server().request(Method::DELETE, &path, None).await.expect("the account is deleted");
        // The server remembers for some seconds whom it has known.
        while self.server().status_for(&tokens[0], "/api/v1/pods").await.expect("an answer") != StatusCode::UNAUTHORIZED {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The namespace of a token's service account.
fn account(token: &str) -> String {
    use base64::Engine as _;
    let claims = token.split('.').nth(1).expect("three parts");
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    claims["kubernetes.io"]["namespace"].as_str().expect("a namespace").to_owned()
}

/// A kubeconfig leads there as well, with its own token and authority; nothing is written into the log.
#[tokio::test]
async fn a_kubeconfig_is_enough() {
    let Some(cluster) = start("a_kubeconfig_is_enough").await else {
        return;
    };
    let server = cluster.server();
    let file = server.kube_config(server.admin_token()).expect("a kubeconfig");
    let config = Config { kubeconfig: Some(file), ..Config::default() };
    let (recorder, log) = (cluster::Recorder::default(), cluster::log::Log);
    let gate = cluster::Gate::to(cluster.address()).await;
    let watched = cluster::pods_by(gate, &config, &pods::Config::default(), "nowhere", cluster::TYPED).await;
    log.catch();
    cluster::during(watched.source, &recorder, recorder.until_complete()).await;
    assert_eq!(log.lines(), Vec::<String>::new());
}

/// What the real server says when it refuses: 401 for whom it does not know, 403 for whom it does.
#[tokio::test]
async fn refusals_are_said_in_the_servers_words() {
    let Some(cluster) = start("refusals").await else {
        return;
    };
    let unprivileged = cluster.server().unprivileged_token();
    for (token, words) in [
        ("nobody-knows-me", "the API answers 401: Unauthorized"),
        (unprivileged, "the API answers 403: pods is forbidden: User \"nobody\" cannot list resource \"pods\""),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, token).expect("the token");
        let gate = cluster::Gate::to(cluster.address()).await;
        let config = cluster::with_token_file(cluster.config(gate.address()), &file);
        let log = cluster::log::Log;
        let watched = cluster::pods_by(gate, &config, &pods::Config::default(), "nowhere", cluster::TYPED).await;
        log.catch();
        cluster::during(watched.source, &cluster::Recorder::default(), log.until(words)).await;
    }
}

/// A server that the authorities do not vouch for is not talked to, unless the configuration says so in so many words.
#[tokio::test]
async fn certificates_are_verified_unless_the_risk_is_accepted() {
    let Some(cluster) = start("certificates").await else {
        return;
    };
    let gate = cluster::Gate::to(cluster.address()).await;
    let config = Config { ca_file: None, ..cluster.config(gate.address()) };
    let log = cluster::log::Log;
    let watched = cluster::pods_by(gate, &config, &pods::Config::default(), "nowhere", cluster::TYPED).await;
    log.catch();
    cluster::during(watched.source, &cluster::Recorder::default(), log.until("certificate")).await;
    assert!(log.lines()[0].contains("`kubernetes.ca-file`"), "{:#?}", log.lines());

    let gate = cluster::Gate::to(cluster.address()).await;
    let config = Config { ca_file: None, tls_verify: TlsVerify::NeverAndIAcceptTheRisk, ..cluster.config(gate.address()) };
    let watched = cluster::pods_by(gate, &config, &pods::Config::default(), "nowhere", cluster::TYPED).await;
    let recorder = cluster::Recorder::default();
    cluster::during(watched.source, &recorder, recorder.until_complete()).await;
}

/// Files that cannot be used are a fault at the start, with their names.
#[tokio::test]
async fn files_that_cannot_be_used_are_named_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let insecure = folder.path().join("insecure");
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: a\n\
        clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1', insecure-skip-tls-verify: true}}]\n\
        users: [{name: a, user: {token: t}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    std::fs::write(&insecure, text).expect("a kubeconfig");
    let url = Some("https://127.0.0.1:1".to_owned());
    for (config, words) in [
        (Config { kubeconfig: Some("/nowhere/config".into()), ..Config::default() }, "/nowhere/config"),
        (Config { url, ca_file: Some("/nowhere/ca.crt".into()), ..Config::default() }, "/nowhere/ca.crt"),
        (Config { kubeconfig: Some(insecure.clone()), context: Some("b".to_owned()), ..Config::default() }, "insecure"),
        (Config { kubeconfig: Some(insecure), ..Config::default() }, "never-and-i-accept-the-risk"),
    ] {
        let Err(fault) = Api::connect(&config).await else { panic!("{words}") };
        assert_eq!(fault.class, sluicebox_contract::Class::Fatal);
        assert!(fault.to_string().contains(words), "{words}: {fault}");
    }
}

/// The token that a real kubectl asks a real server for is good.
#[tokio::test]
async fn kubectl_asks_a_real_server_for_a_token() {
    if !require(Need::Kubectl) {
        return;
    }
    let Some(cluster) = start("kubectl").await else {
        return;
    };
    let server = cluster.server();
    let space = cluster::unique("kubectl");
    cluster.create_namespace(&space).await;
    server.create_service_account(&space, "reader").await.expect("an account");
    server.let_service_account_watch(&space, "reader", &["pods"]).await.expect("its rights");
    let program = kubectl().expect("a kubectl");
    let kubectl = Kubectl { service_account: "reader".to_owned(), namespace: space, program, ..Kubectl::default() };
    let config = Config {
        kubeconfig: Some(server.kube_config(server.admin_token()).expect("a kubeconfig")),
        token_retrieval: TokenRetrieval::Kubectl(kubectl),
        ..Config::default()
    };
    let gate = cluster::Gate::to(cluster.address()).await;
    let watched = cluster::pods_by(gate, &config, &pods::Config::default(), "nowhere", cluster::TYPED).await;
    let recorder = cluster::Recorder::default();
    cluster::during(watched.source, &recorder, recorder.until_complete()).await;
}
