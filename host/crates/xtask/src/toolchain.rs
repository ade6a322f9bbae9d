//! Finds a way to compile for WebAssembly, and says which one is taken.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command::{self, say};
use crate::lab::{Cache, debian};
use crate::workspace;

const TARGET: &str = "wasm32-unknown-unknown";

/// Which compiler makes the modules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Toolchain {
    /// rustup's if its target can be had, else Debian's
    #[default]
    Auto,
    /// the toolchain in use, with the target that rustup adds
    Rustup,
    /// Debian's packages rustc-web, cargo-web and rust-web-src, unpacked into the cache
    Debian,
}

/// A cargo that is ready to compile for WebAssembly: flags for the target are set, a sub command is not.
pub(crate) struct Wasm {
    /// The program, its environment and its folder.
    pub(crate) cargo: Command,
    /// What follows the sub command.
    pub(crate) flags: Vec<String>,
    /// What the compiler is told besides, by way of cargo.
    pub(crate) compiler: Vec<String>,
    /// Where it builds. Two compilers share no file: a folder for each keeps both warm.
    pub(crate) target: PathBuf,
}

/// Makes sure that the target can be compiled for.
pub(crate) fn wasm(toolchain: Toolchain) -> Result<Wasm> {
    match toolchain {
        Toolchain::Rustup => rustup(),
        Toolchain::Debian => debian_way(),
        Toolchain::Auto => rustup().or_else(|error| {
            say(format!("rustup cannot provide {TARGET}: {error:#}"));
            debian_way()
        }),
    }
}

fn rustup() -> Result<Wasm> {
    provide(TARGET)?;
    let flags = vec!["--target".into(), TARGET.into()];
    Ok(Wasm { cargo: workspace::cargo(), flags, compiler: Vec::new(), target: workspace::target() })
}

/// Makes sure that the toolchain in use has a platform's standard library.
pub(crate) fn provide(target: &str) -> Result<()> {
    if has(target)? {
        say(format!("the toolchain in use has {target}"));
        return Ok(());
    }
    say(format!("adding {target} by `rustup target add` (some seconds, once)"));
    let added = command::capture(Command::new("rustup").args(["target", "add", target]));
    if !has(target)? {
        added?;
        bail!("rustup added {target} to another toolchain than the one in use");
    }
    Ok(())
}

fn has(target: &str) -> Result<bool> {
    let libraries = rustc(&["--print", "target-libdir", "--target", target])?;
    Ok(Path::new(&libraries).is_dir())
}

/// The platform that the toolchain in use runs on.
pub(crate) fn host() -> Result<String> {
    let version = rustc(&["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` does not name its host")
}

/// What the toolchain in use says, such as its version.
pub(crate) fn rustc(arguments: &[&str]) -> Result<String> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let text = command::capture(rustc.current_dir(workspace::root()).args(arguments))?;
    Ok(text.trim().to_owned())
}

/// Debian's compiler is older and has no linker for components: the linker is the one of the toolchain in use, and the standard
/// library is compiled along with the modules.
fn debian_way() -> Result<Wasm> {
    let linkers = toolchain_in_use()?;
    say("modules: taking Debian's compiler (rustc-web, cargo-web, rust-web-src; about a minute and 1 GB, once)");
    let cache = Cache::open()?;
    let root = debian::unpacked(&cache, "rust-web", &["rustc-web", "cargo-web", "rust-web-src"])
        .context("cannot get Debian's compiler; cure: make `rustup target add wasm32-unknown-unknown` work")?;
    let programs = root.join("usr/bin");

    let mut cargo = Command::new(programs.join("cargo"));
    cargo
        .current_dir(workspace::root())
        .env("RUSTC", older_compiler(&cache, &programs.join("rustc"))?)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("LD_LIBRARY_PATH", debian::libraries(&root)?)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &linkers.component);
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER"] {
        cargo.env_remove(name);
    }
    Ok(Wasm {
        cargo,
        flags: ["-Zbuild-std=std,panic_abort", "--ignore-rust-version", "--target", TARGET].map(str::to_owned).to_vec(),
        compiler: vec![format!("-Clink-arg=--wasm-ld-path={}", linkers.module.display())],
        target: workspace::target().join("debian"),
    })
}

/// What today's compiler calls stable and Debian's has, but calls unstable still. A name is added when a module needs it.
const STABLE_TODAY: &str = "let_chains,duration_constructors";

/// Debian's compiler, for crates of today.
fn older_compiler(cache: &Cache, rustc: &Path) -> Result<PathBuf> {
    let rustc = rustc.display();
    cache.script(
        "rustc-for-modules",
        &format!(
            "for word in \"$@\"; do\n\
             if [ \"$word\" = --edition=2024 ]; then exec '{rustc}' '-Zcrate-attr=feature({STABLE_TODAY})' \"$@\"; fi\n\
             done\n\
             exec '{rustc}' \"$@\"\n"
        ),
    )
}

/// The folders with the toolchain's own `wasm-component-ld` and the `wasm-ld` that it calls.
pub(crate) fn linkers() -> Result<Vec<PathBuf>> {
    let linkers = toolchain_in_use()?;
    Ok([linkers.component, linkers.module].iter().filter_map(|linker| Some(linker.parent()?.to_owned())).collect())
}

struct Linkers {
    component: PathBuf,
    module: PathBuf,
}

fn toolchain_in_use() -> Result<Linkers> {
    let programs = PathBuf::from(rustc(&["--print", "sysroot"])?).join("lib/rustlib").join(host()?).join("bin");
    let linkers = Linkers { component: programs.join("wasm-component-ld"), module: programs.join("gcc-ld/wasm-ld") };
    for linker in [&linkers.component, &linkers.module] {
        if !linker.is_file() {
            bail!("there is no {}; cure: use a toolchain of rustup's, which brings it", linker.display());
        }
    }
    Ok(linkers)
}
