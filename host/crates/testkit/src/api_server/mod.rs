//! A Kubernetes API server that behaves like the real one for pods, services, namespaces, nodes, events and leases, and misbehaves
//! when asked to. Of `ReplicaSet`s and `Deployment`s it tells one at a time.
//!
//! It lists (in pages, by field selector), watches (from any version that is not compacted, with bookmarks), creates, updates, patches
//! and deletes, by HTTP and by the methods of [`ApiServer`]. It runs in the caller's runtime, on loopback, on a port of its own.

mod answer;
mod clock;
mod fault;
mod json;
mod list;
mod route;
mod serve;
mod store;
mod watch;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::watch as signal;

pub use fault::{RequestFault, RequestFaultKind, WatchFault};
pub use store::Kind;

use fault::{Faults, Target};
use list::Snapshots;
use store::Store;

/// So many requests are remembered.
const MOST_REQUESTS: usize = 10_000;

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Such as `GET`.
    pub method: String,
    /// Such as `/api/v1/pods`.
    pub path: String,
    /// The query as it was sent, without the question mark.
    pub query: String,
    /// The bearer token.
    pub bearer: Option<String>,
}

impl Request {
    /// A parameter of the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        route::parameters(&self.query).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether it asks for a watch.
    pub fn is_watch(&self) -> bool {
        matches!(self.parameter("watch").as_deref(), Some("true" | "1"))
    }
}

/// The server. It ends when this is dropped.
pub struct ApiServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Mutex<serve::Listening>,
}

/// What connections, watches and the handle share.
struct Shared {
    state: Mutex<State>,
    /// Tells the watches that something is new.
    news: signal::Sender<u64>,
    /// Tells connections and watches to break off.
    breaks: signal::Sender<Breaks>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Breaks {
    watches: u64,
    connections: u64,
}

#[derive(Default)]
struct State {
    store: Store,
    snapshots: Snapshots,
    faults: Faults,
    /// None: whoever asks is answered.
    tokens: Option<BTreeSet<String>>,
    requests: VecDeque<Request>,
    /// Each watch sends a bookmark when it sees a new number here.
    bookmarks: u64,
}

impl State {
    fn note(&mut self, request: Request) {
        self.requests.push_back(request);
        if self.requests.len() > MOST_REQUESTS {
            self.requests.pop_front();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.news.send_modify(|number| *number += 1);
    }
}

impl ApiServer {
    /// Starts an empty one.
    pub async fn start() -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: signal::Sender::new(0),
            breaks: signal::Sender::new(Breaks::default()),
        });
        let (address, listening) = serve::listen(SocketAddr::from(([127, 0, 0, 1], 0)), &shared).await?;
        Ok(Self { address, shared, listener: Mutex::new(listening) })
    }

    /// Where it listens, such as `http://127.0.0.1:40001`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates an object. What the real server fills in is filled in.
    pub fn create(&self, kind: Kind, object: Value) -> Result<Value> {
        self.change(|store| store.create(kind, object))
    }

    /// Creates a pod, in namespace `default` if it names none.
    pub fn create_pod(&self, pod: Value) -> Result<Value> {
        self.create(Kind::Pods, pod)
    }

    /// Creates a namespace.
    pub fn create_namespace(&self, namespace: Value) -> Result<Value> {
        self.create(Kind::Namespaces, namespace)
    }

    /// Creates a node.
    pub fn create_node(&self, node: Value) -> Result<Value> {
        self.create(Kind::Nodes, node)
    }

    /// Replaces an object of the same name.
    pub fn update(&self, kind: Kind, object: Value) -> Result<Value> {
        self.change(|store| store.replace(kind, object))
    }

    /// Merges a patch into an object; null removes. `namespace` is empty for what lives in none.
    pub fn patch(&self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        self.change(|store| store.patch(kind, namespace, name, patch))
    }

    /// Merges a patch into the status of a pod.
    pub fn patch_status(&self, namespace: &str, name: &str, status: &Value) -> Result<Value> {
        self.patch(Kind::Pods, namespace, name, &serde_json::json!({ "status": status }))
    }

    /// Asks a pod to end: it stays, with the time of its deletion set.
    pub fn terminate(&self, namespace: &str, name: &str) -> Result<Value> {
        self.change(|store| store.terminate(Kind::Pods, namespace, name, 30))
    }

    /// Removes an object at once.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value> {
        self.change(|store| store.delete(kind, namespace, name))
    }

    /// Removes a pod at once.
    pub fn delete_pod(&self, namespace: &str, name: &str) -> Result<Value> {
        self.delete(Kind::Pods, namespace, name)
    }

    /// An object as it is now.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Result<Value> {
        let state = self.shared.lock();
        Ok(state.store.get(kind, namespace, name)?.value.clone())
    }

    /// The Kubernetes Events that were posted, by namespace and name.
    pub fn events(&self) -> Vec<Value> {
        self.shared.lock().store.all(Kind::Events).map(|event| event.value.clone()).collect()
    }

    fn change(&self, work: impl FnOnce(&mut Store) -> Result<Arc<store::Object>, answer::Refusal>) -> Result<Value> {
        let object = work(&mut self.shared.lock().store)?;
        self.shared.tell();
        Ok(object.value.clone())
    }

    /// Forgets the history: whoever asks for an older version is told that it has gone.
    pub fn compact(&self) {
        let mut state = self.shared.lock();
        state.store.compact();
        state.snapshots.clear();
    }

    /// Sends a bookmark to every watch that allows them.
    pub fn bookmark(&self) {
        self.shared.lock().bookmarks += 1;
        self.shared.tell();
    }

    /// From now on only these bearer tokens are known.
    pub fn accept_tokens(&self, tokens: &[&str]) {
        self.shared.lock().tokens = Some(tokens.iter().map(ToString::to_string).collect());
    }

    /// Whoever asks is answered.
    pub fn accept_everybody(&self) {
        self.shared.lock().tokens = None;
    }

    /// The requests that were made, in order: the last ten thousand.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Forgets the requests that were made.
    pub fn forget_requests(&self) {
        self.shared.lock().requests.clear();
    }

    /// Requests to come go wrong.
    pub fn fail(&self, fault: RequestFault) {
        self.shared.lock().faults.add_request_fault(Target::default(), fault);
    }

    /// As [`ApiServer::fail`], for requests of this method, such as `PUT`, whose path holds this text, such as `/leases`. What is empty
    /// fits all.
    pub fn fail_at(&self, method: &'static str, path: &'static str, fault: RequestFault) {
        self.shared.lock().faults.add_request_fault(Target { method, path }, fault);
    }

    /// Whoever watches from a version that was compacted is answered by a status 410, as some proxies do it, instead of by an event.
    pub fn answer_gone_by_status(&self) {
        self.shared.lock().faults.gone_as_status = true;
    }

    /// No further request goes wrong.
    pub fn heal(&self) {
        self.shared.lock().faults = Faults::default();
    }

    /// The next watch that is opened goes wrong. Several wait for their turn.
    pub fn fail_next_watch(&self, fault: WatchFault) {
        self.shared.lock().faults.add_watch_fault(fault);
    }

    /// Breaks off every watch.
    pub fn break_watches(&self) {
        self.shared.breaks.send_modify(|breaks| breaks.watches += 1);
    }

    /// Breaks off every connection and refuses new ones until [`ApiServer::resume`]. The port is kept.
    pub async fn pause(&self) -> Result<()> {
        let old = std::mem::take(&mut *self.listening());
        old.end().await;
        self.shared.breaks.send_modify(|breaks| breaks.connections += 1);
        let holding = serve::hold(self.address)?;
        *self.listening() = holding;
        Ok(())
    }

    /// Takes connections again.
    pub async fn resume(&self) -> Result<()> {
        let old = std::mem::take(&mut *self.listening());
        old.end().await;
        let (_, listening) = serve::listen(self.address, &self.shared).await.context("cannot take the port again")?;
        *self.listening() = listening;
        Ok(())
    }

    fn listening(&self) -> MutexGuard<'_, serve::Listening> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.shared.breaks.send_modify(|breaks| breaks.connections += 1);
    }
}
