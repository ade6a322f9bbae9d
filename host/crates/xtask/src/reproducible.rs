//! Whether the same sources make the same modules: they are compiled once more, elsewhere, and compared byte by byte.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::say;
use crate::modules::{self, Compiler};
use crate::{toolchain, workspace};

/// What of the workspace's folder is no source.
const NO_SOURCES: [&str; 3] = ["target", ".git", ".demo"];
/// Longer than most paths, so that a path of the machine that stays in a module moves what comes behind it.
const ELSEWHERE: &str = "sluicebox-elsewhere/a folder/with a longer path than the first one";

/// Compares the modules that we ship, as they lie in `target/modules`, with those that a copy of the sources makes: at another path, with
/// another home of cargo, from nothing.
pub(crate) fn check(compiler: Compiler) -> Result<()> {
    let begun = Instant::now();
    let elsewhere = Elsewhere::make()?;
    let names = modules::names(false)?;
    let mut wasm = toolchain::wasm(compiler.toolchain)?;
    wasm.cargo.env("CARGO_HOME", &elsewhere.home);
    wasm.target.clone_from(&elsewhere.target);
    let built = modules::build(&names, wasm, &elsewhere.sources)?;

    let paths = [workspace::root(), &elsewhere.folder, &cargo_home()?].map(|path| path.to_string_lossy().into_owned());
    let mut troubles = Vec::new();
    for name in &names {
        let here = read(&workspace::target().join("modules").join(format!("{name}.wasm")))?;
        let there = read(&built.join(modules::file_name(name)))?;
        troubles.extend(difference(&here, &there).map(|difference| format!("{name}: {difference}")));
        troubles.extend(paths.iter().filter(|path| holds(&here, path)).map(|path| format!("{name}: holds the path {path}")));
    }
    if !troubles.is_empty() {
        bail!("the same sources make other modules at another path:\n  {}", troubles.join("\n  "));
    }
    let compiler = toolchain::rustc(&["--version"])?;
    let seconds = begun.elapsed().as_secs();
    say(format!("modules: {} are the same when made elsewhere, by {compiler} ({seconds} s)", names.len()));
    Ok(())
}

/// The sources, cargo's home and what is built, all at paths of their own; gone when dropped.
struct Elsewhere {
    folder: PathBuf,
    sources: PathBuf,
    home: PathBuf,
    target: PathBuf,
}

impl Elsewhere {
    fn make() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("xtask-{}", std::process::id()));
        let inside = folder.join(ELSEWHERE);
        let elsewhere = Self { sources: inside.join("sources"), home: inside.join("home"), target: inside.join("built"), folder };
        copy(workspace::root(), &elsewhere.sources, &NO_SOURCES)?;
        // What cargo has downloaded is taken from where it lies, by another name.
        fs::create_dir_all(&elsewhere.home).with_context(|| format!("cannot make {}", elsewhere.home.display()))?;
        let home = cargo_home()?;
        for entry in fs::read_dir(&home).with_context(|| format!("cannot list {}", home.display()))? {
            let entry = entry?;
            symlink(entry.path(), elsewhere.home.join(entry.file_name()))?;
        }
        Ok(elsewhere)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            say(format!("cannot remove {}: {error}", self.folder.display()));
        }
    }
}

fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo"))).context("neither CARGO_HOME nor HOME is set")
}

/// Copies a folder; links stay links.
fn copy(from: &Path, to: &Path, without: &[&str]) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let (path, copied) = (entry.path(), to.join(&name));
        if without.iter().any(|without| name == *without) {
        } else if kind.is_dir() {
            copy(&path, &copied, &[])?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&path)?, &copied)?;
        } else if kind.is_file() {
            fs::copy(&path, &copied).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where two components part, with what stands there as far as it can be read.
fn difference(here: &[u8], there: &[u8]) -> Option<String> {
    if here == there {
        return None;
    }
    let at = here.iter().zip(there).take_while(|(one, other)| one == other).count();
    let words = |bytes: &[u8]| {
        let around = bytes.get(at.saturating_sub(40)..(at + 40).min(bytes.len())).unwrap_or_default();
        around.escape_ascii().to_string()
    };
    Some(format!("from byte {at} on: `{}` here, `{}` elsewhere", words(here), words(there)))
}

fn holds(component: &[u8], path: &str) -> bool {
    component.windows(path.len()).any(|window| window == path.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_two_components_part_is_told() {
        assert_eq!(difference(b"same", b"same"), None);
        let difference = difference(b"at /home/a/x.rs", b"at /home/b/x.rs").unwrap();
        assert_eq!(difference, "from byte 9 on: `at /home/a/x.rs` here, `at /home/b/x.rs` elsewhere");
        assert!(self::difference(b"one", b"one more").is_some());
    }

    #[test]
    fn a_path_is_found_wherever_it_stands() {
        assert!(holds(b"\0/home/a/.cargo/registry\0", "/home/a/.cargo"));
        assert!(!holds(b"\0/crates/serde\0", "/home/a/.cargo"));
    }
}
