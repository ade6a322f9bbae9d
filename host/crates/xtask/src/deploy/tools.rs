//! What renders, builds and runs: kubectl, helm, buildah, runc and busybox.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::lab::{Cache, linux, packaging};

/// Where they are.
pub(super) struct Tools {
    pub(super) kubectl: PathBuf,
    pub(super) helm: PathBuf,
    pub(super) containers: packaging::Containers,
    /// What sets up a network, and a program for a container that does nothing.
    pub(super) busybox: PathBuf,
}

impl Tools {
    /// Takes the machine's, or gets them.
    pub(super) fn provide() -> Result<Self> {
        let cache = Cache::open()?;
        let kubectl = sluicebox_testkit::servers::kubectl().context("`cargo xtask lab` gets a kubectl")?;
        let (helm, containers) = (packaging::helm(&cache)?, packaging::containers(&cache)?);
        Ok(Self { kubectl, helm, containers, busybox: linux::busybox(&cache)? })
    }

    /// A program in a network of its own, in which there is nothing but loopback.
    pub(super) fn apart(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "\"$0\" ip link set lo up && exec \"$@\""]).arg(&self.busybox).arg(program);
        command
    }

    /// An overlay's manifests.
    pub(super) fn kustomize(&self, overlay: &Path) -> Result<String> {
        command::capture(Command::new(&self.kubectl).arg("kustomize").arg(overlay))
    }

    /// The chart's manifests for a version of Kubernetes, with further arguments of helm; the pod of `helm test` is among them.
    pub(super) fn template(&self, chart: &Path, version: &str, arguments: &[&str]) -> Result<String> {
        let mut helm = Command::new(&self.helm);
        helm.args(["template", "sluicebox"]).arg(chart).args([
            "--namespace",
            super::cluster::NAMESPACE,
            "--kube-version",
            version,
        ]);
        command::capture(helm.args(arguments))
    }
}
