//! The objects, and the history of their changes. No IO.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::{clock, json as tools};

/// So many changes are remembered. Whoever watches from before is told that his version has gone, as a real server does.
const MOST_CHANGES: usize = 20_000;

/// A kind of object that the server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Pods live in namespaces.
    Pods,
    /// Namespaces.
    Namespaces,
    /// Nodes.
    Nodes,
    /// Services live in namespaces.
    Services,
    /// `ReplicaSet`s of `apps/v1` live in namespaces. Nothing makes pods of them.
    ReplicaSets,
    /// Deployments, likewise.
    Deployments,
    /// Kubernetes Events, which live in namespaces. They are about an object, which need not be there.
    Events,
    /// Leases of `coordination.k8s.io/v1` live in namespaces.
    Leases,
}

impl Kind {
    pub(super) fn singular(self) -> &'static str {
        match self {
            Self::Pods => "Pod",
            Self::Namespaces => "Namespace",
            Self::Nodes => "Node",
            Self::Services => "Service",
            Self::ReplicaSets => "ReplicaSet",
            Self::Deployments => "Deployment",
            Self::Events => "Event",
            Self::Leases => "Lease",
        }
    }

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Namespaces => "namespaces",
            Self::Nodes => "nodes",
            Self::Services => "services",
            Self::ReplicaSets => "replicasets",
            Self::Deployments => "deployments",
            Self::Events => "events",
            Self::Leases => "leases",
        }
    }

    /// The group and version that it is of.
    pub(super) fn api_version(self) -> &'static str {
        match self {
            Self::ReplicaSets | Self::Deployments => "apps/v1",
            Self::Leases => "coordination.k8s.io/v1",
            _ => "v1",
        }
    }

    /// The kinds of a group and version, as the server tells which there are.
    pub(super) fn described(api_version: &str) -> Value {
        let all = [Self::Pods, Self::Namespaces, Self::Nodes, Self::Services, Self::ReplicaSets, Self::Deployments, Self::Events];
        let describe = |kind: Self| {
            let namespaced = kind.lives_in_a_namespace();
            json!({"name": kind.plural(), "singularName": "", "namespaced": namespaced, "kind": kind.singular(), "verbs": ["get"]})
        };
        let resources: Vec<Value> = all.into_iter().filter(|kind| kind.api_version() == api_version).map(describe).collect();
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources})
    }

    fn lives_in_a_namespace(self) -> bool {
        !matches!(self, Self::Namespaces | Self::Nodes)
    }
}

/// An object as it was at one version.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) value: Value,
    /// As it stands alone and in a watch.
    pub(super) whole: String,
    /// As it stands in a list.
    pub(super) bare: String,
}

/// A change. That of a deletion carries the last state.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) kind: Kind,
    pub(super) before: Option<Arc<Object>>,
    pub(super) object: Arc<Object>,
    pub(super) deleted: bool,
}

/// Kind, namespace, name.
type Key = (Kind, String, String);

#[derive(Default)]
pub(super) struct Store {
    version: u64,
    uids: u64,
    compacted: u64,
    objects: BTreeMap<Key, Arc<Object>>,
    history: VecDeque<Change>,
}

type Stored = Result<Arc<Object>, Refusal>;

impl Store {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn compact(&mut self) {
        self.compacted = self.version;
        self.history.clear();
    }

    /// What has happened after a version.
    pub(super) fn since(&self, kind: Kind, version: u64) -> Result<Vec<Change>, Refusal> {
        if version < self.compacted {
            return Err(Refusal::too_old(version, self.compacted));
        }
        let first = self.history.partition_point(|change| change.version <= version);
        Ok(self.history.iter().skip(first).filter(|change| change.kind == kind).cloned().collect())
    }

    /// All objects of a kind, by namespace and name.
    pub(super) fn all(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter().filter(move |((of, _, _), _)| *of == kind).map(|(_, object)| object)
    }

    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Stored {
        self.objects.get(&(kind, namespace.to_owned(), name.to_owned())).cloned().ok_or_else(|| not_found(kind, name))
    }

    pub(super) fn create(&mut self, kind: Kind, mut value: Value) -> Stored {
        let key = Self::key(kind, &mut value)?;
        if kind == Kind::Events {
            agree(&value, &key)?;
        }
        if self.objects.contains_key(&key) {
            let mut refusal = Refusal::new(StatusCode::CONFLICT, format!("{} \"{}\" already exists", kind.plural(), key.2));
            refusal.reason = "AlreadyExists";
            return Err(refusal);
        }
        self.uids += 1;
        let uid = format!("{:08x}-0000-4000-8000-{:012x}", self.uids, self.uids);
        let metadata = metadata(&mut value)?;
        for (field, text) in [("uid", uid), ("creationTimestamp", clock::timestamp(Duration::ZERO))] {
            if metadata.get(field).is_none_or(Value::is_null) {
                metadata.insert(field.to_owned(), text.into());
            }
        }
        if kind == Kind::Pods
            && value.get("status").is_none()
            && let Some(object) = value.as_object_mut()
        {
            object.insert("status".to_owned(), json!({"phase": "Pending", "qosClass": "BestEffort"}));
        }
        self.put(key, value)
    }

    pub(super) fn replace(&mut self, kind: Kind, mut value: Value) -> Stored {
        let key = Self::key(kind, &mut value)?;
        let old = self.get(kind, &key.1, &key.2)?;
        let wanted = tools::text(&value, "metadata.resourceVersion");
        if !wanted.is_empty() && wanted != tools::text(&old.value, "metadata.resourceVersion") {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "the object has been modified; please apply your changes to the latest version",
            ));
        }
        let metadata = metadata(&mut value)?;
        for field in ["uid", "creationTimestamp"] {
            let text = tools::text(&old.value, &format!("metadata.{field}")).to_owned();
            metadata.insert(field.to_owned(), text.into());
        }
        self.put(key, value)
    }

    pub(super) fn patch(&mut self, kind: Kind, namespace: &str, name: &str, patch: &Value) -> Stored {
        let mut value = self.get(kind, namespace, name)?.value.clone();
        tools::merge(&mut value, patch);
        self.put((kind, namespace.to_owned(), name.to_owned()), value)
    }

    pub(super) fn terminate(&mut self, kind: Kind, namespace: &str, name: &str, seconds: u64) -> Stored {
        let object = self.get(kind, namespace, name)?;
        if !tools::text(&object.value, "metadata.deletionTimestamp").is_empty() {
            return Ok(object);
        }
        let at = clock::timestamp(Duration::from_secs(seconds));
        let patch = json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": seconds}});
        self.patch(kind, namespace, name, &patch)
    }

    /// The last state carries the version of the deletion. As with the real server, a pod is seen ending before it is seen gone.
    pub(super) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) -> Stored {
        if kind == Kind::Pods {
            let metadata = json!({"deletionTimestamp": clock::timestamp(Duration::ZERO), "deletionGracePeriodSeconds": 0});
            self.patch(kind, namespace, name, &json!({ "metadata": metadata }))?;
        }
        let key = (kind, namespace.to_owned(), name.to_owned());
        let before = self.objects.remove(&key).ok_or_else(|| not_found(kind, name))?;
        self.version += 1;
        let mut value = before.value.clone();
        metadata(&mut value)?.insert("resourceVersion".to_owned(), self.version.to_string().into());
        let object = Arc::new(render(kind, &value));
        self.note(Change { version: self.version, kind, before: Some(before), object: Arc::clone(&object), deleted: true });
        Ok(object)
    }

    fn put(&mut self, key: Key, mut value: Value) -> Stored {
        self.version += 1;
        metadata(&mut value)?.insert("resourceVersion".to_owned(), self.version.to_string().into());
        let kind = key.0;
        let object = Arc::new(render(kind, &value));
        let before = self.objects.insert(key, Arc::clone(&object));
        self.note(Change { version: self.version, kind, before, object: Arc::clone(&object), deleted: false });
        Ok(object)
    }

    fn note(&mut self, change: Change) {
        self.history.push_back(change);
        if self.history.len() > MOST_CHANGES
            && let Some(oldest) = self.history.pop_front()
        {
            self.compacted = oldest.version;
        }
    }

    fn key(kind: Kind, value: &mut Value) -> Result<Key, Refusal> {
        let name = tools::text(value, "metadata.name").to_owned();
        if name.is_empty() {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "metadata.name is missing"));
        }
        let metadata = metadata(value)?;
        if !kind.lives_in_a_namespace() {
            return Ok((kind, String::new(), name));
        }
        let namespace = metadata.entry("namespace").or_insert_with(|| "default".into());
        Ok((kind, namespace.as_str().unwrap_or("default").to_owned(), name))
    }
}

/// An event lives where its object does; that of an object without a namespace lives in `default`.
fn agree(event: &Value, (_, namespace, name): &Key) -> Result<(), Refusal> {
    let wanted = match tools::text(event, "involvedObject.namespace") {
        "" => "default",
        wanted => wanted,
    };
    if wanted == namespace {
        return Ok(());
    }
    let words = format!("Event \"{name}\" is invalid: involvedObject.namespace: does not match event.namespace");
    let mut refusal = Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, words);
    refusal.reason = "Invalid";
    Err(refusal)
}

fn render(kind: Kind, value: &Value) -> Object {
    let (whole, bare) = tools::forms(value, kind.singular(), kind.api_version());
    Object { whole: whole.to_string(), bare: bare.to_string(), value: whole }
}

fn metadata(value: &mut Value) -> Result<&mut Map<String, Value>, Refusal> {
    value
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, "metadata is missing"))
}

fn not_found(kind: Kind, name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("{} \"{name}\" not found", kind.plural()))
}
