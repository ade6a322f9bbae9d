//! Whether a pod says all that a reader that never looks twice should see.

use serde::Deserialize;

/// Whether every container of the spec, init containers included, has an image id in the status.
pub(crate) fn has_image_ids(json: &str, name: &str) -> Result<bool, String> {
    let pod: Pod = serde_json::from_str(json).map_err(|error| {
        format!("cannot look for image ids for {name}: {error}: set `wait-for-image-ids` to false to write it as it is")
    })?;
    Ok(known(&pod.spec.containers, &pod.status.container_statuses)
        && known(&pod.spec.init_containers, &pod.status.init_container_statuses))
}

fn known(containers: &[Container], statuses: &[Status]) -> bool {
    containers.iter().all(|container| statuses.iter().any(|status| status.name == container.name && !status.image_id.is_empty()))
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    container_statuses: Vec<Status>,
    init_container_statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    name: String,
    #[serde(rename = "imageID", default)]
    image_id: String,
}
