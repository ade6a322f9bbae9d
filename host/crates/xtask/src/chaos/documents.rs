//! What is kept about pods: it ends as the cluster is, and at no moment is a file half written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::api::image;
use super::cluster::Truth;

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
const ENDING: &str = ".meta";

/// Reads all files again and again, and notes those that are broken.
pub(super) async fn watch(folder: PathBuf, broken: Arc<Mutex<BTreeSet<String>>>) {
    loop {
        let (_, faults) = files(&folder);
        broken.lock().unwrap_or_else(PoisonError::into_inner).extend(faults);
        sleep(BETWEEN_LOOKS).await;
    }
}

/// The pods in files, by the names of the files, and which files are broken.
fn files(folder: &Path) -> (BTreeMap<String, Value>, Vec<String>) {
    let (mut pods, mut faults) = (BTreeMap::new(), Vec::new());
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.ends_with(ENDING) || name.starts_with('.') {
            continue;
        }
        // It may have gone meanwhile.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        match serde_json::from_str(&text) {
            Ok(pod) if text.ends_with('\n') => {
                pods.insert(name, pod);
            }
            Ok(_) => faults.push(format!("{name} does not end with a line break: {text}")),
            Err(error) => faults.push(format!("{name} is broken: {error}: {text}")),
        }
    }
    (pods, faults)
}

/// How the files differ from the cluster.
pub(super) fn meta_faults(folder: &Path, namespace: &str, pods: &BTreeMap<String, Value>) -> Vec<String> {
    let (found, mut faults) = files(folder);
    for (name, pod) in pods {
        let file = format!("{namespace}_{name}{ENDING}");
        match found.get(&file) {
            Some(found) if is_same(found, pod) => {}
            Some(text) => faults.push(format!("{file} is not the pod: {}, which is {}", short(text), short(pod))),
            None => faults.push(format!("{file} is missing")),
        }
    }
    let known = |file: &String| pods.keys().any(|name| *file == format!("{namespace}_{name}{ENDING}"));
    faults.extend(found.keys().filter(|file| !known(file)).map(|file| format!("{file} is left of a pod that has gone")));
    faults
}

/// What a list holds does not say of each what it is.
fn is_same(found: &Value, pod: &Value) -> bool {
    let without = |value: &Value| {
        let mut value = value.clone();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        value
    };
    without(found) == without(pod)
}

fn short(pod: &Value) -> String {
    let at = |pointer: &str| pod.pointer(pointer).map(ToString::to_string).unwrap_or_default();
    format!("{} at {}", at("/metadata/annotations/number"), at("/metadata/resourceVersion"))
}

/// How the documents in Redis differ from the cluster. Of pods that have gone, those at these addresses may be there; none means any.
pub(super) fn hash_faults(found: &BTreeMap<String, String>, truth: &Truth, leftovers: Option<&BTreeSet<&String>>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut wanted = BTreeSet::new();
    for (name, number) in &truth.there {
        // The last address is that of the pod of this name that is there.
        let Some((address, _)) = truth.addresses.iter().filter(|(_, of)| *of == name).max_by_key(|(address, _)| place(address))
        else {
            continue;
        };
        wanted.insert(address);
        let document: Value = found.get(address).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let at = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        if (at("/kubernetes/name"), at("/kubernetes/image")) != (name.clone(), image(*number)) {
            faults.push(format!("the document of {name} at {address} should have the image {}: {document}", image(*number)));
        }
    }
    if let Some(leftovers) = leftovers {
        let others = found.keys().filter(|address| !wanted.contains(address) && !leftovers.contains(address));
        faults.extend(others.map(|address| format!("the document at {address} is left of a pod that has gone")));
    }
    faults
}

/// Addresses in the order in which they were given.
fn place(address: &str) -> Vec<u8> {
    address.split('.').filter_map(|part| part.parse().ok()).collect()
}
