//! What a document says: JSON in the form, and with the escapes, of the collector that is replaced. Pure.

use sluicebox_sdk::{ContainerKind, InventoryContainer, InventoryPod, Node, Pod, Service, json};

/// A pod, with the image of its first app container.
pub(crate) fn of_pod(pod: &Pod) -> String {
    let image = pod.containers.iter().find(|container| container.kind == ContainerKind::App);
    kubernetes(&pod.name, &pod.uid, image.map_or("", |container| &container.image), |_| ())
}

/// The same of an inventory.
pub(crate) fn of_listed_pod(pod: &InventoryPod) -> String {
    kubernetes(&pod.name, &pod.uid, image(pod), |_| ())
}

/// The same with everything else that is known. Keys are added and none is changed, so that readers of the shorter form read it, too.
pub(crate) fn of_detailed_pod(pod: &InventoryPod) -> String {
    kubernetes(&pod.name, &pod.uid, image(pod), |object| {
        if let Some(owner) = pod.owners.last() {
            object.field("owner", |out| json::strings(out, [("kind", owner.kind.as_str()), ("name", owner.name.as_str())]));
        }
        object.field("containers", |out| list(out, &pod.containers, container));
        if !pod.attributes.is_empty() {
            let attributes = pod.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            object.field("attributes", |out| json::strings(out, attributes));
        }
    })
}

/// A service, with its first port. None without ports: such a service is no way to anything.
pub(crate) fn of_service(service: &Service) -> Option<String> {
    let port = service.ports.first()?;
    let ports = format!("{}/{}", port.port, port.protocol);
    let fields = [("name", service.name.as_str()), ("type", &service.service_type), ("ports", &ports)];
    Some(document(|_| (), |object| all(object, &fields), |_| ()))
}

/// A node, with its kernel.
pub(crate) fn of_node(name: &str, kernel: &str) -> String {
    document(|_| (), |_| (), |object| all(object, &[("name", name), ("kernel", kernel)]))
}

/// A node of the API.
pub(crate) fn of_whole_node(node: &Node) -> String {
    of_node(&node.name, &node.kernel_version)
}

fn image(pod: &InventoryPod) -> &str {
    pod.containers.iter().find(|container| container.kind == "app").map_or("", |container| &container.image)
}

fn kubernetes(name: &str, uid: &str, image: &str, more: impl FnOnce(&mut json::Object<'_>)) -> String {
    document(
        |object| {
            all(object, &[("name", name), ("uid", uid), ("image", image)]);
            more(object);
        },
        |_| (),
        |_| (),
    )
}

fn document(
    kubernetes: impl FnOnce(&mut json::Object<'_>),
    service: impl FnOnce(&mut json::Object<'_>),
    node: impl FnOnce(&mut json::Object<'_>),
) -> String {
    let mut out = String::with_capacity(192);
    json::object(&mut out, |object| {
        object.field("kubernetes", |out| json::object(out, kubernetes));
        object.field("service", |out| json::object(out, service));
        object.field("node", |out| json::object(out, node));
    });
    out
}

// What is not known is left out.
fn all(object: &mut json::Object<'_>, fields: &[(&str, &str)]) {
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        object.string(name, value);
    }
}

fn container(out: &mut String, container: &InventoryContainer) {
    json::object(out, |object| {
        object.string("name", &container.name);
        object.string("image", &container.image);
        object.field("pids", |out| list(out, &container.pids, |out, pid| out.push_str(&pid.to_string())));
        object.field("ports", |out| {
            list(out, &container.ports, |out, port| json::string(out, &format!("{}/{}", port.port, port.protocol)));
        });
    });
}

fn list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(out, item);
    }
    out.push(']');
}
