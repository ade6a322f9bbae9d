//! A pod's container as runc reads it: pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::pod::Pod;

/// Where every image has the program.
pub(super) const PROGRAM: &str = "/usr/bin/sluicebox";

/// A folder or file that is seen in the container.
pub(super) struct Bind {
    pub(super) from: PathBuf,
    pub(super) to: String,
    pub(super) read_only: bool,
}

/// The container, in the network of whoever starts it.
pub(super) fn config(
    pod: &Pod,
    rootfs: &Path,
    variables: &BTreeMap<String, String>,
    binds: &[Bind],
    seccomp: &Value,
) -> Result<Value> {
    let (user, group, folders) = pod.user()?;
    let mut arguments = vec![PROGRAM.to_owned()];
    arguments.extend(pod.arguments());
    let variables: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let capabilities = json!({"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []});
    let mut namespaces = vec![json!({"type": "mount"}), json!({"type": "ipc"}), json!({"type": "uts"})];
    if !pod.sees_host_processes() {
        namespaces.push(json!({"type": "pid"}));
    }
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": "sluicebox-x7",
        "root": {"path": rootfs, "readonly": true},
        "process": {
            "terminal": false, "cwd": "/", "args": arguments, "env": variables,
            "user": {"uid": user, "gid": group, "additionalGids": Vec::from_iter(folders)},
            "capabilities": capabilities, "noNewPrivileges": true,
        },
        "mounts": mounts(binds),
        "linux": {
            "namespaces": namespaces, "seccomp": seccomp,
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
        },
    }))
}

fn mounts(binds: &[Bind]) -> Vec<Value> {
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]}),
        json!({"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro", "nosuid", "noexec", "nodev"]}),
    ];
    mounts.extend(binds.iter().map(|bind| {
        let way = if bind.read_only { "ro" } else { "rw" };
        json!({"destination": bind.to, "type": "bind", "source": bind.from, "options": ["rbind", way, "rprivate"]})
    }));
    mounts
}
