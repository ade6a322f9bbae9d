//! The schema `pod`: `create`, `pending`, `running`, `shutdown` and `delete`, each with the whole pod.

use sluicebox_sdk::{Change, Container, Entry, Phase, Pod, PodEvent, json};

use crate::line;
use crate::settings::Settings;

/// Says what has become of the pod since the state before.
pub(crate) fn shape(event: &PodEvent, settings: &Settings, entries: &mut Vec<Entry>) {
    let mut say = |name: &str| {
        let time = event.observed_at_unix_nanos;
        entries.push(line::message(settings, time, name, &event.pod, |out| {
            write(out, &event.pod, settings);
        }));
    };
    let running = starts_running(&event.pod, event.previous.as_ref(), settings);
    match (event.change, &event.previous) {
        (Change::Deleted, _) => say("delete"),
        // Whoever begins to watch hears first that a pod runs and then that it exists: readers know this order.
        (Change::Listed, None) => {
            if running {
                say("running");
            }
            say("create");
        }
        (Change::Added, None) => {
            say("create");
            if running {
                say("running");
            }
        }
        (_, Some(before)) if *before == event.pod => {}
        (_, before) => {
            if running {
                say("running");
            }
            if event.pod.deletion_at.is_some() && before.as_ref().is_none_or(|before| before.deletion_at.is_none()) {
                say("shutdown");
            } else if event.pod.phase == Some(Phase::Pending) {
                say("pending");
            }
        }
    }
}

// As soon as all ids are known, and again whenever one of them changes.
fn starts_running(now: &Pod, before: Option<&Pod>, settings: &Settings) -> bool {
    runs(now, settings) && before.is_none_or(|before| !runs(before, settings) || !ids(now, settings).eq(ids(before, settings)))
}

fn runs(pod: &Pod, settings: &Settings) -> bool {
    pod.phase == Some(Phase::Running)
        && !line::pod_ip(pod).is_empty()
        && ids(pod, settings).next().is_some()
        && ids(pod, settings).all(|id| !id.is_empty())
}

fn ids<'pod>(pod: &'pod Pod, settings: &Settings) -> impl Iterator<Item = &'pod str> {
    told(pod, settings).map(id)
}

fn told<'pod>(pod: &'pod Pod, settings: &Settings) -> impl Iterator<Item = &'pod Container> {
    pod.containers.iter().filter(|container| settings.tells_of(container))
}

// Empty while it is not known.
fn id(container: &Container) -> &str {
    container.status.as_ref().and_then(|status| status.container_id.as_deref()).unwrap_or_default()
}

fn write(out: &mut String, pod: &Pod, settings: &Settings) {
    // Only what the kubelet has begun to speak of; sorted by name.
    let mut containers: Vec<_> = told(pod, settings).filter(|container| container.status.is_some()).collect();
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    json::object(out, |object| {
        object.string("podUid", &pod.uid);
        object.field("containers", |out| {
            json::object(out, |object| {
                for container in containers {
                    object.field(&container.name, |out| {
                        write_container(out, container, settings);
                    });
                }
            });
        });
        object.string("namespace", &pod.namespace);
        object.string("hostIP", pod.host_ip.as_deref().unwrap_or_default());
        object.string("name", &pod.name);
        object.string("nodeName", pod.node_name.as_deref().unwrap_or_default());
        object.string("podIP", line::pod_ip(pod));
        object.string("qosClass", line::qos_class(pod));
        object.nullable("startTime", pod.start_time.as_deref());
        object.field("labels", |out| {
            if pod.labels.is_empty() && settings.null_labels {
                out.push_str("null");
            } else {
                json::strings(out, pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            }
        });
        object.string("status", line::phase(pod));
    });
}

fn write_container(out: &mut String, container: &Container, settings: &Settings) {
    let port = container.ports.first().map_or_else(|| "-1".to_owned(), |port| port.port.to_string());
    json::object(out, |object| {
        object.string("id", id(container));
        object.string("name", &container.name);
        object.string("image", settings.image(container));
        object.field("port", |out| out.push_str(&port));
        object.field("resource_requests", |out| {
            write_quantities(out, &container.requests);
        });
        object.field("resource_limits", |out| {
            write_quantities(out, &container.limits);
        });
    });
}

// Readers expect a quantity as JSON within a string: its quotes are part of the text.
fn write_quantities(out: &mut String, quantities: &[(String, String)]) {
    json::object(out, |object| {
        for (resource, quantity) in quantities {
            let mut quoted = String::with_capacity(quantity.len() + 2);
            json::string(&mut quoted, quantity);
            object.string(resource, &quoted);
        }
    });
}
