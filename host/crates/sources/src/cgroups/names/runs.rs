//! The runs of containers that have ended and been replaced: their ids stand in a pod's status beside those of the runs that followed. Pure.
//!
//! A run that is shorter than what the API takes to tell of it has no other name.

use serde::{Deserialize, Deserializer};
use sluicebox_contract::pod::{Container, ContainerKind, Pod};

/// Adds a container for each of them, with the name and the kind of the one that runs now.
pub(super) fn add_earlier(pod: &mut Pod, json: &str) {
    // What else the pod says was understood; these runs are left without names if they are not.
    let Ok(RawPod { status }) = serde_json::from_str::<RawPod>(json) else { return };
    let of_kind =
        [(ContainerKind::Init, status.init), (ContainerKind::App, status.app), (ContainerKind::Ephemeral, status.ephemeral)];
    let mut earlier = Vec::new();
    for (kind, of) in of_kind.into_iter().flat_map(|(kind, all)| all.into_iter().map(move |of| (kind, of))) {
        let Some(now) = pod.containers.iter().find(|container| container.kind == kind && container.name == of.name) else {
            continue;
        };
        earlier.extend([of.last_state, of.state].into_iter().filter_map(|state| run(now, state?.terminated?.container_id?)));
    }
    pod.containers.extend(earlier);
}

/// None when it is the run that the status is about, and when nobody has run.
fn run(now: &Container, id: String) -> Option<Container> {
    let status = now.status.as_ref().filter(|status| !id.is_empty() && status.container_id.as_ref() != Some(&id))?;
    let mut run = now.clone();
    let mut status = status.clone();
    status.container_id = Some(id);
    run.status = Some(status);
    Some(run)
}

#[derive(Deserialize)]
struct RawPod {
    #[serde(default, deserialize_with = "or_default")]
    status: RawStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    #[serde(rename = "initContainerStatuses", deserialize_with = "or_default")]
    init: Vec<RawContainerStatus>,
    #[serde(rename = "containerStatuses", deserialize_with = "or_default")]
    app: Vec<RawContainerStatus>,
    #[serde(rename = "ephemeralContainerStatuses", deserialize_with = "or_default")]
    ephemeral: Vec<RawContainerStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawContainerStatus {
    name: String,
    state: Option<RawState>,
    last_state: Option<RawState>,
}

#[derive(Deserialize)]
struct RawState {
    terminated: Option<RawTerminated>,
}

#[derive(Deserialize)]
struct RawTerminated {
    #[serde(rename = "containerID")]
    container_id: Option<String>,
}

/// Go writes what is empty as null here and there.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pods::convert;

    /// Such as `app main a`, for what the status says of the container `main`.
    fn runs(status: &serde_json::Value) -> Vec<String> {
        let spec = json!({"initContainers": [{"name": "main"}], "containers": [{"name": "main"}, {"name": "other"}]});
        let pod = json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec, "status": status}).to_string();
        let mut named = convert::pod(&pod).unwrap();
        add_earlier(&mut named, &pod);
        let id = |container: &Container| container.status.as_ref()?.container_id.clone();
        let line =
            |container: &Container| Some(format!("{:?} {} {}", container.kind, container.name, id(container)?).to_lowercase());
        named.containers.iter().filter_map(line).collect()
    }

    #[test]
    fn a_run_that_was_replaced_has_the_name_of_the_one_that_followed() {
        let ended = |id: &str| json!({"terminated": {"exitCode": 1, "containerID": id}});
        for (statuses, expected) in [
            (json!([{"name": "main", "containerID": "b", "lastState": ended("a")}]), &["app main b", "app main a"][..]),
            (
                json!([{"name": "main", "containerID": "b", "lastState": ended("a"), "state": ended("b")}]),
                &["app main b", "app main a"],
            ),
            (json!([{"name": "main", "containerID": "a", "lastState": ended("a")}]), &["app main a"]),
            (json!([{"name": "main", "lastState": ended("a"), "state": {"waiting": {}}}]), &["app main a"]),
            (json!([{"name": "unknown", "lastState": ended("a")}, {"name": "main", "lastState": ended("")}]), &[]),
            (json!([{"name": "main", "containerID": "b", "lastState": {"terminated": null}, "state": null}]), &["app main b"]),
            (json!([{"name": "main", "containerID": "b", "lastState": {"terminated": {"containerID": 5}}}]), &["app main b"]),
        ] {
            assert_eq!(runs(&json!({"containerStatuses": statuses})), expected, "{statuses}");
        }
        let status = json!({"initContainerStatuses": [{"name": "main", "containerID": "b", "lastState": ended("a")}], "containerStatuses": null});
        assert_eq!(runs(&status), ["init main b", "init main a"]);
        assert_eq!(runs(&serde_json::Value::Null), [""; 0]);
    }
}
