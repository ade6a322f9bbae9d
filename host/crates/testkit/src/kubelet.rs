//! Cgroups as a kubelet makes them, and the pods that belong to them: real ones in version 1 where this machine lets us, else plain files
//! in a folder that looks like a host with version 2.

use std::fs;
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// Where version 1 is mounted on most machines, and the controllers that are of use.
const MOUNT: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 5] = ["cpu", "cpuacct", "memory", "blkio", "pids"];

/// A pod that runs.
#[derive(Clone, Debug)]
pub struct PodSpec {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.namespace`
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `spec.nodeName`
    pub node: String,
    /// Name and id (64 hexadecimal digits) of each container.
    pub containers: Vec<(String, String)>,
}

impl PodSpec {
    /// The pod of this number with so many containers, in the namespace `shop`.
    pub fn numbered(node: &str, number: u32, containers: u32) -> Self {
        let id = |container: u32| format!("{:064x}", (u64::from(number) << 32) | u64::from(container + 1));
        Self {
            uid: format!("{number:08x}-0000-4000-8000-{:012x}", std::process::id()),
            namespace: "shop".to_owned(),
            name: format!("web-{number}"),
            node: node.to_owned(),
            containers: (0..containers).map(|container| (format!("main-{container}"), id(container))).collect(),
        }
    }

    /// The pod as the API server has it.
    pub fn object(&self) -> Value {
        let spec = |(name, _): &(String, String)| json!({"name": name, "image": "nginx:1.27"});
        let status = |(name, id): &(String, String)| {
            json!({
                "name": name, "image": "docker.io/library/nginx:1.27", "imageID": "docker.io/library/nginx@sha256:4c0f",
                "containerID": format!("containerd://{id}"), "ready": true, "restartCount": 0, "lastState": {},
                "state": {"running": {"startedAt": "2026-01-01T12:00:01Z"}},
            })
        };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "uid": self.uid, "labels": {"app": "web"}},
            "spec": {"nodeName": self.node, "containers": self.containers.iter().map(spec).collect::<Vec<_>>()},
            "status": {
                "phase": "Running", "qosClass": "Burstable", "podIP": "10.42.1.95", "hostIP": "10.0.1.2", "startTime": "2026-01-01T12:00:00Z",
                "containerStatuses": self.containers.iter().map(status).collect::<Vec<_>>(),
            },
        })
    }
}

/// Makes the cgroups of pods, and removes them when dropped.
#[derive(Debug)]
pub struct Kubelet {
    /// What the collector takes for the root of the host.
    root: PathBuf,
    /// The directories below which cgroups are made.
    places: Vec<PathBuf>,
    real: bool,
}

impl Kubelet {
    /// Real cgroups where that is possible, else files below this folder.
    pub fn new(folder: &Path) -> Result<Self> {
        match Self::real() {
            Some(kubelet) => Ok(kubelet),
            None => Self::pretended(folder),
        }
    }

    /// Real cgroups of version 1; none where they cannot be made.
    pub fn real() -> Option<Self> {
        let places = places(Path::new(MOUNT)).ok()?;
        // Without one of them the others are no kubelet's.
        let kubelet = Self { root: PathBuf::from("/"), places, real: true };
        kubelet.places.iter().all(|place| fs::create_dir(place).is_ok()).then_some(kubelet)
    }

    /// Files below this folder, which looks like a host with version 2. Their numbers stay as they are set.
    pub fn pretended(folder: &Path) -> Result<Self> {
        let cgroups = folder.join("sys/fs/cgroup");
        let (process, online) = (folder.join("proc/1"), folder.join("sys/devices/system/cpu"));
        for directory in [&cgroups, &process, &online] {
            fs::create_dir_all(directory)?;
        }
        fs::write(process.join("mountinfo"), "25 24 0:22 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n")?;
        fs::write(online.join("online"), "0-3\n")?;
        fs::write(cgroups.join("cgroup.controllers"), "cpu io memory pids\n")?;
        // What tells a mount from an empty directory.
        fs::write(cgroups.join("cgroup.procs"), "")?;
        Ok(Self { root: folder.to_owned(), places: vec![cgroups], real: false })
    }

    /// For `root` in the configuration of the source.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the kernel fills the files.
    pub fn is_real(&self) -> bool {
        self.real
    }

    /// The path of a pod's cgroup, or of one of its containers, below the place where this kubelet makes them.
    pub fn path(&self, pod: &PodSpec, container: Option<&str>) -> String {
        if self.real {
            let below = container.map(|id| format!("/{id}")).unwrap_or_default();
            return format!("kubepods/burstable/pod{}{below}", pod.uid);
        }
        let below = container.map(|id| format!("/cri-containerd-{id}.scope")).unwrap_or_default();
        format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice{below}", pod.uid.replace('-', "_"))
    }

    /// A file of a cgroup in each hierarchy that may have it.
    pub fn files(&self, path: &str, file: &str) -> Vec<PathBuf> {
        self.places.iter().map(|place| place.join(path).join(file)).collect()
    }

    /// Makes the cgroups of a pod and its containers.
    pub fn run(&self, pod: &PodSpec) -> Result<()> {
        self.make(&self.path(pod, None))?;
        pod.containers.iter().try_for_each(|(_, id)| self.make(&self.path(pod, Some(id))))
    }

    /// Makes a cgroup, which need not be a pod's.
    pub fn make(&self, path: &str) -> Result<()> {
        for place in &self.places {
            fs::create_dir_all(place.join(path))?;
        }
        if !self.real {
            for (file, content) in FILES {
                self.set(path, file, content)?;
            }
        }
        Ok(())
    }

    /// What a file of a cgroup is to say, where the kernel does not.
    pub fn set(&self, path: &str, file: &str, content: &str) -> Result<()> {
        self.files(path, file).into_iter().try_for_each(|file| fs::write(file, content))
    }

    /// Removes the cgroups of a pod.
    pub fn end(&self, pod: &PodSpec) -> Result<()> {
        self.places.iter().try_for_each(|place| remove(&place.join(self.path(pod, None)), self.real))
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        if self.real {
            for place in &self.places {
                // A process that still runs there keeps it: whoever started it is told by the test.
                let _kept = remove(place, true);
            }
        }
    }
}

/// Where cgroups of another kubelet can be made in each hierarchy below this mount. Controllers that share one, such as `cpu` and `cpuacct`
/// on most machines, are links to the same place.
fn places(mount: &Path) -> Result<Vec<PathBuf>> {
    static KUBELETS: AtomicU32 = AtomicU32::new(0);
    let ours = format!("sluicebox-kubelet-{}-{}", std::process::id(), KUBELETS.fetch_add(1, Ordering::Relaxed));
    let hierarchies = CONTROLLERS.iter().map(|controller| mount.join(controller).canonicalize());
    let mut hierarchies = hierarchies.collect::<Result<Vec<_>>>()?;
    hierarchies.sort();
    hierarchies.dedup();
    Ok(hierarchies.into_iter().map(|hierarchy| hierarchy.join(&ours)).collect())
}

/// A directory of the kernel's is removed with its files, but not with its directories.
fn remove(directory: &Path, real: bool) -> Result<()> {
    if !real {
        return fs::remove_dir_all(directory);
    }
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path(), true)?;
        }
    }
    fs::remove_dir(directory)
}

/// The files of a cgroup at work, as kernel 6.1 fills them.
const FILES: [(&str, &str); 14] = [
    ("cgroup.procs", ""),
    (
        "cpu.stat",
        "usage_usec 2500000\nuser_usec 1500000\nsystem_usec 1000000\nnr_periods 20\nnr_throttled 3\nthrottled_usec 40000\nnr_bursts 0\nburst_usec 0\n",
    ),
    ("memory.current", "52428800\n"),
    ("memory.max", "134217728\n"),
    ("memory.swap.current", "0\n"),
    ("memory.swap.max", "max\n"),
    (
        "memory.stat",
        "anon 31457280\nfile 16777216\nkernel 2097152\nkernel_stack 65536\npagetables 131072\nsec_pagetables 0\npercpu 0\nsock 0\nshmem 0\n\
         file_mapped 8388608\nfile_dirty 0\nfile_writeback 0\nswapcached 0\ninactive_anon 31457280\nactive_anon 0\ninactive_file 10485760\n\
         active_file 6291456\nunevictable 0\nslab_reclaimable 524288\nslab_unreclaimable 262144\nslab 786432\npgfault 1000\npgmajfault 2\n",
    ),
    ("memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n"),
    ("pids.current", "7\n"),
    ("pids.max", "max\n"),
    ("io.stat", "254:0 rbytes=1048576 wbytes=2097152 rios=16 wios=32 dbytes=0 dios=0\n"),
    ("cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=120\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=60\n"),
    ("memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=30\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=20\n"),
    ("io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=400\n"),
];

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn controllers_that_share_a_hierarchy_have_one_place_and_each_kubelet_has_its_own() {
        let mount = tempfile::tempdir().expect("a folder");
        for hierarchy in ["cpu,cpuacct", "memory", "blkio", "pids"] {
            fs::create_dir(mount.path().join(hierarchy)).expect("a hierarchy");
        }
        for link in ["cpu", "cpuacct"] {
            symlink("cpu,cpuacct", mount.path().join(link)).expect("a link");
        }
        let first = places(mount.path()).expect("all are there");
        assert_eq!(first.len(), 4);
        for place in first.iter().chain(&places(mount.path()).expect("all are there")) {
            fs::create_dir(place).expect("a place of its own");
        }
        fs::remove_dir_all(mount.path().join("pids")).expect("removed");
        assert!(places(mount.path()).is_err());
    }

    #[test]
    fn two_kubelets_in_one_process_are_not_in_each_others_way() {
        let Some(first) = Kubelet::real() else {
            let _unheard =
                std::io::Write::write_all(&mut std::io::stderr(), b"NOT RUN: no cgroups of version 1 can be made here\n");
            return;
        };
        let second = Kubelet::real().expect("the first could be made");
        let pod = PodSpec::numbered("node", 1, 1);
        for kubelet in [&first, &second] {
            kubelet.run(&pod).expect("made");
        }
        first.end(&pod).expect("removed");
        second.end(&pod).expect("it is still there");
    }
}
