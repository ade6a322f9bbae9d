//! Shows that what stands in `deploy/` works: a real API server takes every manifest, and the program does its work in the image, as the pod says,
//! with the token of the service account and no right more; with one right less it names that right and goes on.

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

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::modules::Compiler;
use crate::{command, modules, workspace};

use cases::Case;
use cluster::Cluster;
use pod::Pod;
use surroundings::Surroundings;
use tools::Tools;

/// Try what is in `deploy/` with a real API server and in real containers
///
/// Renders every overlay and the chart with each of its files of values, has a real kube-apiserver accept them and the program check their
/// configurations; then builds the image, runs each overlay's pod in it with the token of its service account until its sinks have
/// written, and once more for each of its rights without that right. Needs root, for a network and for containers of its own; what else
/// it needs is unpacked into the cache of `cargo xtask lab`.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The program of which the image is made; without it one is built
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Run only the overlays whose name has this in it
    #[arg(long, value_name = "PART", default_value = "")]
    only: String,
    /// Render, accept and check; run nothing
    #[arg(long)]
    accept_only: bool,
    /// Take no rights away
    #[arg(long)]
    keep_rights: bool,
    /// The network is one of its own already
    #[arg(long, hide = true)]
    inside: bool,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let binary = match &arguments.binary {
        Some(path) => fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))?,
        None => build(arguments)?,
    };
    // What has to be downloaded cannot be from within.
    let tools = Tools::provide()?;
    if !arguments.inside {
        return enter(arguments, &binary);
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(show(arguments, &binary, &tools))
}

fn build(arguments: &Arguments) -> Result<PathBuf> {
    modules::compile(false, arguments.compiler)?;
    command::must(workspace::cargo().args(["build", "--package", "sluicebox"]))?;
    Ok(workspace::target().join("debug/sluicebox"))
}

/// Goes on in a network of its own: the manifests name ports, and there they are free.
fn enter(arguments: &Arguments, binary: &Path) -> Result<()> {
    let mut inner = Command::new("unshare");
    inner.args(["--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]);
    inner.arg(std::env::current_exe().context("cannot find this program")?);
    inner.args(["deploy", "--inside", "--only", &arguments.only]).arg("--binary").arg(binary);
    for (flag, set) in [("--accept-only", arguments.accept_only), ("--keep-rights", arguments.keep_rights)] {
        if set {
            inner.arg(flag);
        }
    }
    command::must(&mut inner)
}

async fn show(arguments: &Arguments, binary: &Path, tools: &Tools) -> Result<()> {
    let folder = fresh()?;
    command::capture(Command::new("python3").arg(workspace::root().join("deploy/chart/readme.py")).arg("--check"))?;
    let cluster = Cluster::start(tools, &folder).await?;
    let cases: Vec<&Case> = cases::CASES.iter().filter(|case| case.overlay.contains(&arguments.only)).collect();
    if cases.is_empty() {
        bail!("no overlay has `{}` in its name", arguments.only);
    }
    for case in &cases {
        let objects = cluster.accept(&tools.kustomize(&path(case))?)?;
        check(binary, case.overlay, &objects)?;
        command::say(format!("overlay {}: {} objects accepted, the configuration is right", case.overlay, objects.len()));
    }
    chart(binary, tools, &cluster)?;
    if arguments.accept_only {
        return Ok(());
    }

    let rootfs = container::root(tools, binary, &folder)?;
    let surroundings = Surroundings::start(&cluster, &folder).await?;
    for case in &cases {
        let objects = cluster.apply(&tools.kustomize(&path(case))?)?;
        let pod = Pod::of(&objects)?;
        cluster.accept_pod(&pod)?;
        let stage = container::Stage { tools, cluster: &cluster, surroundings: &surroundings, rootfs: &rootfs, folder: &folder };
        cases::work(&stage, case, &pod, &objects).await.with_context(|| format!("overlay {}", case.overlay))?;
        command::say(format!("overlay {}: its pod has written to {}", case.overlay, case.sinks.join(", ")));
        if !arguments.keep_rights {
            cases::without_each_right(&stage, case, &pod, &objects).await.with_context(|| format!("overlay {}", case.overlay))?;
        }
        cluster.remove(&objects)?;
    }
    Ok(())
}

/// The chart, as it stands and with each file of values.
fn chart(binary: &Path, tools: &Tools, cluster: &Cluster) -> Result<()> {
    let chart = workspace::root().join("deploy/chart/sluicebox");
    command::capture(Command::new(&tools.helm).arg("lint").arg(&chart))?;
    let mut files = vec![None];
    for entry in fs::read_dir(chart.join("values")).context("the chart has no files of values")? {
        files.push(Some(entry?.path()));
    }
    for file in files {
        let name =
            file.as_ref().and_then(|path| path.file_stem()).map_or_else(|| "default".into(), |stem| stem.to_string_lossy());
        let objects = cluster.accept(&tools.template(&chart, file.as_deref())?)?;
        check(binary, &format!("chart {name}"), &objects)?;
        command::say(format!("chart {name}: {} objects accepted, the configuration is right", objects.len()));
    }
    Ok(())
}

/// Has the program look at the configuration that the pod would be given, with its variables.
fn check(binary: &Path, name: &str, objects: &[Value]) -> Result<()> {
    let pod = Pod::of(objects)?;
    let mut checked = Command::new(binary);
    checked.arg("check").arg("-").envs(pod.environment(objects)?);
    let answer = command::with_input(&mut checked, pod.configuration(objects)?);
    answer.map(|_| ()).with_context(|| format!("the configuration of {name}"))
}

fn path(case: &Case) -> PathBuf {
    workspace::root().join("deploy/kustomize").join(case.overlay)
}

fn fresh() -> Result<PathBuf> {
    let folder = workspace::target().join("deploy");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}
