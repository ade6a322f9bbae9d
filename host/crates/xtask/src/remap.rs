//! Keeps the paths of this machine out of modules: the compiler writes others in their place, the same on every machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::workspace::{self, list, text};

/// What stands in the place of the folder with the workspace's manifest.
const SOURCES: &str = "/sluicebox";
/// What stands in the place of each folder that holds the crates of a registry.
const CRATES: &str = "/crates";

/// The compiler's flags for sources in this folder. `cargo` is the one that compiles them, without a sub command: it knows where it keeps
/// the crates of others. What the standard library has of paths is the same everywhere already.
pub(crate) fn flags(root: &Path, cargo: &mut Command) -> Result<Vec<String>> {
    let metadata = workspace::metadata_by(cargo)?;
    // Of several that fit the compiler takes the last one: crates may lie inside of the workspace.
    let crates = registries(&metadata).into_iter().map(|folder| flag(&folder, CRATES));
    Ok(std::iter::once(flag(root, SOURCES)).chain(crates).collect())
}

fn flag(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

/// The folders in which crates lie side by side that are not ours.
fn registries(metadata: &Value) -> BTreeSet<PathBuf> {
    let others = list(metadata, "packages").filter(|package| !text(package, "source").is_empty());
    others.filter_map(|package| Some(Path::new(text(package, "manifest_path")).ancestors().nth(2)?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_folder_of_a_registry_is_told_once() {
        let of = |path: &str, source: &str| json!({ "manifest_path": path, "source": source });
        let packages = [
            of("/home/a/.cargo/registry/src/index-1/serde-1.0.0/Cargo.toml", "registry+x"),
            of("/home/a/.cargo/registry/src/index-1/bytes-1.0.0/Cargo.toml", "registry+x"),
            of("/src/sluicebox/guest-sdk/Cargo.toml", ""),
        ];
        let found = registries(&json!({ "packages": packages }));
        assert_eq!(found, BTreeSet::from(["/home/a/.cargo/registry/src/index-1".into()]));
    }
}
