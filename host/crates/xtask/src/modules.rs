//! Compiles the modules to components, all at once, into `target/modules/<name>.wasm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{self, say};
use crate::toolchain::{self, Toolchain, Wasm};
use crate::{remap, reproducible, workspace};

const FOR_TESTS_ONLY: &str = "hostile";

/// Compile the modules to WebAssembly components: target/modules/<name>.wasm
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// The evil modules of the tests, too
    #[arg(long)]
    all: bool,
    /// Compile them once more in another folder, with another home of cargo: they must be the same to the last byte
    #[arg(long, conflicts_with = "all")]
    reproducible: bool,
    #[command(flatten)]
    compiler: Compiler,
}

/// How modules are compiled, for every command that compiles them.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Compiler {
    /// Which compiler makes the modules
    #[arg(long, value_enum, default_value_t)]
    pub(crate) toolchain: Toolchain,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    compile(arguments.all, arguments.compiler)?;
    if arguments.reproducible { reproducible::check(arguments.compiler) } else { Ok(()) }
}

/// Compiles the modules that we ship; `all` adds those of the tests.
pub(crate) fn compile(all: bool, compiler: Compiler) -> Result<()> {
    compile_into(&names(all)?, compiler, &workspace::target().join("modules"))
}

/// The modules that we ship; `all` adds those of the tests.
pub(crate) fn names(all: bool) -> Result<Vec<String>> {
    names_in(&workspace::root().join("modules"), all)
}

/// Compiles the packages of these names to `<name>.wasm` in this place.
pub(crate) fn compile_into(names: &[String], compiler: Compiler, place: &Path) -> Result<()> {
    let built = build(names, toolchain::wasm(compiler.toolchain)?, workspace::root())?;
    fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
    for name in names {
        let from = built.join(file_name(name));
        let to = place.join(format!("{name}.wasm"));
        let (size, state) = bring(&from, &to)?;
        say(format!("{} {:>9} bytes, {state}", shown(&to), size));
    }
    Ok(())
}

/// Compiles packages of the workspace in this folder; where the compiler leaves them, under its own names.
pub(crate) fn build(names: &[String], wasm: Wasm, root: &Path) -> Result<PathBuf> {
    let Wasm { mut cargo, flags, compiler, target } = wasm;
    let paths = remap::flags(root, command::another(&cargo).current_dir(root))?;
    let compiler: Vec<String> = compiler.into_iter().chain(paths).collect();
    // Not RUSTFLAGS, which would cut a path at its blanks.
    cargo.current_dir(root).env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", compiler.join("\u{1f}"));
    cargo.args(["build", "--profile", "module"]).args(flags).arg("--target-dir").arg(&target);
    for name in names {
        cargo.args(["--package", name]);
    }
    command::must(&mut cargo)?;
    Ok(target.join("wasm32-unknown-unknown/module"))
}

/// The name that the compiler gives to the component of a package.
pub(crate) fn file_name(package: &str) -> String {
    format!("{}.wasm", package.replace('-', "_"))
}

/// A folder with a manifest is a module; nobody keeps a list.
fn names_in(folder: &Path, all: bool) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("Cargo.toml").is_file() && (all || name != FOR_TESTS_ONLY) {
            names.push(name);
        }
    }
    if names.is_empty() {
        bail!("{} holds no module", folder.display());
    }
    names.sort();
    Ok(names)
}

/// Copies what has changed. A component that stays the same keeps its time, so that nothing downstream is built again.
fn bring(from: &Path, to: &Path) -> Result<(usize, &'static str)> {
    let bytes = fs::read(from).with_context(|| format!("the compiler left no {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok((bytes.len(), "as before"));
    }
    let fresh = to.with_extension("wasm.new");
    fs::write(&fresh, &bytes).with_context(|| format!("cannot write {}", fresh.display()))?;
    fs::rename(&fresh, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok((bytes.len(), "new"))
}

fn shown(path: &Path) -> String {
    let inside: PathBuf = path.strip_prefix(workspace::root()).unwrap_or(path).to_path_buf();
    inside.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_evil_modules_are_built_for_tests_only() {
        let folder = workspace::root().join("modules");
        let all = names_in(&folder, true).unwrap();
        assert!(all.contains(&"hostile".to_owned()));
        let shipped = names_in(&folder, false).unwrap();
        assert!(!shipped.contains(&"hostile".to_owned()));
        assert_eq!(shipped.len() + 1, all.len());
    }
}
