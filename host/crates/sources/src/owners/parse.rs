//! The paths of owners at the API server, and what its answers say. Pure.

use sluicebox_contract::text::in_few_words;
use std::collections::HashMap;

use serde::Deserialize;
use sluicebox_contract::pod::Owner;

use crate::raw::Metadata;

/// How objects of a kind are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// Such as `deployments`.
    pub(super) plural: String,
    pub(super) namespaced: bool,
}

/// The kinds that a group has in a version.
pub(super) type Kinds = HashMap<String, Resource>;

/// Where the API server says which kinds a group has in a version, such as `apps/v1`. None for what cannot be one: whoever makes a pod
/// writes who owns it.
pub(super) fn kinds_path(api_version: &str) -> Option<String> {
    match api_version.split_once('/') {
        None if is_segment(api_version) => Some(format!("/api/{api_version}")),
        Some((group, version)) if is_segment(group) && is_segment(version) => Some(format!("/apis/{group}/{version}")),
        _ => None,
    }
}

/// Where the owner is.
pub(super) fn object_path(owner: &Owner, resource: &Resource, namespace: &str) -> Option<String> {
    let kinds = kinds_path(&owner.api_version)?;
    let (plural, name) = (&resource.plural, &owner.name);
    if !is_segment(plural) || !is_segment(name) {
        return None;
    }
    match (resource.namespaced, is_segment(namespace)) {
        (false, _) => Some(format!("{kinds}/{plural}/{name}")),
        (true, true) => Some(format!("{kinds}/namespaces/{namespace}/{plural}/{name}")),
        (true, false) => None,
    }
}

/// Whether it is one part of a path and nothing more.
fn is_segment(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=253).contains(&text.len()) && text.bytes().all(is_plain) && !text.bytes().all(|byte| byte == b'.')
}

#[derive(Deserialize)]
struct RawKinds {
    #[serde(default)]
    resources: Vec<RawKind>,
}

#[derive(Deserialize)]
struct RawKind {
    name: String,
    #[serde(default)]
    namespaced: bool,
    kind: String,
}

/// Reads the kinds of a group.
pub(super) fn kinds(text: &[u8]) -> Result<Kinds, String> {
    let RawKinds { resources } =
        serde_json::from_slice(text).map_err(|error| format!("it is no list of kinds: {}", in_few_words(error)))?;
    // Of one kind there are also parts, such as `deployments/scale`.
    let whole = resources.into_iter().filter(|raw| !raw.name.contains('/'));
    Ok(whole.map(|raw| (raw.kind, Resource { plural: raw.name, namespaced: raw.namespaced })).collect())
}

#[derive(Deserialize)]
struct RawObject {
    metadata: Metadata,
}

/// Who controls the object. Nobody, if it is another object than the one of this uid: that one is gone.
pub(super) fn controller(text: &[u8], uid: &str) -> Result<Option<Owner>, String> {
    let RawObject { metadata } =
        serde_json::from_slice(text).map_err(|error| format!("it is no object: {}", in_few_words(error)))?;
    if metadata.uid != uid {
        return Ok(None);
    }
    Ok(metadata.owner_references.into_iter().find(|owner| owner.controller).map(Owner::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(api_version: &str, name: &str) -> Owner {
        let (kind, uid) = ("Kind".to_owned(), "u".to_owned());
        Owner { api_version: api_version.to_owned(), kind, name: name.to_owned(), uid, controller: true }
    }

    fn path(api_version: &str, name: &str, namespaced: bool, namespace: &str) -> Option<String> {
        object_path(&owner(api_version, name), &Resource { plural: "things".to_owned(), namespaced }, namespace)
    }

    #[test]
    fn paths_follow_the_group() {
        let there = |path: &str| Some(path.to_owned());
        assert_eq!(path("apps/v1", "a", true, "n"), there("/apis/apps/v1/namespaces/n/things/a"));
        assert_eq!(path("v1", "a", true, "n"), there("/api/v1/namespaces/n/things/a"));
        assert_eq!(path("stable.example.com/v1beta1", "a.b", false, "n"), there("/apis/stable.example.com/v1beta1/things/a.b"));
    }

    #[test]
    fn what_would_lead_elsewhere_is_no_path() {
        for api_version in ["", "/", "a/", "/v1", "a/b/c", "..", "../v1", "a?b/v1", "a%2f/v1", "a b/v1"] {
            assert_eq!(kinds_path(api_version), None, "{api_version}");
        }
        for name in ["", "..", ".", "a/b", "a?b", "a#b", "a%2fb", "a b", "ä", &"a".repeat(254)] {
            assert_eq!(path("apps/v1", name, true, "n"), None, "{name}");
        }
        assert_eq!(path("apps/v1", "a", true, "../kube-system"), None);
        assert_eq!(path("apps/v1", "a", true, ""), None);
    }

    #[test]
    fn kinds_are_told_from_their_parts() {
        let text = br#"{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[
            {"name":"deployments","singularName":"deployment","namespaced":true,"kind":"Deployment","verbs":["get"]},
            {"name":"deployments/scale","namespaced":true,"group":"autoscaling","kind":"Scale"},
            {"name":"deployments/status","namespaced":true,"kind":"Deployment"},
            {"name":"clusterthings","namespaced":false,"kind":"ClusterThing"}]}"#;
        let kinds = kinds(text).unwrap();
        assert_eq!(kinds.len(), 2);
        assert_eq!(kinds.get("Deployment"), Some(&Resource { plural: "deployments".to_owned(), namespaced: true }));
        assert_eq!(kinds.get("ClusterThing").map(|resource| resource.namespaced), Some(false));
        assert!(super::kinds(b"<html>").is_err());
    }

    #[test]
    fn of_several_owners_one_controls() {
        let text = br#"{"kind":"PartialObjectMetadata","metadata":{"name":"rs","namespace":"n","uid":"u","ownerReferences":[
            {"apiVersion":"v1","kind":"Thing","name":"t","uid":"1"},
            {"apiVersion":"apps/v1","kind":"Deployment","name":"d","uid":"2","controller":true,"blockOwnerDeletion":true}]}}"#;
        let found = controller(text, "u").unwrap().unwrap();
        assert_eq!((found.api_version.as_str(), found.kind.as_str(), found.name.as_str()), ("apps/v1", "Deployment", "d"));
        assert_eq!(controller(text, "another"), Ok(None));
        assert_eq!(controller(br#"{"metadata":{"name":"rs","uid":"u"}}"#, "u"), Ok(None));
        assert!(controller(b"{}", "u").is_err());
    }
}
