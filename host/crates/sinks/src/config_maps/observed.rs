//! What the API server tells of a `ConfigMap`: how large its keys are, and whose. Pure.

use sluicebox_contract::text::in_few_words;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::place::OURS;

/// A `ConfigMap` as it was at one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) version: String,
    /// When we last changed anything, in the server's words; empty if nothing there is ours.
    pub(super) time: String,
    pub(super) immutable: bool,
    pub(super) keys: Vec<Key>,
    /// Our like: who else applies to it.
    pub(super) neighbours: Vec<Neighbour>,
    /// Who else has put most into it, and how many bytes.
    pub(super) largest: Option<(String, usize)>,
}

/// What is told of a write where nothing else matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) version: String,
    /// When we last changed anything, in the server's words; empty if nothing there is ours.
    pub(super) time: String,
}

/// A key that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) value: Value,
    /// Whether it is ours, as the API server knows it.
    pub(super) mine: bool,
    /// Whether it is somebody else's, perhaps as well.
    pub(super) others: bool,
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// So many bytes under `binaryData`, which we do not write.
    Binary(usize),
}

impl Value {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => *bytes,
        }
    }
}

/// Another of our like, and when that last changed anything, in the server's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Neighbour {
    pub(super) manager: String,
    pub(super) time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    metadata: Metadata,
    #[serde(default)]
    data: Option<HashMap<String, String>>,
    #[serde(default)]
    binary_data: Option<HashMap<String, String>>,
    #[serde(default)]
    immutable: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    resource_version: String,
    #[serde(default)]
    managed_fields: Option<Vec<Managed>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Managed {
    manager: String,
    operation: String,
    time: String,
    #[serde(rename = "fieldsV1")]
    fields: Option<Fields>,
}

/// Which fields are somebody's, as a tree of names that begin with `f:`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:data")]
    data: Option<BTreeMap<String, Nothing>>,
    #[serde(rename = "f:binaryData")]
    binary: Option<BTreeMap<String, Nothing>>,
}

/// What stands under a name: for a key, an empty object.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Nothing {
    #[serde(rename = "f:")]
    _below: Option<IgnoredAny>,
}

impl Fields {
    fn keys(&self) -> impl Iterator<Item = &str> {
        [&self.data, &self.binary].into_iter().flatten().flat_map(BTreeMap::keys).filter_map(|name| name.strip_prefix("f:"))
    }
}

/// Reads the JSON of a `ConfigMap`, as its field manager `manager` sees it.
pub(super) fn read(json: &[u8], manager: &str) -> Result<Observed, String> {
    let object: Object =
        serde_json::from_slice(json).map_err(|error| format!("the answer is no ConfigMap: {}", in_few_words(error)))?;
    let texts = object.data.into_iter().flatten().map(|(name, text)| (name, Value::Text(text)));
    let binaries = object.binary_data.into_iter().flatten();
    // Base64 has four letters for three bytes.
    let binaries = binaries.map(|(name, letters)| (name, Value::Binary(letters.len().div_ceil(4) * 3)));
    let values: Vec<(String, Value)> = texts.chain(binaries).collect();
    let lengths: HashMap<&str, usize> = values.iter().map(|(name, value)| (name.as_str(), name.len() + value.len())).collect();

    let owners = object.metadata.managed_fields.unwrap_or_default();
    let mut mine = HashSet::new();
    let mut time = String::new();
    let mut others = HashSet::new();
    let mut neighbours = Vec::new();
    let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
    for one in &owners {
        let applies = one.operation == "Apply";
        let keys = one.fields.iter().flat_map(Fields::keys);
        if applies && one.manager == manager {
            mine.extend(keys);
            time.clone_from(&one.time);
            continue;
        }
        for key in keys {
            others.insert(key);
            *bytes.entry(&one.manager).or_default() += lengths.get(key).copied().unwrap_or_default();
        }
        if applies && one.manager.starts_with(OURS) {
            neighbours.push(Neighbour { manager: one.manager.clone(), time: one.time.clone() });
        }
    }
    let largest = bytes.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(name, bytes)| (name.to_owned(), bytes));
    let owned = |name: &String| (mine.contains(name.as_str()), others.contains(name.as_str()));
    let keys = values.iter().map(|(name, value)| (owned(name), name.clone(), value.clone()));
    let keys = keys.map(|((mine, others), name, value)| Key { name, value, mine, others }).collect();
    Ok(Observed {
        version: object.metadata.resource_version,
        time,
        immutable: object.immutable.unwrap_or_default(),
        keys,
        neighbours,
        largest,
    })
}

/// The version of an object, and when its field manager `manager` last changed it.
pub(super) fn receipt(json: &[u8], manager: &str) -> Result<Receipt, String> {
    #[derive(Deserialize)]
    struct Versioned {
        metadata: Only,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Only {
        resource_version: String,
        #[serde(default)]
        managed_fields: Option<Vec<Signature>>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Signature {
        manager: String,
        operation: String,
        time: String,
    }
    let object: Versioned =
        serde_json::from_slice(json).map_err(|error| format!("the answer has no version: {}", in_few_words(error)))?;
    let signatures = object.metadata.managed_fields.unwrap_or_default();
    let ours = signatures.into_iter().find(|one| one.operation == "Apply" && one.manager == manager);
    Ok(Receipt { version: object.metadata.resource_version, time: ours.map(|one| one.time).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the API server of Kubernetes 1.20 writes it.
    const OBJECT: &str = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"m","namespace":"default","uid":"u",
        "resourceVersion":"229","managedFields":[
        {"manager":"sluicebox/a/s","operation":"Apply","apiVersion":"v1","time":"2024-01-02T03:04:05Z","fieldsType":"FieldsV1",
         "fieldsV1":{"f:data":{"f:one":{},"f:two":{}}}},
        {"manager":"sluicebox/b/s","operation":"Apply","apiVersion":"v1","time":"2024-01-02T03:04:06Z","fieldsType":"FieldsV1",
         "fieldsV1":{"f:data":{"f:two":{},"f:three":{}}}},
        {"manager":"kubectl","operation":"Update","apiVersion":"v1","time":"2024-01-02T03:04:07Z","fieldsType":"FieldsV1",
         "fieldsV1":{"f:binaryData":{".":{},"f:four":{}},"f:data":{".":{}}}}]},
        "data":{"one":"1","two":"22","three":"\u00fc","five":"5"},"binaryData":{"four":"AAEC"}}"#;

    #[test]
    fn keys_are_told_by_size_and_owner() {
        let observed = read(OBJECT.as_bytes(), "sluicebox/a/s").expect("a ConfigMap");
        let mut keys: Vec<_> =
            observed.keys.iter().map(|key| (key.name.as_str(), key.value.len(), key.mine, key.others)).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                ("five", 1, false, false),
                ("four", 3, false, true),
                ("one", 1, true, false),
                ("three", 2, false, true),
                ("two", 2, true, true),
            ]
        );
        assert_eq!((observed.version.as_str(), observed.immutable), ("229", false));
        assert_eq!(observed.largest, Some(("sluicebox/b/s".to_owned(), 12)));
        let neighbour = Neighbour { manager: "sluicebox/b/s".to_owned(), time: "2024-01-02T03:04:06Z".to_owned() };
        assert_eq!(observed.neighbours, [neighbour]);
        assert_eq!(observed.time, "2024-01-02T03:04:05Z");
        for (manager, time) in [("sluicebox/a/s", "2024-01-02T03:04:05Z"), ("kubectl", "")] {
            let receipt = receipt(OBJECT.as_bytes(), manager).expect("a ConfigMap");
            assert_eq!((receipt.version.as_str(), receipt.time.as_str()), ("229", time));
        }
    }

    #[test]
    fn an_empty_one_is_one_and_something_else_is_not() {
        let empty = read(br#"{"metadata":{"resourceVersion":"1"},"immutable":true}"#, "a").expect("a ConfigMap");
        assert_eq!(empty, Observed { version: "1".to_owned(), immutable: true, ..Observed::default() });
        for other in ["", "[]", "{}", "<html>", r#"{"metadata":{}}"#] {
            assert!(read(other.as_bytes(), "a").is_err() && receipt(other.as_bytes(), "a").is_err(), "{other}");
        }
    }
}
