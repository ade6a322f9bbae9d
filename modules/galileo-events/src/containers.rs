//! The schema `container`: `create` once a container's id is known, `delete` when that id ends.

use sluicebox_sdk::{Change, Container, Entry, Pod, PodEvent, json};

use crate::line;
use crate::settings::Settings;

/// Says which ids have come and which have ended since the state before.
pub(crate) fn shape(event: &PodEvent, settings: &Settings, entries: &mut Vec<Entry>) {
    let (now, before) = (&event.pod, event.previous.as_ref());
    let gone = event.change == Change::Deleted;
    let mut say = |name: &str, pod: &Pod, (id, container): (&str, &Container)| {
        let time = event.observed_at_unix_nanos;
        entries.push(line::message(settings, time, name, pod, |out| {
            write(out, pod, container, id, settings);
        }));
    };
    if let Some(before) = before {
        for (id, container) in known(before, settings) {
            if !has(now, id, settings) {
                say("delete", before, (id, container));
            }
        }
    }
    for (id, container) in known(now, settings) {
        // An id that is first seen in the last state was announced by nobody, unless the state before is not known at all.
        let new = before.map_or(!gone, |before| !has(before, id, settings));
        if new {
            say("create", now, (id, container));
        }
        if gone {
            say("delete", now, (id, container));
        }
    }
}

// The containers whose id is known, in the order of the pod.
fn known<'pod>(pod: &'pod Pod, settings: &Settings) -> impl Iterator<Item = (&'pod str, &'pod Container)> {
    pod.containers.iter().filter(|container| settings.tells_of(container)).filter_map(|container| {
        let id = container.status.as_ref()?.container_id.as_deref()?;
        (!id.is_empty()).then_some((id, container))
    })
}

fn has(pod: &Pod, id: &str, settings: &Settings) -> bool {
    known(pod, settings).any(|(known, _)| known == id)
}

fn write(out: &mut String, pod: &Pod, container: &Container, id: &str, settings: &Settings) {
    json::object(out, |object| {
        object.string("podUid", &pod.uid);
        object.string("containerID", id);
        object.string("image", settings.image(container));
        object.string("podName", &pod.name);
        object.string("hostIP", pod.host_ip.as_deref().unwrap_or_default());
        object.string("name", &container.name);
        object.string("nodeName", pod.node_name.as_deref().unwrap_or_default());
        object.string("podIP", line::pod_ip(pod));
        object.string("qosClass", line::qos_class(pod));
        object.nullable("startTime", pod.start_time.as_deref());
    });
}
