//! Shows that what stands in `deploy/` works: a real API server takes every manifest, and the program does its work in the image, as the pod says,
//! with the token of the service account and no right more; with one right less it names that right and goes on.

mod accept;
mod as_test;
mod cases;
mod cluster;
mod container;
mod oci;
mod pod;
mod rights;
mod seccomp;
mod surroundings;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::modules::Compiler;
use crate::{command, modules, workspace};

use accept::Acceptance;
pub(crate) use as_test::{Outcome, as_test};
use cases::Case;
use cluster::Cluster;
use container::Stage;
use pod::Pod;
use surroundings::Surroundings;
use tools::Tools;

/// Try what is in `deploy/` with a real API server and in real containers
///
/// Renders every overlay, every component and the chart with each of its files of values, has a real kube-apiserver accept them and the program
/// check their configurations; then builds the image, runs each overlay's pod in it with the token of its service account until its sinks have
/// written, and once more for each of its rights without that right. Needs root, for a network and for containers of its own; what else
/// it needs is unpacked into the cache of `cargo xtask lab`.
#[derive(clap::Args, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct Arguments {
    /// The program of which the image is made; without it one is built
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// An image that is unpacked already, such as where `buildah mount` has it; no other one is built
    #[arg(long, value_name = "FOLDER", conflicts_with = "binary")]
    root: Option<PathBuf>,
    /// Run only the overlays whose name has this in it
    #[arg(long, value_name = "PART", default_value = "")]
    only: String,
    /// Render, accept and check; run nothing
    #[arg(long)]
    accept_only: bool,
    /// Take no rights away
    #[arg(long)]
    keep_rights: bool,
    /// Take rights away from two of the overlays only, which have one of each kind, as `cargo xtask test` does
    #[arg(long)]
    short: bool,
    /// The network is one of its own already
    #[arg(long, hide = true)]
    inside: bool,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let found = |path: &Path| fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()));
    let binary = match (&arguments.root, &arguments.binary) {
        (Some(root), _) => found(&root.join(oci::PROGRAM.trim_start_matches('/')))?,
        (None, Some(path)) => found(path)?,
        (None, None) => build(arguments)?,
    };
    // What has to be downloaded cannot be from within.
    let tools = Tools::provide()?;
    if !arguments.inside {
        return enter(arguments, &binary, &tools);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(show(arguments, &binary, &tools))
}

fn build(arguments: &Arguments) -> Result<PathBuf> {
    modules::compile(false, arguments.compiler)?;
    command::must(workspace::cargo().args(["build", "--package", "sluicebox"]))?;
    Ok(workspace::target().join("debug/sluicebox"))
}

/// Goes on in a network of its own: the manifests name ports, and there they are free.
fn enter(arguments: &Arguments, binary: &Path, tools: &Tools) -> Result<()> {
    let mut inner = tools.apart(std::env::current_exe().context("cannot find this program")?);
    inner.args(["deploy", "--inside", "--only", &arguments.only]);
    match &arguments.root {
        Some(root) => inner.arg("--root").arg(root),
        None => inner.arg("--binary").arg(binary),
    };
    let flags =
        [("--accept-only", arguments.accept_only), ("--keep-rights", arguments.keep_rights), ("--short", arguments.short)];
    inner.args(flags.into_iter().filter_map(|(flag, set)| set.then_some(flag)));
    follow(&mut inner)
}

/// Runs this program once more; what is wrong it says itself.
fn follow(inner: &mut Command) -> Result<()> {
    let status = inner.status().context("cannot go on in another process")?;
    ensure!(status.success(), "what is in `deploy/` does not work, for the reason that stands above");
    Ok(())
}

async fn show(arguments: &Arguments, binary: &Path, tools: &Tools) -> Result<()> {
    let folder = fresh()?;
    let cluster = Cluster::start(tools, &folder).await?;
    let cases: Vec<&Case> = cases::CASES.iter().filter(|case| case.overlay.contains(&arguments.only)).collect();
    if cases.is_empty() {
        bail!("no overlay has `{}` in its name", arguments.only);
    }
    Acceptance { binary, tools, cluster: &cluster, folder: &folder }.all(&cases)?;
    if arguments.accept_only {
        return Ok(());
    }

    let rootfs = match &arguments.root {
        Some(root) => fs::canonicalize(root).with_context(|| format!("cannot find {}", root.display()))?,
        None => container::root(tools, binary, &folder)?,
    };
    let surroundings = Surroundings::start(&cluster, &folder).await?;
    let stage = Stage { tools, cluster: &cluster, surroundings: &surroundings, rootfs: &rootfs, folder: &folder };
    for case in cases {
        run_case(&stage, case, arguments).await.with_context(|| format!("overlay {}", case.overlay))?;
    }
    Ok(())
}

/// Installs an overlay, sees its pod do its work, and what it does without each of its rights.
async fn run_case(stage: &Stage<'_>, case: &Case, arguments: &Arguments) -> Result<()> {
    let objects = stage.cluster.apply(&stage.tools.kustomize(&case.path())?)?;
    let pod = Pod::of(&objects)?;
    stage.cluster.accept_pod(&pod)?;
    if pod.reads_cgroups() && !stage.surroundings.has_cgroups() {
        command::say(format!("overlay {}: NOT RUN: no cgroups of version 1 can be made on this machine", case.overlay));
    } else {
        cases::work(stage, case, &pod, &objects).await?;
        let (user, sinks) = (pod.user()?.0, case.sinks.join(", "));
        command::say(format!(
            "overlay {}: its pod has written to {sinks}, as user {user} in a read-only root, and misses no right",
            case.overlay
        ));
        if !arguments.keep_rights && (case.is_short || !arguments.short) {
            cases::without_each_right(stage, case, &pod, &objects).await?;
        }
    }
    stage.cluster.remove(&objects)
}

fn fresh() -> Result<PathBuf> {
    let folder = workspace::target().join("deploy");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
