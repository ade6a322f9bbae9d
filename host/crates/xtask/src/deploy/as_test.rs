//! What of it belongs to every run of the tests, and when it cannot be run.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::container;
use super::tools::Tools;
use crate::{command, workspace};

/// What has become of it as a test.
pub(crate) enum Outcome {
    /// All of it has been shown.
    Shown,
    /// The manifests are accepted; nothing can be run, for this reason.
    AcceptedOnly(String),
    /// Nothing of it can be shown, as something cannot be had, for this reason.
    NotRun(String),
}

/// With the program as the tests have built it. That containers can be run here at all is tried with one that is not ours: when that works,
/// whatever fails then is a failure.
pub(crate) fn as_test() -> Result<Outcome> {
    let tools = match Tools::provide() {
        Ok(tools) => tools,
        Err(error) => return Ok(Outcome::NotRun(format!("{error:#}"))),
    };
    let this = std::env::current_exe().context("cannot tell who this is")?;
    let program = workspace::target().join("debug/sluicebox");
    let unable = probe(&tools).err();
    let mut deploy = if is_apart(&tools).is_ok() { tools.apart(this) } else { Command::new(this) };
    deploy.args(["deploy", "--inside", "--short", "--binary"]).arg(program);
    if unable.is_some() {
        deploy.arg("--accept-only");
    }
    command::say("trying what is in `deploy/`");
    super::follow(&mut deploy)?;
    Ok(unable.map_or(Outcome::Shown, |error| Outcome::AcceptedOnly(format!("{error:#}"))))
}

/// Whether there can be a network of its own.
fn is_apart(tools: &Tools) -> Result<()> {
    command::capture(tools.apart(&tools.busybox).arg("true")).map(|_| ()).context("no network of its own can be made here")
}

/// Whether an image can be built and a container be run, by those that do nothing.
fn probe(tools: &Tools) -> Result<()> {
    is_apart(tools)?;
    let bundle = workspace::target().join("deploy-probe");
    if bundle.exists() {
        fs::remove_dir_all(&bundle).context("cannot remove what a probe before has left")?;
    }
    let image = bundle.join("image");
    fs::create_dir_all(&image).context("cannot make a folder for a probe")?;
    let tried = container::build_nothing(tools, &image).context("buildah builds no image here");
    let tried = tried.and_then(|()| run_nothing(tools, &bundle).context("runc runs no container here"));
    fs::remove_dir_all(&bundle).with_context(|| format!("cannot remove {}", bundle.display()))?;
    tried
}

fn run_nothing(tools: &Tools, bundle: &Path) -> Result<()> {
    let root = bundle.join("root");
    fs::create_dir_all(root.join("proc"))?;
    fs::copy(&tools.busybox, root.join("busybox")).context("cannot copy busybox")?;
    let config = json!({
        "ociVersion": "1.0.2", "root": {"path": root, "readonly": true},
        "process": {"cwd": "/", "args": ["/busybox", "true"], "user": {"uid": 65532, "gid": 65532}, "noNewPrivileges": true},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}]},
    });
    fs::write(bundle.join("config.json"), config.to_string())?;
    let mut runc = tools.apart(&tools.containers.runc);
    runc.arg("--root").arg(bundle.join("runc")).args(["run", "--bundle"]).arg(bundle);
    command::capture(runc.arg(format!("sluicebox-probe-{}", std::process::id()))).map(|_| ())
}
