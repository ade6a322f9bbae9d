//! Which object or list a request is about. No IO.

use http::StatusCode;

use super::answer::Refusal;
use super::json;
use super::store::{Kind, Object};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: Kind,
    /// Empty for what lives in no namespace, and for all namespaces.
    pub(super) namespace: String,
    pub(super) name: Option<String>,
}

/// The group and version whose kinds a path asks for.
pub(super) fn kinds(path: &str) -> Option<&str> {
    match path {
        "/api/v1" => Some("v1"),
        "/apis/apps/v1" => Some("apps/v1"),
        _ => None,
    }
}

/// Reads a path.
pub(super) fn place(path: &str) -> Result<Place, Refusal> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let place = |kind, namespace: &str, name: Option<&str>| {
        Ok(Place { kind, namespace: namespace.to_owned(), name: name.map(ToOwned::to_owned) })
    };
    match parts.as_slice() {
        ["api", "v1", "pods"] => place(Kind::Pods, "", None),
        ["api", "v1", "namespaces", namespace, "pods"] => place(Kind::Pods, namespace, None),
        ["api", "v1", "namespaces", namespace, "pods", name] | ["api", "v1", "namespaces", namespace, "pods", name, "status"] => {
            place(Kind::Pods, namespace, Some(name))
        }
        ["api", "v1", "namespaces"] => place(Kind::Namespaces, "", None),
        ["api", "v1", "namespaces", name] | ["api", "v1", "namespaces", name, "status"] => {
            place(Kind::Namespaces, "", Some(name))
        }
        ["api", "v1", "events"] => place(Kind::Events, "", None),
        ["api", "v1", "namespaces", namespace, "events"] => place(Kind::Events, namespace, None),
        ["api", "v1", "namespaces", namespace, "events", name] => place(Kind::Events, namespace, Some(name)),
        ["api", "v1", "services"] => place(Kind::Services, "", None),
        ["api", "v1", "namespaces", namespace, "services"] => place(Kind::Services, namespace, None),
        ["api", "v1", "namespaces", namespace, "services", name] => place(Kind::Services, namespace, Some(name)),
        ["apis", "apps", "v1", "namespaces", namespace, "replicasets", name] => place(Kind::ReplicaSets, namespace, Some(name)),
        ["apis", "apps", "v1", "namespaces", namespace, "deployments", name] => place(Kind::Deployments, namespace, Some(name)),
        ["apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases"] => place(Kind::Leases, namespace, None),
        ["apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases", name] => {
            place(Kind::Leases, namespace, Some(name))
        }
        ["api", "v1", "nodes"] => place(Kind::Nodes, "", None),
        ["api", "v1", "nodes", name] | ["api", "v1", "nodes", name, "status"] => place(Kind::Nodes, "", Some(name)),
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "the server could not find the requested resource")),
    }
}

/// The parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next().unwrap_or_default(), rest.next().unwrap_or_default()];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(b'?')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Which objects of a kind are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    namespace: String,
    /// Path, whether it shall be equal, text.
    terms: Vec<(String, bool, String)>,
}

impl Selector {
    pub(super) fn new(kind: Kind, namespace: &str, fields: &str) -> Result<Self, Refusal> {
        let mut terms = Vec::new();
        for term in fields.split(',').filter(|term| !term.is_empty()) {
            let (path, equal, text) = if let Some((path, text)) = term.split_once("!=") {
                (path, false, text)
            } else if let Some((path, text)) = term.split_once('=') {
                (path, true, text.trim_start_matches('='))
            } else {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("invalid selector: '{term}'")));
            };
            if !is_selectable(kind, path) {
                return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("field label not supported: {path}")));
            }
            terms.push((path.to_owned(), equal, text.to_owned()));
        }
        Ok(Self { namespace: namespace.to_owned(), terms })
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        let fits = |path: &str, equal: bool, text: &str| (json::text(&object.value, path) == text) == equal;
        (self.namespace.is_empty() || fits("metadata.namespace", true, &self.namespace))
            && self.terms.iter().all(|(path, equal, text)| fits(path, *equal, text))
    }
}

/// Whether the server selects by this field.
fn is_selectable(kind: Kind, path: &str) -> bool {
    match path {
        "metadata.name" | "metadata.namespace" | "spec.nodeName" | "status.phase" => true,
        "involvedObject.kind" | "involvedObject.namespace" | "involvedObject.name" | "involvedObject.uid" | "reason" | "type" => {
            kind == Kind::Events
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        let pod = Place { kind: Kind::Pods, namespace: "a".to_owned(), name: Some("b".to_owned()) };
        assert_eq!(place("/api/v1/namespaces/a/pods/b/status"), Ok(pod));
        assert_eq!(place("/api/v1/nodes").map(|place| place.kind), Ok(Kind::Nodes));
        assert!(place("/api/v1/secrets").is_err());
    }

    #[test]
    fn queries_are_decoded() {
        let expected = [("fieldSelector".to_owned(), "spec.nodeName=node 1".to_owned()), ("watch".to_owned(), String::new())];
        assert_eq!(parameters("fieldSelector=spec.nodeName%3Dnode+1&watch"), expected);
    }
}
