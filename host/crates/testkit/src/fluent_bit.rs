//! What Fluent Bit's filter `kubernetes` makes of the folder that its `Kube_meta_preload_cache_dir` names: the rules that the real process was
//! seen to follow, its weaknesses included, so that a test can tell what stands in a log record in the end.

mod hash;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use hash::{Found, search};

/// What the filter is told; the default is what it does when it is told nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// `Use_Kubelet`: whether a file has to be a list of pods.
    pub use_kubelet: bool,
    /// `owner_references`: whether those go with the record.
    pub owner_references: bool,
    /// `kube_meta_cache_ttl`: after how long a file is read again; never when there is none.
    pub ttl: Option<Duration>,
}

/// The filter, with what it remembers.
#[derive(Debug)]
pub struct Filter {
    folder: PathBuf,
    settings: Settings,
    /// What it made of a file, by the tag, and when. That there was none is not remembered.
    cache: HashMap<String, (Value, Instant)>,
}

/// What the name of a log file tells.
struct Tag<'a> {
    pod: &'a str,
    namespace: &'a str,
    container: &'a str,
    docker_id: &'a str,
}

impl Filter {
    /// Reads this folder.
    pub fn new(folder: impl Into<PathBuf>, settings: Settings) -> Self {
        Self { folder: folder.into(), settings, cache: HashMap::new() }
    }

    /// What a line gets as `kubernetes` that was read from this log file below `/var/log/containers`; nothing where there is no file of its
    /// pod that can be read, and so, with an API server that does not answer, no `kubernetes`.
    ///
    /// # Errors
    ///
    /// When Fluent Bit would crash, and when that is no name of a container's log.
    pub fn record(&mut self, log: &str) -> Result<Option<Value>> {
        let Some(tag) = Tag::parse(log) else { bail!("{log} is not <pod>_<namespace>_<container>-<64 digits>.log") };
        if let Some((record, since)) = self.cache.get(log)
            && self.settings.ttl.is_none_or(|ttl| since.elapsed() < ttl)
        {
            return Ok(Some(record.clone()));
        }
        self.cache.remove(log);
        let Some(document) = self.read(&format!("{}_{}.meta", tag.namespace, tag.pod)) else { return Ok(None) };
        let nothing = Value::Null;
        let pod = if self.settings.use_kubelet { of_list(&document, &tag)?.unwrap_or(&nothing) } else { &document };
        let record = merge(&tag, pod, self.settings.owner_references);
        self.cache.insert(log.to_owned(), (record.clone(), Instant::now()));
        Ok(Some(record))
    }

    /// What a line gets as `kubernetes_namespace` with `namespace_labels` and `namespace_annotations`; nothing where there is no file.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<Value> {
        let document = self.read(&format!("{name}.namespace_meta"))?;
        let mut record = Map::from_iter([("name".to_owned(), name.into())]);
        copy(&mut record, "labels", document.pointer("/metadata/labels"));
        copy(&mut record, "annotations", document.pointer("/metadata/annotations"));
        Some(Value::Object(record))
    }

    /// The first document of a file. One that is missing, empty or cut off is none.
    fn read(&self, name: &str) -> Option<Value> {
        let bytes = std::fs::read(self.folder.join(name)).ok()?;
        serde_json::Deserializer::from_slice(&bytes).into_iter().next()?.ok()
    }
}

impl<'a> Tag<'a> {
    fn parse(log: &'a str) -> Option<Self> {
        let (front, docker_id) = log.strip_suffix(".log")?.rsplit_once('-')?;
        let mut parts = front.splitn(3, '_');
        let tag = Self { pod: parts.next()?, namespace: parts.next()?, container: parts.next()?, docker_id };
        (docker_id.len() == 64).then_some(tag)
    }
}

/// The pod in the list of a kubelet, if it is in there.
fn of_list<'a>(document: &'a Value, tag: &Tag<'_>) -> Result<Option<&'a Value>> {
    let Some(items) = document.get("items").and_then(Value::as_array) else {
        bail!("Fluent Bit crashes: with `Use_Kubelet` the file must be a list, and it has no `items`");
    };
    let is = |pod: &Value, field: &str, name: &str| pod.pointer(field).and_then(Value::as_str) == Some(name);
    Ok(items.iter().find(|pod| is(pod, "/metadata/name", tag.pod) && is(pod, "/metadata/namespace", tag.namespace)))
}

/// The record, with its keys in the order in which Fluent Bit writes them.
fn merge(tag: &Tag<'_>, pod: &Value, owner_references: bool) -> Value {
    let mut record = Map::new();
    let text = |record: &mut Map<String, Value>, key: &str, value: Option<&str>| {
        if let Some(value) = value {
            record.insert(key.to_owned(), value.into());
        }
    };
    text(&mut record, "pod_name", Some(tag.pod));
    text(&mut record, "namespace_name", Some(tag.namespace));
    copy(&mut record, "pod_id", pod.pointer("/metadata/uid"));
    copy(&mut record, "labels", pod.pointer("/metadata/labels"));
    copy(&mut record, "annotations", pod.pointer("/metadata/annotations"));
    copy(&mut record, "ownerReferences", pod.pointer("/metadata/ownerReferences").filter(|_| owner_references));
    copy(&mut record, "host", pod.pointer("/spec/nodeName"));
    copy(&mut record, "pod_ip", pod.pointer("/status/podIP"));
    let Found { image, hash } = pod.get("status").map(|status| search(status, tag.container)).unwrap_or_default();
    text(&mut record, "container_name", Some(tag.container));
    text(&mut record, "docker_id", Some(tag.docker_id));
    text(&mut record, "container_hash", hash);
    text(&mut record, "container_image", image);
    Value::Object(record)
}

fn copy(record: &mut Map<String, Value>, key: &str, value: Option<&Value>) {
    if let Some(value) = value {
        record.insert(key.to_owned(), value.clone());
    }
}

#[cfg(test)]
#[path = "fluent_bit/tests.rs"]
mod tests;
