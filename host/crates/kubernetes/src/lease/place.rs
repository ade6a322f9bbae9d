//! Which namespace the Lease is in, and what this process is called there. Pure but for what it is handed.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use crate::is_object_name;

/// Where a pod finds its namespace.
pub(super) const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// A name is cut to so many bytes before a number is added.
const LONGEST_NAME: usize = 200;

/// What is configured, else the pod's own, else the kubeconfig context's. What cannot be a name counts as absent.
pub(super) fn namespace(
    configured: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
    file: Option<&str>,
    context: &str,
) -> String {
    let usable = |text: &str| Some(text.trim()).filter(|text| is_object_name(text)).map(ToOwned::to_owned);
    configured
        .map(ToOwned::to_owned)
        .or_else(|| environment("POD_NAMESPACE").and_then(|text| usable(&text)))
        .or_else(|| file.and_then(usable))
        .or_else(|| usable(context))
        .unwrap_or_else(|| "default".to_owned())
}

/// What this process is called in a Lease: the name of its pod or its host, and a number that no other process has, not even the one
/// before it in the same pod.
pub fn identity(host: Option<&str>, environment: impl Fn(&str) -> Option<String>) -> String {
    let usable = |text: &String| is_object_name(text.trim());
    let name = environment("POD_NAME").filter(usable).or_else(|| host.map(str::to_lowercase).filter(usable));
    let name = name.unwrap_or_else(|| "sluicebox".to_owned());
    let name = name.trim();
    let name = name.get(..name.floor_char_boundary(LONGEST_NAME)).unwrap_or_default();
    format!("{name}_{:016x}", random())
}

/// A number that differs from process to process. It needs no secrecy: the keys of a hash table do.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variable: &'static str, text: &'static str) -> impl Fn(&str) -> Option<String> {
        move |wanted| (wanted == variable).then(|| text.to_owned())
    }

    #[test]
    fn the_nearest_namespace_is_taken() {
        let nothing = environment("", "");
        let pod = environment("POD_NAMESPACE", "pod\n");
        assert_eq!(namespace(Some("own"), &pod, Some("file"), "context"), "own");
        assert_eq!(namespace(None, &pod, Some("file"), "context"), "pod");
        assert_eq!(namespace(None, &nothing, Some("file\n"), "context"), "file");
        assert_eq!(namespace(None, &nothing, Some("../x"), "context"), "context");
        assert_eq!(namespace(None, environment("POD_NAMESPACE", ""), None, ""), "default");
    }

    #[test]
    fn an_identity_is_a_name_and_a_number_of_its_own() {
        let nothing = environment("", "");
        let begins = |identity: &str, name: &str| {
            identity.strip_prefix(name).and_then(|rest| rest.strip_prefix('_')).is_some_and(|rest| rest.len() == 16)
        };
        assert!(begins(&identity(Some("Node-1"), environment("POD_NAME", "sluicebox-x7")), "sluicebox-x7"));
        assert!(begins(&identity(Some("Node-1"), &nothing), "node-1"));
        assert!(begins(&identity(Some("no name"), &nothing), "sluicebox"));
        assert!(begins(&identity(None, &nothing), "sluicebox"));
        assert_ne!(identity(None, &nothing), identity(None, &nothing));
    }
}
