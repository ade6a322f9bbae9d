//! What renders, builds and runs: kubectl, helm, buildah and runc.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::lab::{Cache, packaging};

/// Where they are.
pub(super) struct Tools {
    pub(super) kubectl: PathBuf,
    pub(super) helm: PathBuf,
    pub(super) containers: packaging::Containers,
}

impl Tools {
    /// Takes the machine's, or gets them.
    pub(super) fn provide() -> Result<Self> {
        let cache = Cache::open()?;
        let kubectl = sluicebox_testkit::servers::kubectl().context("`cargo xtask lab` gets a kubectl")?;
        Ok(Self { kubectl, helm: packaging::helm(&cache)?, containers: packaging::containers(&cache)? })
    }

    /// An overlay's manifests.
    pub(super) fn kustomize(&self, overlay: &Path) -> Result<String> {
        command::capture(Command::new(&self.kubectl).arg("kustomize").arg(overlay))
    }

    /// The chart's manifests with a file of values, the pod of `helm test` among them.
    pub(super) fn template(&self, chart: &Path, values: Option<&Path>) -> Result<String> {
        let mut helm = Command::new(&self.helm);
        helm.args(["template", "sluicebox"]).arg(chart).args(["--namespace", super::cluster::NAMESPACE]);
        // The oldest that is supported, and the one of the lab.
        helm.args(["--kube-version", "1.20.2"]);
        if let Some(values) = values {
            helm.arg("--values").arg(values);
        }
        command::capture(&mut helm)
    }
}
