//! etcd and kube-apiserver: those of `KUBEBUILDER_ASSETS`, else those that were built before, else built from Debian's source package.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Cache, debian};
use crate::command::{self, say};

const VERSION: &str = "1.20.2";
const GO: &str = "usr/lib/go-1.19";
/// What `--version` says, and what `/version` says.
const VERSION_PACKAGES: [&str; 2] =
    ["k8s.io/kubernetes/vendor/k8s.io/component-base/version", "k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version"];

pub(super) fn etcd(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = asset("etcd")? {
        return Ok(path);
    }
    if let Some(path) = command::find("etcd") {
        return Ok(path);
    }
    let root = debian::unpacked(cache, "etcd", &["etcd-server"]).context("Debian's etcd cannot be had")?;
    let path = debian::launcher(cache, "etcd", &root)?;
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}

pub(super) fn api_server(cache: &Cache) -> Result<PathBuf> {
    if let Some(path) = asset("kube-apiserver")? {
        return Ok(path);
    }
    let path = cache.make("bin")?.join("kube-apiserver");
    if !path.is_file() {
        say(format!(
            "lab: building kube-apiserver {VERSION} from Debian's source package (3 to 10 minutes on two cores, 2 GB, once)"
        ));
        build(cache, &path).context("kube-apiserver cannot be built; cure: KUBEBUILDER_ASSETS")?;
    }
    command::capture(Command::new(&path).arg("--version"))?;
    Ok(path)
}

/// Whether the piece is one that `KUBEBUILDER_ASSETS` stands for in this run.
pub(super) fn is_asset(piece: &str) -> bool {
    std::env::var_os("KUBEBUILDER_ASSETS").is_some() && ["etcd", "kube-apiserver"].contains(&piece)
}

/// A program in the folder that Kubernetes projects keep their test binaries in. Both or none: versions must fit each other.
fn asset(program: &str) -> Result<Option<PathBuf>> {
    let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") else {
        return Ok(None);
    };
    let folder = PathBuf::from(folder);
    for needed in ["etcd", "kube-apiserver"] {
        if !folder.join(needed).is_file() {
            bail!("KUBEBUILDER_ASSETS is {} but there is no {needed} in it", folder.display());
        }
    }
    Ok(Some(folder.join(program)))
}

/// Go's caches make a second try cheap after one that was cut off.
fn build(cache: &Cache, path: &Path) -> Result<()> {
    let go = debian::unpacked(cache, "go", &["golang-1.19-go", "golang-1.19-src"])?;
    let rsync = match command::find("rsync") {
        Some(path) => path,
        None => debian::launcher(cache, "rsync", &debian::unpacked(cache, "rsync", &["rsync"])?)?,
    };
    let reflect = debian::unpacked(cache, "reflect2", &["golang-github-modern-go-reflect2-dev"])?;
    let workspace = cache.whole("kubernetes", |folder| {
        say("lab: downloading the source of Kubernetes (35 MB)");
        debian::source(cache, "kubernetes", folder)?;
        unpack(folder)?;
        replace_reflect(folder, &reflect)
    })?;

    let goroot = go.join(GO);
    let programs = [goroot.join("bin"), rsync.parent().unwrap_or(&rsync).to_path_buf()];
    let path_variable =
        std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())))?;
    let nice = |program: &str| {
        let mut command = Command::new("nice");
        command
            .args(["-n", "10", program])
            .current_dir(workspace.join("src/k8s.io/kubernetes"))
            .env("PATH", &path_variable)
            .env("GOROOT", &goroot)
            .env("GOPATH", &workspace)
            .env("GOCACHE", workspace.join("gocache"))
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("CGO_ENABLED", "0");
        command
    };

    command::long(
        "lab: generating code for kube-apiserver (1 to 3 minutes)",
        &cache.log("kube-generate")?,
        nice("make").arg("generated_files"),
    )?;
    let unfinished = path.with_extension("unfinished");
    let variables = [("gitVersion", "v1.20.2"), ("gitMajor", "1"), ("gitMinor", "20"), ("gitTreeState", "clean")];
    let of_package = |package| variables.map(|(name, value)| format!("-X {package}.{name}={value}"));
    let version: Vec<String> = VERSION_PACKAGES.into_iter().flat_map(of_package).collect();
    command::long(
        "lab: compiling kube-apiserver (2 to 6 minutes)",
        &cache.log("kube-compile")?,
        nice("go")
            .args(["build", "-ldflags", &format!("-s -w {}", version.join(" ")), "-o"])
            .arg(&unfinished)
            .arg("./cmd/kube-apiserver"),
    )?;
    fs::rename(&unfinished, path)?;

    // The binary is all that is kept: sources, caches and the compiler are 2 GB.
    for left_over in [workspace, go, reflect] {
        fs::remove_dir_all(&left_over).with_context(|| format!("cannot remove {}", left_over.display()))?;
    }
    Ok(())
}

/// The tree goes where Go of that age looks for it. Debian's patches are about kubectl and not needed.
fn unpack(folder: &Path) -> Result<()> {
    let archive = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains(".orig.tar."))
        .context("the source package has no original archive")?;
    let tree = folder.join("src/k8s.io/kubernetes");
    fs::create_dir_all(&tree)?;
    command::capture(Command::new("tar").args(["--strip-components=1", "-x", "-f"]).arg(&archive).arg("-C").arg(&tree))?;
    Ok(())
}

/// The vendored reflect2 was written for an older Go: a server built with it dies of a segmentation fault under load.
fn replace_reflect(folder: &Path, reflect: &Path) -> Result<()> {
    let vendored = folder.join("src/k8s.io/kubernetes/vendor/github.com/modern-go/reflect2");
    fs::remove_dir_all(&vendored)?;
    fs::create_dir(&vendored)?;
    let package = reflect.join("usr/share/gocode/src/github.com/modern-go/reflect2");
    for entry in fs::read_dir(&package).with_context(|| format!("cannot list {}", package.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), vendored.join(entry.file_name()))?;
        }
    }
    Ok(())
}
