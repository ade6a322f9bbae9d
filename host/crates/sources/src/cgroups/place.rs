//! Whose cgroup a path is: a pod's, a container's, or neither's. Pure; the conventions of kubelet and of the runtimes stand in one table.
//!
//! kubelet names the pods, after its driver: `kubepods/burstable/pod<uid>` (cgroupfs) or
//! `kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice` (systemd, `_` for `-`). A Guaranteed pod has no level of
//! its own. `--cgroup-root` puts something before all of it, in the path and with systemd in each name. Containers are named by their
//! runtime and stand directly in their pod.

/// No path of the kernel is longer.
const MOST_BYTES: usize = 4096;
/// The digits after the dash of an id such as `<32 hex digits>-<number>`.
const MOST_NUMBER: usize = 20;

/// How a pod is treated when resources are short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Qos {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// The pod as the directory names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PodKey {
    /// With dashes, as the API writes it.
    Uid(String),
    /// Of a static pod: the 32 digits that its mirror in the API carries as an annotation.
    ConfigHash(String),
}

/// Whose cgroup it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Pod {
        key: PodKey,
        qos: Qos,
    },
    Container {
        key: PodKey,
        qos: Qos,
        /// As the runtime says it, without `containerd://` and the like. The sandbox of a pod has one, too.
        id: String,
    },
}

/// How a runtime names the cgroup of a container: what stands before and after its id.
struct Name {
    before: &'static str,
    after: &'static str,
}

/// Whatever else stands in a pod is no container: `crio-conmon-<id>.scope`, `<id>.mount`.
const NAMES: [Name; 6] = [
    // containerd with systemd.
    Name { before: "cri-containerd-", after: ".scope" },
    // CRI-O with systemd, and with cgroupfs.
    Name { before: "crio-", after: ".scope" },
    Name { before: "crio-", after: "" },
    // Docker with systemd.
    Name { before: "docker-", after: ".scope" },
    // Podman with systemd.
    Name { before: "libpod-", after: ".scope" },
    // containerd and Docker with cgroupfs.
    Name { before: "", after: "" },
];

/// Here users name their units as they like. A kubelet that runs there has its own root above its pods.
const USERS: &str = "user.slice";
const ROOT: &str = "kubepods";

/// containerd, when it is asked in the manner of systemd but makes directories by itself, takes `<slice>:cri-containerd:<id>` for a name.
const ASKED_AS_SYSTEMD: &str = ":cri-containerd:";

/// Whose cgroup the path is. None for what is neither a pod nor a container, and for what lies inside of a container and belongs to it.
/// Of pods within pods, as on a node that is a container itself, the innermost counts.
pub(crate) fn place(path: &str) -> Option<Place> {
    if path.len() > MOST_BYTES { None } else { steps(path).last().flatten().map(Step::place) }
}

/// The pod or container that the path is, or else the innermost that it lies in.
pub(crate) fn innermost(path: &str) -> Option<Place> {
    steps(path).flatten().last().map(Step::place)
}

/// The pod or container that a path lies in which is neither. Whatever lies in a container belongs to it.
pub(crate) fn lies_in(path: &str) -> Option<Place> {
    let mut pod = None;
    let (above, _) = path.rsplit_once('/')?;
    for step in steps(above).flatten() {
        match step {
            Step::Container(..) => return Some(step.place()),
            Step::Pod(_) => pod = Some(step),
        }
    }
    pod.map(Step::place)
}

/// What each directory on the way is, the path itself last; each is looked at once, however deep they are. What is longer than a path can be
/// is left out.
fn steps(path: &str) -> impl Iterator<Item = Option<Step<'_>>> {
    let (mut found, mut parent, mut end) = (None, "", 0);
    let (mut is_users, mut has_root) = (false, false);
    let is_possible = move |name: &&str| {
        let is_possible = end + name.len() <= MOST_BYTES;
        end += name.len() + 1;
        is_possible
    };
    path.split('/').take_while(is_possible).filter(|name| !name.is_empty()).map(move |name| {
        if name == USERS {
            (is_users, has_root) = (true, false);
        }
        has_root |= name.contains(ASKED_AS_SYSTEMD) && name.contains(ROOT);
        found = if is_users && !has_root { None } else { step(found, parent, name) };
        has_root |= name.contains(ROOT);
        parent = name;
        found
    })
}

/// What the path is so far.
#[derive(Clone, Copy)]
enum Step<'a> {
    Pod(Pod<'a>),
    Container(Pod<'a>, &'a str),
}

impl Step<'_> {
    fn place(self) -> Place {
        match self {
            Self::Pod(pod) => Place::Pod { key: pod.key(), qos: pod.qos },
            Self::Container(pod, id) => Place::Container { key: pod.key(), qos: pod.qos, id: with_dashes(id) },
        }
    }
}

#[derive(Clone, Copy)]
struct Pod<'a> {
    name: &'a str,
    qos: Qos,
}

fn step<'a>(above: Option<Step<'a>>, parent: &str, name: &'a str) -> Option<Step<'a>> {
    if let Some((slice, id)) = name.split_once(ASKED_AS_SYSTEMD) {
        return is_container_id(id).then(|| pod(parent, slice)).flatten().map(|pod| Step::Container(pod, id));
    }
    if let Some(pod) = pod(parent, name) {
        return Some(Step::Pod(pod));
    }
    match above {
        Some(Step::Pod(pod)) => container(name).map(|id| Step::Container(pod, id)),
        _ => None,
    }
}

/// `pod<uid>`, or `<anything>-pod<uid>.slice`.
fn pod<'a>(parent: &str, name: &'a str) -> Option<Pod<'a>> {
    let (before, name) = match name.strip_suffix(".slice") {
        Some(name) => name.rsplit_once("pod").filter(|(before, _)| before.is_empty() || before.ends_with('-'))?,
        None => ("", name.strip_prefix("pod")?),
    };
    // With systemd the levels above stand in the name; else it is the directory above that tells.
    let level = if before.is_empty() { parent.strip_suffix(".slice").unwrap_or(parent) } else { before.trim_end_matches('-') };
    let qos = match level.rsplit('-').next() {
        Some("burstable") => Qos::Burstable,
        Some("besteffort") => Qos::BestEffort,
        _ => Qos::Guaranteed,
    };
    (is_uuid(name) || is_config_hash(name)).then_some(Pod { name, qos })
}

impl Pod<'_> {
    fn key(self) -> PodKey {
        if is_config_hash(self.name) { PodKey::ConfigHash(self.name.to_owned()) } else { PodKey::Uid(with_dashes(self.name)) }
    }
}

fn container(name: &str) -> Option<&str> {
    NAMES.iter().filter_map(|known| name.strip_prefix(known.before)?.strip_suffix(known.after)).find(|id| is_container_id(id))
}

fn is_container_id(id: &str) -> bool {
    is_hex(id, 64) || is_uuid(id) || id.split_once('-').is_some_and(|(task, number)| is_hex(task, 32) && is_number(number))
}

fn is_config_hash(text: &str) -> bool {
    is_hex(text, 32)
}

/// Digits in groups of 8, 4, 4, 4 and 12, with dashes between them or, for systemd, underscores.
fn is_uuid(text: &str) -> bool {
    [b'-', b'_'].into_iter().any(|between| {
        text.len() == 36
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => byte == between,
                _ => is_hex_digit(byte),
            })
    })
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(is_hex_digit)
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_number(text: &str) -> bool {
    (1..=MOST_NUMBER).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn with_dashes(text: &str) -> String {
    text.replace('_', "-")
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
