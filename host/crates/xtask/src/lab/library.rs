//! An API server of today: what kube-apiserver is made of, and its types, as Debian packs them, with the little that
//! `host/crates/testkit/api-machinery` adds.
//!
//! Debian has the whole source of kube-apiserver in one old version only. The library is packed anew with each version: lists, watches, server-side apply,
//! strict decoding and admission policies come from there. What is not in it is said in `api-machinery/main.go`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Cache, debian};
use crate::command::{self, say};
use crate::{languages, workspace};

/// Debian's suite that everything new comes to first.
const SUITE: &str = "sid";
const PACKAGES: [&str; 3] = ["golang-k8s-apiserver-dev", "golang-k8s-apiextensions-apiserver-dev", "golang-k8s-kube-openapi-dev"];
/// The groups and versions that the server has, of `k8s.io/api`.
const TYPES: [&str; 15] = [
    "core/v1",
    "apps/v1",
    "batch/v1",
    "autoscaling/v1",
    "coordination/v1",
    "discovery/v1",
    "events/v1",
    "networking/v1",
    "rbac/v1",
    "policy/v1",
    "scheduling/v1",
    "authorization/v1",
    "authentication/v1",
    "admissionregistration/v1",
    "storage/v1",
];
/// What they are made of, of `k8s.io/apimachinery/pkg`.
const PARTS: [&str; 5] = ["apis/meta/v1", "runtime", "version", "api/resource", "util/intstr"];
const MODELS: &str = "zz_generated.model_name.go";
const VERSION_PACKAGES: [&str; 2] = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

/// A folder for `KUBEBUILDER_ASSETS`: kube-apiserver, etcd and kubectl of one version. It is made once; anew when our part of the source has changed.
pub(super) fn assets(cache: &Cache) -> Result<PathBuf> {
    let assets = cache.make("kubernetes-assets")?;
    let (made_of, ours) = (assets.join("made-of"), sources()?);
    let ours_as_text = serde_json::to_string(&ours)?;
    if fs::read_to_string(&made_of).is_ok_and(|known| known == ours_as_text) {
        return Ok(assets);
    }
    let work = cache.make("kubernetes-library")?;
    let library = debian::unpacked_from(cache, SUITE, "kubernetes-library/packages", &PACKAGES, is_source)?;
    for (package, program) in [("etcd-server", "etcd"), ("kubectl", "kubectl")] {
        let place = format!("kubernetes-library/{program}");
        let root = debian::unpacked_from(cache, SUITE, &place, &[package], |name| name == package)?;
        fs::copy(root.join("usr/bin").join(program), assets.join(program))
            .with_context(|| format!("{package} has no {program}"))?;
        command::capture(Command::new(assets.join(program)).arg(if program == "etcd" { "--version" } else { "help" }))?;
    }
    build(cache, &library, &work.join("go"), &ours, &assets.join("kube-apiserver"))?;
    fs::write(&made_of, ours_as_text)?;
    // The programs are all that is kept: sources and caches are 4 GB.
    fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    Ok(assets)
}

/// Our part of the source: names and texts.
fn sources() -> Result<Vec<(String, String)>> {
    let folder = workspace::root().join("host/crates/testkit/api-machinery");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        all.push((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?));
    }
    all.sort();
    Ok(all)
}

/// Sources of libraries in Go; programs and the like that they need to be built as packages are not wanted.
fn is_source(package: &str) -> bool {
    package.starts_with("golang-") && package.ends_with("-dev")
}

/// Such as `v1.36.4`: the library has the numbers of Kubernetes, with another one in front.
fn version(library: &Path) -> Result<String> {
    let changes = library.join("usr/share/doc/golang-k8s-apiserver-dev/changelog.Debian.gz");
    let told = command::capture(Command::new("gzip").arg("-dc").arg(&changes))?;
    let version = number(&told).with_context(|| format!("{} begins with no version", changes.display()))?;
    Ok(format!("v1.{version}"))
}

/// `36.4` of `golang-k8s-apiserver (0.36.4-2) unstable; urgency=medium`.
fn number(changes: &str) -> Option<&str> {
    changes.split_once("(0.")?.1.split(['-', '+', '~', ')']).next()
}

/// Go's own cache makes a second try cheap after one that was cut off.
fn build(cache: &Cache, library: &Path, workspace: &Path, ours: &[(String, String)], path: &Path) -> Result<()> {
    let go = Go { folder: languages::packed_go(cache).context("Go cannot be had")?, library, workspace };
    let version = version(library)?;
    let server = workspace.join("src/apimachinery/server");
    fs::create_dir_all(&server)?;
    for (name, text) in ours {
        fs::write(server.join(name), text)?;
    }
    describe(cache, &go)?;

    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let git = format!("{version}+library");
    let variables = [("gitVersion", git.as_str()), ("gitMajor", major), ("gitMinor", minor), ("gitTreeState", "clean")];
    let flags = VERSION_PACKAGES.iter().flat_map(|package| variables.map(|(name, value)| format!("-X {package}.{name}={value}")));
    let flags: Vec<String> = flags.collect();
    let mut compile = go.command(&go.folder.join("go"))?;
    compile.args(["build", "-ldflags", &format!("-s -w {}", flags.join(" ")), "-o"]).arg(path).arg("apimachinery/server");
    command::long("lab: compiling an API server (3 to 7 minutes, once)", &cache.log("library-compile")?, &mut compile)?;
    say(command::capture(Command::new(path).arg("--version"))?.trim());
    Ok(())
}

/// Writes what the server tells of its types, by which it merges what several have applied.
fn describe(cache: &Cache, go: &Go<'_>) -> Result<()> {
    let generated = go.workspace.join("src/apimachinery/openapi");
    fs::create_dir_all(&generated)?;
    fs::write(generated.join("doc.go"), "package openapi\n")?;
    fs::write(go.workspace.join("header"), "")?;
    let generator = go.workspace.join("openapi-gen");
    let mut compile = go.command(&go.folder.join("go"))?;
    compile.args(["build", "-o"]).arg(&generator).arg("k8s.io/kube-openapi/cmd/openapi-gen");
    command::long("lab: compiling what describes types", &cache.log("library-generator")?, &mut compile)?;

    let mut run = go.command(&generator)?;
    run.arg("--go-header-file").arg(go.workspace.join("header")).arg("--output-dir").arg(&generated);
    run.args(["--output-pkg", "apimachinery/openapi", "--output-file", "zz_generated.go"]);
    run.args(["--output-model-name-file", MODELS, "--report-filename", "/dev/null"]);
    let types = TYPES.map(|of| format!("k8s.io/api/{of}"));
    let parts = PARTS.map(|of| format!("k8s.io/apimachinery/pkg/{of}"));
    let packages: Vec<&String> = types.iter().chain(&parts).collect();
    for package in &packages {
        run.arg("--readonly-pkg").arg(package);
    }
    command::long("lab: describing the types of Kubernetes", &cache.log("library-describe")?, run.args(packages))
}

/// A compiler, and where it finds sources.
struct Go<'a> {
    folder: PathBuf,
    library: &'a Path,
    workspace: &'a Path,
}

impl Go<'_> {
    /// Debian lays sources out as they were before Go had modules; nothing is fetched.
    fn command(&self, program: &Path) -> Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(self.folder.clone()).chain(std::env::split_paths(&path)))?;
        let places = std::env::join_paths([self.workspace.to_path_buf(), self.library.join("usr/share/gocode")])?;
        let mut command = Command::new("nice");
        command.args(["-n", "10"]).arg(program).current_dir(self.workspace.join("src"));
        command.envs([
            ("GO111MODULE", "off"),
            ("GOFLAGS", ""),
            ("CGO_ENABLED", "0"),
            ("GOTOOLCHAIN", "local"),
            ("GOPROXY", "off"),
        ]);
        command.env_remove("GOROOT").env("PATH", path).env("GOPATH", places).env("GOCACHE", self.workspace.join("cache"));
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_first_one_of_the_changes() {
        let changes = "golang-k8s-apiserver (0.36.4-2) unstable; urgency=medium\n\ngolang-k8s-apiserver (0.35.1-1) unstable";
        assert_eq!(number(changes), Some("36.4"));
        assert_eq!(number("golang-k8s-apiserver (0.36.0~rc1-1) experimental"), Some("36.0"));
        assert_eq!(number("nothing"), None);
    }
}
