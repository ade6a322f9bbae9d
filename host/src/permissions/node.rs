//! What a plan needs of the machine: files, sockets, directories, cgroups, ports. Looks at each, and changes nothing.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use sluicebox_sinks::Config as Sink;
use sluicebox_sources::{cgroups, http};

use super::ports::listen;
use crate::plan::{Component, Plan};
use crate::{directories, folder};

/// Something that was looked at.
pub(super) struct Looked {
    /// What it is, such as `read /etc/ca.crt`.
    pub(super) what: String,
    /// The part of the configuration that needs it.
    pub(super) by: String,
    pub(super) problem: Option<Problem>,
}

/// What is in the way of something.
pub(super) struct Problem {
    pub(super) cause: String,
    /// What helps.
    pub(super) cure: String,
    /// What is not told for it, where the program goes on without; nothing where that is no work any more.
    pub(super) loss: Option<&'static str>,
}

/// What a report of a tracer has less where nobody may look at the network namespaces of processes: the rest is known by process and address.
const NO_NAMESPACES: &str =
    "the other end of a connection on loopback, and the source of one whose process was gone before it was seen";

/// Looks at everything. Blocks.
pub(super) fn look(plan: &Plan, fed: &[Vec<String>]) -> Vec<Looked> {
    let mut node = Node { state: directories::state(plan.state_directory.as_deref()), looked: Vec::new() };
    node.kubernetes(plan);
    node.directories(plan);
    let is_used = |name: &str| fed.iter().flatten().any(|source| source == name);
    if let Some(config) = plan.sources.cgroups.as_ref().filter(|_| is_used("cgroups")) {
        node.cgroups(config);
    }
    if let Some(config) = plan.sources.tracer.as_ref().filter(|_| is_used("tracer")) {
        node.tracer(config);
    }
    if let Some(config) = plan.sources.inventory.as_ref().filter(|_| is_used("inventory")) {
        node.processes("sources.inventory", &config.host_proc);
    }
    if let Some(config) = plan.sources.prometheus.as_ref().filter(|_| is_used("prometheus")) {
        node.http("sources.prometheus", &config.http);
    }
    for (name, target) in plan.sources.scrape.iter().filter(|_| is_used("scrape")).flat_map(|scrape| &scrape.targets) {
        node.http(&format!("sources.scrape.targets.{name}"), &target.http);
    }
    if let Some(address) = plan.admin.listen {
        node.port("admin", address);
    }
    for lane in &plan.lanes {
        if let Component::File(path) = &lane.component {
            let by = format!("modules.{}", lane.name);
            // What it has that is not one component is no matter of rights.
            node.file(&by, &folder::file(&lane.name, path).unwrap_or(Cow::Borrowed(path)));
        }
    }
    for (host, registry) in &plan.registries {
        let by = format!("registries.{host}");
        node.files(&by, [&registry.password_file, &registry.credentials_file, &registry.ca_file]);
    }
    for sink in &plan.sinks {
        node.sink(&format!("sinks.{}", sink.name), &sink.config);
    }
    node.looked
}

struct Node {
    /// By which a collector that runs already is known to be this one.
    state: Option<PathBuf>,
    looked: Vec<Looked>,
}

impl Node {
    fn add(&mut self, what: String, by: &str, outcome: Result<(), String>, cure: &str) {
        let problem = outcome.err().map(|cause| Problem { cause, cure: cure.to_owned(), loss: None });
        self.looked.push(Looked { what, by: by.to_owned(), problem });
    }

    fn file(&mut self, by: &str, path: &Path) {
        let cure =
            "mount the Secret or the ConfigMap that holds it, readable for the user of the container (`securityContext.fsGroup`)";
        let opened = File::open(path).map(drop).map_err(|error| error.to_string());
        self.add(format!("read {}", path.display()), by, opened, cure);
    }

    fn files<'a>(&mut self, by: &str, paths: impl IntoIterator<Item = &'a Option<PathBuf>>) {
        for path in paths.into_iter().flatten() {
            self.file(by, path);
        }
    }

    fn http(&mut self, by: &str, config: &http::Config) {
        let http::Config { bearer_token_file, ca_file, client_certificate_file, client_key_file, basic_auth, .. } = config;
        self.files(by, [bearer_token_file, ca_file, client_certificate_file, client_key_file]);
        if let Some(basic) = basic_auth {
            self.file(by, &basic.password_file);
        }
    }

    fn kubernetes(&mut self, plan: &Plan) {
        if !plan.needs_api() {
            return;
        }
        self.files("kubernetes", [&plan.kubernetes.ca_file, &plan.kubernetes.kubeconfig]);
        if let sluicebox_sources::kubernetes::TokenRetrieval::File(path) = &plan.kubernetes.token_retrieval {
            self.file("kubernetes", path);
        }
    }

    fn directories(&mut self, plan: &Plan) {
        let cure = "with `readOnlyRootFilesystem: true` mount a volume there (an emptyDir, or a hostPath for what is to survive the pod), \
                    writable for the user of the container (`securityContext.fsGroup`)";
        if let Some(directory) = self.state.clone() {
            self.directory("state-directory", &directory, cure);
        }
        if let Some(directory) = directories::cache(plan.cache_directory.as_deref()) {
            self.directory("cache-directory", &directory, cure);
        }
    }

    fn port(&mut self, by: &str, address: SocketAddr) {
        let (outcome, cure) = match listen(address, self.state.as_deref()) {
            Ok(()) => (Ok(()), ""),
            Err((cause, cure)) => (Err(cause), cure),
        };
        self.add(format!("listen on {address}"), by, outcome, cure);
    }

    fn directory(&mut self, by: &str, directory: &Path, cure: &str) {
        self.add(format!("write to {}", directory.display()), by, writable(directory), cure);
    }

    fn cgroups(&mut self, config: &cgroups::Config) {
        let by = "sources.cgroups";
        match cgroups::mounts(&config.root) {
            Err(fault) => {
                let what = format!("cgroups below {}", config.root.display());
                let cure = fault.hint.as_deref().unwrap_or_default();
                self.add(what, by, Err(fault.cause.clone()), cure);
            }
            Ok(mounts) => {
                for mount in mounts {
                    let cure =
                        "run as a user that may read it: the host's /sys/fs/cgroup is readable for all unless it is remounted";
                    let read = std::fs::read_dir(&mount).map(drop).map_err(|error| error.to_string());
                    self.add(format!("read {}", mount.display()), by, read, cure);
                }
            }
        }
        if config.metrics.of_the_network() {
            self.processes(by, Path::new("/proc"));
            self.namespaces(by, Path::new("/proc"), None);
        }
    }

    fn tracer(&mut self, config: &sluicebox_sources::tracer::Config) {
        let by = "sources.tracer";
        if let Some(socket) = &config.socket {
            let cure = "mount the directory of the tracer's socket from the host, and run as a user that may write to the socket";
            self.socket(by, socket, cure);
        }
        if let Some(directory) = config.listen.as_deref().and_then(Path::parent) {
            self.directory(by, directory, "mount a directory of the host there, writable for the user of the container");
        }
        if config.kubernetes {
            self.processes(by, &config.host_proc);
            self.namespaces(by, &config.host_proc, Some(NO_NAMESPACES));
        }
    }

    fn socket(&mut self, by: &str, socket: &Path, cure: &str) {
        let connected = UnixStream::connect(socket).map(drop).map_err(|error| error.to_string());
        self.add(format!("connect to {}", socket.display()), by, connected, cure);
    }

    fn processes(&mut self, by: &str, proc: &Path) {
        let seen = std::fs::read(proc.join("1/cgroup"))
            .map_err(|error| error.to_string())
            .and_then(|first| if is_ours(&first) { Err("these are the container's own".to_owned()) } else { Ok(()) });
        self.add(format!("see the host's processes in {}", proc.display()), by, seen, "`hostPID: true` in the pod");
    }

    /// The network namespaces of the host's processes, which not everybody may look at.
    fn namespaces(&mut self, by: &str, proc: &Path, loss: Option<&'static str>) {
        let cure = "run as root with `securityContext: {capabilities: {add: [SYS_PTRACE]}}`".to_owned();
        let looked = std::fs::read_link(proc.join("1/ns/net"));
        let problem = looked.err().map(|error| Problem { cause: error.to_string(), cure, loss });
        let what = format!("look at network namespaces in {}", proc.display());
        self.looked.push(Looked { what, by: by.to_owned(), problem });
    }

    fn sink(&mut self, by: &str, sink: &Sink) {
        match sink {
            Sink::Files(config) => {
                let cure = "mount a volume there, writable for the user of the container: the one that readers mount too";
                self.directory(by, &config.directory, cure);
            }
            Sink::Redis(config) => {
                self.files(
                    by,
                    [&config.password_file, &config.ca_file, &config.client_certificate_file, &config.client_key_file],
                );
                if let Some(socket) = config.url.strip_prefix("unix://") {
                    self.socket(
                        by,
                        Path::new(socket),
                        "mount the directory of the socket, and run as a user that may write to it",
                    );
                }
            }
            Sink::Kafka(config) => {
                self.files(
                    by,
                    [&config.password_file, &config.ca_file, &config.client_certificate_file, &config.client_key_file],
                );
            }
            Sink::Prometheus(config) => self.port(by, config.listen),
            Sink::ConfigMaps(_) | Sink::Stdout(_) => {}
        }
    }
}

/// In a pod with processes of its own, the first one is in our own cgroup.
fn is_ours(first: &[u8]) -> bool {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    in_pod && std::fs::read("/proc/self/cgroup").is_ok_and(|own| own == first)
}

/// Whether files can be made in it; where it is missing, whether it can be made.
fn writable(directory: &Path) -> Result<(), String> {
    let mut place = directory;
    loop {
        let place_or_here = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        if place_or_here.exists() && !place_or_here.is_dir() {
            return Err(format!("{} is no directory", place_or_here.display()));
        }
        match accessat(CWD, place_or_here, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) if is_of_the_kernel(place_or_here) => {
                return Err(format!("{} is the kernel's, which keeps no files for anybody", place_or_here.display()));
            }
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::NOENT) => match place.parent() {
                Some(parent) => place = parent,
                None => return Err("it is not there".to_owned()),
            },
            Err(error) => return Err(format!("{}: {}", place_or_here.display(), io::Error::from(error))),
        }
    }
}

/// Whether a place is in a file system in which the kernel shows itself: root may write everywhere there, and can make nothing.
fn is_of_the_kernel(place: &Path) -> bool {
    // cgroup, cgroup2, debugfs, devpts, proc, securityfs, sysfs, tracefs, as linux/magic.h has them.
    const KINDS: [u64; 8] = [0x0027_e0eb, 0x6367_7270, 0x6462_6720, 0x1cd1, 0x9fa0, 0x7363_6673, 0x6265_6572, 0x7472_6163];
    rustix::fs::statfs(place).is_ok_and(|found| u64::try_from(found.f_type).is_ok_and(|kind| KINDS.contains(&kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_could_be_made_counts_as_one_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(writable(&folder.path().join("a/b")), Ok(()));
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(writable(&file).is_err());
        assert!(writable(Path::new("/proc/1/nothing")).is_err());
        for place in ["/proc/nothing", "/sys/kernel", "/sys/nothing/at/all"] {
            assert!(writable(Path::new(place)).is_err(), "{place}");
        }
    }
}
