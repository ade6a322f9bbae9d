//! What the server does to the JSON of objects. The order of keys stays as it was handed in.

use serde_json::{Map, Value};

/// Merges a patch: objects key by key, null removes, everything else replaces.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.shift_remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A text within, by its path; empty if there is none, as in field selectors.
pub(super) fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    path.split('.').try_fold(value, |value, key| value.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// The same object with kind and version first, as it stands alone, and without them, as it stands in a list.
pub(super) fn forms(value: &Value, kind: &str, api_version: &str) -> (Value, Value) {
    let mut bare = value.as_object().cloned().unwrap_or_default();
    bare.shift_remove("kind");
    bare.shift_remove("apiVersion");
    let mut whole = Map::new();
    whole.insert("kind".to_owned(), kind.into());
    whole.insert("apiVersion".to_owned(), api_version.into());
    whole.extend(bare.clone());
    (Value::Object(whole), Value::Object(bare))
}

/// What is told of an object to whoever asks for its metadata alone.
pub(super) fn partial(value: &Value) -> Value {
    let metadata = value.get("metadata").cloned().unwrap_or_default();
    serde_json::json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_is_merged() {
        let mut value = json!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut value, &json!({"a": {"b": null, "e": {"f": null}}, "d": [2]}));
        assert_eq!(value.to_string(), r#"{"a":{"c":2,"e":{}},"d":[2]}"#);
    }

    #[test]
    fn kind_and_version_come_first_and_the_rest_stays_in_order() {
        let (whole, bare) = forms(&json!({"z": 1, "apiVersion": "v1", "a": 2}), "Pod", "v1");
        assert_eq!(whole.to_string(), r#"{"kind":"Pod","apiVersion":"v1","z":1,"a":2}"#);
        assert_eq!(bare.to_string(), r#"{"z":1,"a":2}"#);
    }
}
