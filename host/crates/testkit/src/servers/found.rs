//! Finds the programs of the lab, and says loudly when a test cannot run without one.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::kubelet::Kubelet;

/// What a test cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A redis-server.
    Redis,
    /// A kube-apiserver and the etcd that it keeps its objects in.
    KubeApiServer,
    /// A Python that can import `galileodb` and `redis`.
    GalileoDb,
    /// A `kubectl`.
    Kubectl,
    /// tansu, a broker of Kafka's protocol.
    Kafka,
    /// Apache Kafka itself, of a version from before clients could ask which version it is, and a Java.
    ApacheKafka,
    /// A Python that can import `confluent_kafka`.
    ConfluentKafka,
    /// stunnel, which speaks TLS for a server that does not.
    Stunnel,
    /// Linux as an ordinary process, and busybox.
    UserModeLinux,
    /// An emulator, a kernel for it, and busybox.
    EmulatedLinux,
    /// To be root, with cgroups of which one may make more.
    Cgroups,
    /// Likewise, of version 1.
    CgroupsOfVersion1,
    /// A Prometheus and its `promtool`.
    Prometheus,
    /// The node exporter of Prometheus.
    NodeExporter,
    /// A container registry.
    Registry,
    /// To be root, and `unshare`, which starts a process in a network namespace of its own.
    NetworkNamespaces,
    /// `openssl`, which makes certificates.
    Openssl,
    /// To make a file system that knows quotas, and to set them. To mount it is another thing.
    Btrfs,
    /// The example of `guest-sdk/examples` in this language, made to a component.
    Example(&'static str),
}

/// Whether the test can run here. Ask first and return early: the answer `false` is written down, and is a panic with `CI=true`.
///
/// # Panics
///
/// With `CI=true`, when something is missing that was not left out on purpose.
#[must_use = "a test that cannot run must return"]
pub fn require(need: Need) -> bool {
    let left_out = matches!(need, Need::KubeApiServer | Need::Kafka | Need::Example(_)) && is_true("SLUICEBOX_QUICK");
    let why = if left_out {
        "left out by --quick".to_owned()
    } else {
        match need.programs() {
            Ok(()) => return true,
            Err(error) => format!("{error:#}"),
        }
    };
    let line = format!("NOT RUN: {}: {}: {}\n", test(), need.name(), why.replace('\n', " "));
    assert!(left_out || !is_true("CI"), "{line}");
    tell(&line);
    false
}

/// The folder that `cargo xtask lab` keeps servers in: `SLUICEBOX_CACHE`, else one in the user's cache. A relative path is taken as it is.
pub fn cache() -> Option<PathBuf> {
    let from = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    from("SLUICEBOX_CACHE")
        .or_else(|| Some(from("XDG_CACHE_HOME")?.join("sluicebox-lab")))
        .or_else(|| Some(from("HOME")?.join(".cache/sluicebox-lab")))
}

/// The Python of [`Need::GalileoDb`] and [`Need::ConfluentKafka`].
pub fn python() -> Result<PathBuf> {
    program("python", "SLUICEBOX_PYTHON")
}

/// The program of [`Need::Kubectl`].
pub fn kubectl() -> Result<PathBuf> {
    program("kubectl", "SLUICEBOX_KUBECTL")
}

/// The `promtool` of [`Need::Prometheus`].
pub fn promtool() -> Result<PathBuf> {
    program("promtool", "SLUICEBOX_PROMTOOL")
}

pub(super) fn prometheus() -> Result<PathBuf> {
    program("prometheus", "SLUICEBOX_PROMETHEUS")
}

pub(super) fn node_exporter() -> Result<PathBuf> {
    program("prometheus-node-exporter", "SLUICEBOX_NODE_EXPORTER")
}

pub(super) fn tansu() -> Result<PathBuf> {
    program("tansu", "SLUICEBOX_TANSU")
}

pub(super) fn apache_kafka() -> Result<PathBuf> {
    program("apache-kafka", "SLUICEBOX_APACHE_KAFKA")
}

/// `mkfs.btrfs`.
pub fn mkfs_btrfs() -> Result<PathBuf> {
    program("mkfs.btrfs", "SLUICEBOX_MKFS_BTRFS")
}

/// `btrfs`.
pub fn btrfs() -> Result<PathBuf> {
    program("btrfs", "SLUICEBOX_BTRFS")
}

/// The component of [`Need::Example`].
pub fn example(language: &str) -> Result<PathBuf> {
    let made = std::env::var_os("SLUICEBOX_LANGUAGES")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/languages")), PathBuf::from);
    let component = made.join(format!("{language}.wasm"));
    if !component.is_file() {
        let why = std::fs::read_to_string(made.join(format!("{language}.unavailable")));
        bail!("{}", why.unwrap_or_else(|_| "`cargo xtask languages` has not been run".to_owned()));
    }
    Ok(component)
}

pub(super) fn stunnel() -> Result<PathBuf> {
    program("stunnel4", "SLUICEBOX_STUNNEL")
}

pub(super) fn redis_server() -> Result<PathBuf> {
    program("redis-server", "SLUICEBOX_REDIS_SERVER")
}

pub(super) fn docker_registry() -> Result<PathBuf> {
    program("docker-registry", "SLUICEBOX_DOCKER_REGISTRY")
}

pub(super) fn etcd() -> Result<PathBuf> {
    program("etcd", "SLUICEBOX_ETCD")
}

pub(super) fn kube_api_server() -> Result<PathBuf> {
    program("kube-apiserver", "SLUICEBOX_KUBE_APISERVER")
}

pub(crate) fn user_mode_linux() -> Result<PathBuf> {
    program("linux.uml", "SLUICEBOX_USER_MODE_LINUX")
}

pub(crate) fn emulator() -> Result<PathBuf> {
    program("qemu-system-x86_64", "SLUICEBOX_QEMU")
}

pub(crate) fn linux() -> Result<PathBuf> {
    program("vmlinuz", "SLUICEBOX_LINUX")
}

pub(crate) fn busybox() -> Result<PathBuf> {
    program("busybox", "SLUICEBOX_BUSYBOX")
}

/// A directory that is made and removed again where all processes are.
fn cgroups() -> Result<()> {
    let roots = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(PathBuf::from);
    let root = roots.into_iter().find(|root| root.join("cgroup.procs").is_file()).context("no cgroups are mounted")?;
    let probe = root.join(format!("sluicebox-probe-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::create_dir(&probe).with_context(|| format!("cannot make {}", probe.display()))?;
    std::fs::remove_dir(&probe).with_context(|| format!("cannot remove {}", probe.display()))
}

fn network_namespaces() -> Result<()> {
    let told = Command::new("unshare").args(["--net", "true"]).output().context("cannot run unshare")?;
    if !told.status.success() {
        bail!("cannot make a network namespace: {}", String::from_utf8_lossy(&told.stderr).trim());
    }
    Ok(())
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::KubeApiServer => "kube-apiserver",
            Self::GalileoDb => "galileo-db",
            Self::Kubectl => "kubectl",
            Self::Kafka => "tansu",
            Self::ApacheKafka => "apache-kafka",
            Self::ConfluentKafka => "confluent-kafka",
            Self::Stunnel => "stunnel4",
            Self::UserModeLinux => "user-mode-linux",
            Self::EmulatedLinux => "emulated Linux",
            Self::Cgroups => "cgroups",
            Self::CgroupsOfVersion1 => "cgroups of version 1",
            Self::Prometheus => "prometheus",
            Self::NodeExporter => "prometheus-node-exporter",
            Self::Registry => "docker-registry",
            Self::NetworkNamespaces => "network namespaces",
            Self::Openssl => "openssl",
            Self::Btrfs => "btrfs",
            Self::Example(language) => language,
        }
    }

    fn programs(self) -> Result<()> {
        match self {
            Self::Redis => redis_server().map(drop),
            Self::KubeApiServer => kube_api_server().and_then(|_| etcd()).map(drop),
            Self::GalileoDb | Self::ConfluentKafka => python().map(drop),
            Self::Kubectl => kubectl().map(drop),
            Self::Kafka => tansu().map(drop),
            Self::ApacheKafka => apache_kafka().map(drop),
            Self::Stunnel => stunnel().map(drop),
            Self::UserModeLinux => user_mode_linux().and_then(|_| busybox()).map(drop),
            Self::EmulatedLinux => emulator().and_then(|_| linux()).and_then(|_| busybox()).map(drop),
            Self::Cgroups => cgroups(),
            Self::CgroupsOfVersion1 => Kubelet::real().map(drop).context("no cgroups of version 1 can be made here"),
            Self::Prometheus => prometheus().and_then(|_| promtool()).map(drop),
            Self::NodeExporter => node_exporter().map(drop),
            Self::Registry => docker_registry().map(drop),
            Self::NetworkNamespaces => network_namespaces(),
            Self::Openssl => program("openssl", "SLUICEBOX_OPENSSL").map(drop),
            Self::Btrfs => mkfs_btrfs().and_then(|_| btrfs()).map(drop),
            Self::Example(language) => example(language).map(drop),
        }
    }
}

fn program(name: &str, variable: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return existing(PathBuf::from(path)).with_context(|| format!("{variable} is wrong"));
    }
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
        let path = PathBuf::from(folder).join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let mut reason = "`cargo xtask lab` has not been run".to_owned();
    if let Some(piece) = piece(name) {
        if let Some(path) = piece.get("path").and_then(Value::as_str) {
            return existing(path.into());
        }
        let words = piece.get("unavailable").and_then(Value::as_str);
        words.unwrap_or_default().clone_into(&mut reason);
    }
    // A Python from the path has not the packages.
    let path = std::env::var_os("PATH").filter(|_| name != "python").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("there is no {name}: {reason}"))
}

fn existing(path: PathBuf) -> Result<PathBuf> {
    if !path.is_file() {
        bail!("there is no {}", path.display());
    }
    Ok(path)
}

/// What `cargo xtask lab` wrote about a program.
fn piece(name: &str) -> Option<Value> {
    let text = std::fs::read(cache()?.join("lab.json")).ok()?;
    let lab: Value = serde_json::from_slice(&text).ok()?;
    lab.get(name).cloned()
}

/// The name of the running test: its program and its thread, which the test harness names after it.
fn test() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name);
    let thread = std::thread::current();
    format!("{program}::{}", thread.name().unwrap_or("unnamed"))
}

/// The harness hides what a passing test prints; the file is what `cargo xtask test` lists in the end.
#[allow(clippy::print_stderr, reason = "a test that does not run is never silent")]
fn tell(line: &str) {
    eprint!("{line}");
    if let Some(list) = std::env::var_os("SLUICEBOX_NOT_RUN") {
        let written =
            OpenOptions::new().create(true).append(true).open(&list).and_then(|mut list| list.write_all(line.as_bytes()));
        if let Err(error) = written {
            eprintln!("cannot write {}: {error}", list.display());
        }
    }
}

fn is_true(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_knows_its_name() {
        assert_eq!(test(), "sluicebox_testkit::servers::found::tests::a_test_knows_its_name");
    }

    #[test]
    fn a_missing_program_says_how_to_get_it() {
        let error = program("no-such-server", "SLUICEBOX_NO_SUCH_SERVER").unwrap_err();
        assert!(error.to_string().contains("there is no no-such-server"), "{error}");
        assert!(error.to_string().contains("cargo xtask lab"), "{error}");
    }
}
