//! The lab: real servers to test against, made once, in a cache outside the tree.
//!
//! `lab.json` in the cache is its only interface: for each piece either a `path` or why it is `unavailable`.

mod btrfs;
mod cache;
pub(crate) mod debian;
mod kafka;
mod kubernetes;
mod library;
pub(crate) mod linux;
pub(crate) mod packaging;
mod prometheus;
mod python;
mod redis;
mod registry;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

pub(crate) use cache::Cache;

use crate::command::say;

/// Get the real servers that tests run against, once, into a cache outside the tree
///
/// Redis, a container registry, Prometheus and its node exporter, etcd, kube-apiserver, a broker of Kafka's protocol, kubectl, a Python environment with `galileo-db`, and small Linux
/// machines with cgroup v2. Nothing is installed on the machine: packages are unpacked into `SLUICEBOX_CACHE` (else
/// $XDG_CACHE_HOME/sluicebox-lab, else ~/.cache/sluicebox-lab). With `KUBEBUILDER_ASSETS` pointing at a folder with kube-apiserver and
/// etcd, those are used.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Leave out what is built here, for minutes, and what it needs: tansu, kube-apiserver and etcd. All else is downloaded
    #[arg(long)]
    quick: bool,
    /// Make nothing but an API server of today, and print the folder that `KUBEBUILDER_ASSETS` must be for it to be used
    ///
    /// It is made of the library that kube-apiserver is made of, and of its types, in the version that Debian sid has; what kube-apiserver adds
    /// to the library, such as its validation, is not there. 4 to 10 minutes and 4 GB while it is made, then 0.2 GB.
    #[arg(long, conflicts_with = "quick")]
    kubernetes_library: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.kubernetes_library {
        println!("{}", library::assets(&Cache::open()?)?.display());
        return Ok(());
    }
    let lab = provide(arguments.quick)?;
    for piece in &lab.pieces {
        match &piece.found {
            Ok(path) => println!("{:<24} {}", piece.name, path.display()),
            Err(reason) => println!("{:<24} not available here: {reason}", piece.name),
        }
    }
    println!("{:<24} {}", "written to", lab.file.display());
    Ok(())
}

/// What was found or made.
pub(crate) struct Lab {
    pub(crate) pieces: Vec<Piece>,
    file: PathBuf,
}

/// A program of the lab.
pub(crate) struct Piece {
    /// As in lab.json.
    pub(crate) name: &'static str,
    /// The environment variable that tells tests where it is.
    pub(crate) variable: &'static str,
    /// Where it is, or why it is not to be had.
    pub(crate) found: Result<PathBuf, String>,
}

type Provider = fn(&Cache) -> Result<PathBuf>;

/// A name, its variable, whether it is heavy, and who provides it.
const PIECES: [(&str, &str, bool, Provider); 18] = [
    ("redis-server", "SLUICEBOX_REDIS_SERVER", false, redis::server),
    ("docker-registry", "SLUICEBOX_DOCKER_REGISTRY", false, registry::server),
    ("python", "SLUICEBOX_PYTHON", false, python::environment),
    ("kubectl", "SLUICEBOX_KUBECTL", false, python::kubectl),
    ("linux.uml", "SLUICEBOX_USER_MODE_LINUX", false, linux::user_mode),
    ("busybox", "SLUICEBOX_BUSYBOX", false, linux::busybox),
    ("qemu-system-x86_64", "SLUICEBOX_QEMU", false, linux::emulator),
    ("vmlinuz", "SLUICEBOX_LINUX", false, linux::kernel),
    ("prometheus", "SLUICEBOX_PROMETHEUS", false, prometheus::server),
    ("promtool", "SLUICEBOX_PROMTOOL", false, prometheus::tool),
    ("prometheus-node-exporter", "SLUICEBOX_NODE_EXPORTER", false, prometheus::node_exporter),
    ("apache-kafka", "SLUICEBOX_APACHE_KAFKA", false, kafka::apache),
    ("mkfs.btrfs", "SLUICEBOX_MKFS_BTRFS", false, btrfs::mkfs),
    ("btrfs", "SLUICEBOX_BTRFS", false, btrfs::control),
    ("stunnel4", "SLUICEBOX_STUNNEL", false, kafka::stunnel),
    ("tansu", "SLUICEBOX_TANSU", true, kafka::broker),
    ("etcd", "SLUICEBOX_ETCD", true, kubernetes::etcd),
    ("kube-apiserver", "SLUICEBOX_KUBE_APISERVER", true, kubernetes::api_server),
];

/// Provides each piece that can be had; one that cannot is no obstacle to the others.
pub(crate) fn provide(quick: bool) -> Result<Lab> {
    let begun = Instant::now();
    let cache = Cache::open()?;
    say(format!("lab: in {}", cache.path("").display()));
    let mut pieces = Vec::new();
    for (name, variable, heavy, provider) in PIECES {
        if heavy && quick {
            continue;
        }
        let found = provider(&cache).map_err(|error| format!("{error:#}"));
        if let Err(reason) = &found {
            say(format!("lab: {name} is not available here: {reason}"));
        }
        pieces.push(Piece { name, variable, found });
    }
    let file = cache.path("lab.json");
    write(&file, &pieces)?;
    say(format!("lab: ready after {:.1} s", begun.elapsed().as_secs_f32()));
    Ok(Lab { pieces, file })
}

/// What was left out this time keeps its entry, and so does what is taken from elsewhere this time only.
fn write(file: &std::path::Path, pieces: &[Piece]) -> Result<()> {
    let old = std::fs::read(file).unwrap_or_default();
    let mut known: Map<String, Value> = serde_json::from_slice(&old).unwrap_or_default();
    for piece in pieces.iter().filter(|piece| !kubernetes::is_asset(piece.name)) {
        let entry = match &piece.found {
            Ok(path) => json!({ "path": path }),
            Err(reason) => json!({ "unavailable": reason }),
        };
        known.insert(piece.name.to_owned(), entry);
    }
    let text = serde_json::to_vec_pretty(&known).context("cannot write lab.json")?;
    cache::write(file, &text)
}
