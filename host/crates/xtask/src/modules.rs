//! Compiles the modules to components, all at once, into `target/modules/<name>.wasm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{self, say};
use crate::toolchain::{self, Toolchain};
use crate::workspace;

const FOR_TESTS_ONLY: &str = "hostile";

/// Compile the modules to WebAssembly components: target/modules/<name>.wasm
#[derive(clap::Args, Debug, Default)]
pub(crate) struct Arguments {
    /// The evil modules of the tests, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    compiler: Compiler,
}

/// How modules are compiled, for every command that compiles them.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct Compiler {
    /// Which compiler makes the modules
    #[arg(long, value_enum, default_value_t)]
    toolchain: Toolchain,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    compile(arguments.all, arguments.compiler)
}

/// Compiles the modules that we ship; `all` adds those of the tests.
pub(crate) fn compile(all: bool, compiler: Compiler) -> Result<()> {
    let names = names(&workspace::root().join("modules"), all)?;
    compile_into(&names, compiler, &workspace::target().join("modules"))
}

/// Compiles the packages of these names to `<name>.wasm` in this place.
pub(crate) fn compile_into(names: &[String], compiler: Compiler, place: &Path) -> Result<()> {
    let mut wasm = toolchain::wasm(compiler.toolchain)?;

    wasm.cargo.args(["build", "--profile", "module"]).args(&wasm.flags);
    wasm.cargo.arg("--target-dir").arg(&wasm.target);
    for name in names {
        wasm.cargo.args(["--package", name]);
    }
    command::must(&mut wasm.cargo)?;

    let built = wasm.target.join("wasm32-unknown-unknown/module");
    fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))?;
    for name in names {
        let from = built.join(format!("{}.wasm", name.replace('-', "_")));
        let to = place.join(format!("{name}.wasm"));
        let (size, state) = bring(&from, &to)?;
        say(format!("{} {:>9} bytes, {state}", shown(&to), size));
    }
    Ok(())
}

/// A folder with a manifest is a module; nobody keeps a list.
fn names(folder: &Path, all: bool) -> Result<Vec<String>> {
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
        let all = names(&folder, true).unwrap();
        assert!(all.contains(&"hostile".to_owned()));
        let shipped = names(&folder, false).unwrap();
        assert!(!shipped.contains(&"hostile".to_owned()));
        assert_eq!(shipped.len() + 1, all.len());
    }
}
