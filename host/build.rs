//! Embeds the preset modules: every component of `modules/` but the hostile ones, as `cargo xtask modules` has built them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-env-changed=SLUICEBOX_MODULES");
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest.parent().ok_or("the host has no parent folder")?;
    let built = env::var_os("SLUICEBOX_MODULES").map_or_else(|| root.join("target/modules"), PathBuf::from);
    let sources = root.join("modules");
    println!("cargo:rerun-if-changed={}", sources.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&sources)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| format!("a folder with an odd name: {}", name.display()))?;
        if entry.path().join("Cargo.toml").is_file() && name != "hostile" {
            names.push(name);
        }
    }
    names.sort();
    let mut code = String::from("/// Every module that the program carries, by name.\npub static PRESETS: &[Preset] = &[\n");
    for name in names {
        let component = built.join(format!("{name}.wasm"));
        println!("cargo:rerun-if-changed={}", component.display());
        if !component.is_file() {
            return Err(format!(
                "the preset `{name}` is not built: {} is missing; run `cargo xtask modules` first",
                component.display()
            )
            .into());
        }
        let path = component.canonicalize()?.into_os_string().into_string().map_err(|_| "a path that is not UTF-8")?;
        let summary = summary(&sources.join(&name).join("Cargo.toml"))?;
        writeln!(code, "    Preset {{ name: {name:?}, summary: {summary:?}, component: include_bytes!({path:?}) }},")?;
    }
    code.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("presets.rs"), code)?;
    Ok(())
}

/// The line `description = "…"` of a manifest.
fn summary(manifest: &Path) -> Result<String, Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed={}", manifest.display());
    let text = fs::read_to_string(manifest)?;
    let description = text.lines().find_map(|line| line.strip_prefix("description = \"")?.strip_suffix('"'));
    Ok(description.ok_or_else(|| format!("{}: no description", manifest.display()))?.to_owned())
}
