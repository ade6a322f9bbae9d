//! Who may depend on whom: the walls of the architecture, read off `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace::{self, list, text};

/// Packages that only some of ours may name, in whatever kind of dependency.
const NAMED_ONLY_BY: [(&[&str], &[&str]); 7] = [
    (&["wasmtime", "wasmtime-environ", "cranelift-codegen"], &["sluicebox-wasm", "sluicebox-wasm-cache"]),
    (&["kube", "kube-client", "kube-runtime", "k8s-openapi"], &["sluicebox-kubernetes", "sluicebox-sources"]),
    (&["redis", "rdkafka"], &["sluicebox-sinks"]),
    (&["reqwest"], &["sluicebox-sources"]),
    (&["oci-client", "oci-spec"], &["sluicebox-registry"]),
    (&["wit-bindgen"], &["sluicebox-sdk", "hostile"]),
    (&["clap"], &["sluicebox", "xtask"]),
];

/// Packages of others that only some of theirs may depend on: TLS is rustls everywhere but in librdkafka, which brings its own.
const BELOW_ONLY: [(&str, &[&str]); 2] = [("openssl-sys", &["rdkafka-sys"]), ("native-tls", &[])];

/// What must be out of reach for `contract`, through however many others.
const NOT_FOR_CONTRACT: [&str; 9] = ["tokio", "async-std", "smol", "hyper", "kube", "redis", "rdkafka", "reqwest", "wasmtime"];

/// Which of our packages each of ours may use in the product; tests may use the test kit besides.
const NEIGHBOURS: [(&str, &[&str]); 17] = [
    ("sluicebox-contract", &[]),
    // The way to the API server, which both sources and sinks need: neither may name the other.
    ("sluicebox-kubernetes", &["sluicebox-contract"]),
    // How servers are verified and what they are shown, which both need as well.
    ("sluicebox-credentials", &["sluicebox-contract"]),
    // What modules are pulled with.
    ("sluicebox-registry", &["sluicebox-contract", "sluicebox-credentials"]),
    ("sluicebox-sources", &["sluicebox-contract", "sluicebox-credentials", "sluicebox-kubernetes"]),
    ("sluicebox-wasm", &["sluicebox-contract", "sluicebox-wasm-cache"]),
    ("sluicebox-wasm-cache", &["sluicebox-private-directory"]),
    ("sluicebox-pipeline", &["sluicebox-contract"]),
    ("sluicebox-sinks", &["sluicebox-contract", "sluicebox-credentials", "sluicebox-kubernetes"]),
    ("sluicebox-store", &["sluicebox-contract", "sluicebox-private-directory"]),
    // What the store and the cache share: neither may know the other.
    ("sluicebox-private-directory", &[]),
    ("sluicebox-trim", &[]),
    ("sluicebox-testkit", &[]),
    ("sluicebox-sdk", &[]),
    // The example of the SDK: as modules are.
    ("namespace-lines", &["sluicebox-sdk"]),
    (
        "sluicebox",
        &[
            "sluicebox-contract",
            "sluicebox-kubernetes",
            "sluicebox-sources",
            "sluicebox-wasm",
            "sluicebox-pipeline",
            "sluicebox-registry",
            // The SDK reads the modules' case files: one reader for the native and the compiled way.
            "sluicebox-sdk",
            "sluicebox-sinks",
            "sluicebox-store",
            "sluicebox-trim",
        ],
    ),
    ("xtask", &["sluicebox-testkit"]),
];

const LICENSES: [&str; 13] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    // MIT that asks for no attribution.
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    // A dedication to the public domain.
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What `cargo metadata` says, and which of the packages are ours.
pub(crate) struct Workspace {
    metadata: Value,
}

impl Workspace {
    pub(crate) fn read() -> Result<Self> {
        let metadata = workspace::metadata()?;
        Ok(Self { metadata })
    }

    /// Every breach of a wall, as a sentence.
    pub(crate) fn breaches(&self) -> Vec<String> {
        let ours = self.ours();
        let mut breaches = reach(&self.metadata, "sluicebox-contract", &NOT_FOR_CONTRACT);
        breaches.extend(below(&self.metadata));
        for package in &ours {
            breaches.extend(names(package));
            breaches.extend(neighbours(package, &ours));
        }
        breaches
    }

    /// Every package whose licence or origin nobody has accepted.
    pub(crate) fn strangers(&self) -> Vec<String> {
        list(&self.metadata, "packages").flat_map(|package| license(package).into_iter().chain(origin(package))).collect()
    }

    /// Every dependency that stands in a manifest and in no source file.
    pub(crate) fn unused(&self) -> Result<Vec<String>> {
        let mut all = Vec::new();
        for package in self.ours() {
            all.extend(unused(package)?);
        }
        Ok(all)
    }

    fn ours(&self) -> Vec<&Value> {
        let members: BTreeSet<&str> = list(&self.metadata, "workspace_members").filter_map(Value::as_str).collect();
        let is_ours = |package: &&Value| members.contains(text(package, "id"));
        list(&self.metadata, "packages").filter(is_ours).collect()
    }
}

fn names(package: &Value) -> Vec<String> {
    let name = text(package, "name");
    let mut breaches = Vec::new();
    for dependency in list(package, "dependencies").map(|dependency| text(dependency, "name")) {
        for (walled, allowed) in NAMED_ONLY_BY {
            if walled.contains(&dependency) && !allowed.contains(&name) {
                breaches.push(format!("{name} names {dependency}, which is for {} only", allowed.join(" and ")));
            }
        }
    }
    breaches
}

fn below(metadata: &Value) -> Vec<String> {
    let names: BTreeMap<&str, &str> =
        list(metadata, "packages").map(|package| (text(package, "id"), text(package, "name"))).collect();
    let name = |id: &str| names.get(id).copied().unwrap_or_default();
    let mut breaches = Vec::new();
    for node in metadata.get("resolve").into_iter().flat_map(|resolve| list(resolve, "nodes")) {
        let parent = name(text(node, "id"));
        for dependency in list(node, "deps").map(|dependency| name(text(dependency, "pkg"))) {
            if BELOW_ONLY.iter().any(|(walled, allowed)| *walled == dependency && !allowed.contains(&parent)) {
                breaches.push(format!("{parent} depends on {dependency}: TLS is rustls"));
            }
        }
    }
    breaches
}

fn neighbours(package: &Value, ours: &[&Value]) -> Vec<String> {
    let name = text(package, "name");
    let is_module = text(package, "manifest_path").contains("/modules/");
    let known = NEIGHBOURS.iter().find(|(known, _)| *known == name).map(|(_, allowed)| *allowed);
    let allowed = match known {
        Some(allowed) => allowed,
        None if is_module => &["sluicebox-sdk"],
        None => {
            return vec![format!("{name} is a new crate: write down in xtask's walls.rs what it may depend on")];
        }
    };
    let mut breaches = Vec::new();
    for dependency in list(package, "dependencies") {
        let other = text(dependency, "name");
        let for_tests = text(dependency, "kind") == "dev";
        let is_ours = ours.iter().any(|package| text(package, "name") == other);
        if is_ours && !for_tests && !allowed.contains(&other) {
            breaches.push(format!("{name} depends on {other}: they must not know each other"));
        }
    }
    breaches
}

/// A dependency whose name stands in no source file of the package, unless the package says, as to cargo-machete, that this is right.
fn unused(package: &Value) -> Result<Vec<String>> {
    let name = text(package, "name");
    let manifest = Path::new(text(package, "manifest_path"));
    let folder = manifest.parent().context("a manifest has a folder")?;
    let mut source = String::new();
    read_sources(folder, &mut source)?;
    let ignored: Vec<&str> = package
        .pointer("/metadata/cargo-machete")
        .into_iter()
        .flat_map(|machete| list(machete, "ignored"))
        .filter_map(Value::as_str)
        .collect();
    Ok(list(package, "dependencies")
        .map(|dependency| match text(dependency, "rename") {
            "" => text(dependency, "name"),
            rename => rename,
        })
        .filter(|dependency| !ignored.contains(dependency) && !source.contains(&dependency.replace('-', "_")))
        .map(|dependency| format!("{name} does not use its dependency {dependency}"))
        .collect())
}

/// Nested packages answer for themselves.
fn read_sources(folder: &Path, source: &mut String) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            let nested = path.join("Cargo.toml").is_file() || path.ends_with("target") || path.ends_with("crates");
            if !nested {
                read_sources(&path, source)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            source.push_str(&fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(())
}

fn reach(metadata: &Value, from: &str, forbidden: &[&str]) -> Vec<String> {
    let nodes: BTreeMap<&str, &Value> = metadata
        .get("resolve")
        .into_iter()
        .flat_map(|resolve| list(resolve, "nodes"))
        .map(|node| (text(node, "id"), node))
        .collect();
    let names: BTreeMap<&str, &str> =
        list(metadata, "packages").map(|package| (text(package, "id"), text(package, "name"))).collect();
    let start = names.iter().find(|(_, name)| **name == from).map(|(id, _)| *id);

    let mut seen: BTreeSet<&str> = BTreeSet::new();
    let mut waiting: Vec<&str> = start.into_iter().collect();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id).into_iter().flat_map(|node| list(node, "deps")) {
            let in_product = list(dependency, "dep_kinds").any(|kind| text(kind, "kind") != "dev");
            if in_product {
                waiting.push(text(dependency, "pkg"));
            }
        }
    }
    seen.iter()
        .filter_map(|id| names.get(id))
        .filter(|name| forbidden.contains(name))
        .map(|name| format!("{from} reaches {name}: it must stay free of executors, clients and engines"))
        .collect()
}

/// At least one licence of each choice must be one that we accept.
fn license(package: &Value) -> Option<String> {
    let expression = text(package, "license").replace('/', " OR ").replace(['(', ')'], " ");
    let acceptable = |license: &str| LICENSES.contains(&license.trim());
    let choice = |choice: &str| choice.split(" OR ").any(acceptable);
    let fine = expression.split(" AND ").all(choice);
    (!fine).then(|| format!("{} has the licence `{expression}`, which nobody has accepted", text(package, "name")))
}

fn origin(package: &Value) -> Option<String> {
    let source = text(package, "source");
    let fine = source.is_empty() || source.starts_with("registry+") || source.starts_with("sparse+");
    (!fine).then(|| format!("{} comes from {source}: only registries are trusted", text(package, "name")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_walls_stand() {
        assert_eq!(Workspace::read().unwrap().breaches(), Vec::<String>::new());
    }

    #[test]
    fn every_licence_and_origin_is_accepted() {
        assert_eq!(Workspace::read().unwrap().strangers(), Vec::<String>::new());
    }

    #[test]
    fn every_dependency_is_used() {
        assert_eq!(Workspace::read().unwrap().unused().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_crate_that_names_a_walled_one_is_told() {
        let package = json!({ "name": "sluicebox-pipeline", "dependencies": [{ "name": "wasmtime", "kind": null }] });
        assert_eq!(
            names(&package),
            ["sluicebox-pipeline names wasmtime, which is for sluicebox-wasm and sluicebox-wasm-cache only"]
        );
    }

    #[test]
    fn a_second_tls_library_is_told() {
        let metadata = |parent: &str| {
            json!({
                "packages": [{ "id": "1", "name": parent }, { "id": "2", "name": "openssl-sys" }],
                "resolve": { "nodes": [{ "id": "1", "deps": [{ "pkg": "2" }] }, { "id": "2", "deps": [] }] },
            })
        };
        assert_eq!(below(&metadata("reqwest")), ["reqwest depends on openssl-sys: TLS is rustls"]);
        assert_eq!(below(&metadata("rdkafka-sys")), Vec::<String>::new());
    }

    #[test]
    fn one_good_licence_of_each_choice_is_enough() {
        let of = |expression: &str| license(&json!({ "name": "x", "license": expression }));
        assert_eq!(of("MIT OR GPL-3.0"), None);
        assert_eq!(of("MIT/Apache-2.0"), None);
        assert_eq!(of("(MIT OR Apache-2.0) AND Unicode-3.0"), None);
        assert!(of("GPL-3.0").is_some());
        assert!(of("").is_some());
    }

    #[test]
    fn modules_know_nothing_but_the_sdk() {
        let contract = json!({ "name": "sluicebox-contract" });
        let module = json!({
            "name": "json-lines",
            "manifest_path": "/somewhere/modules/json-lines/Cargo.toml",
            "dependencies": [{ "name": "sluicebox-contract", "kind": null }],
        });
        assert_eq!(neighbours(&module, &[&contract]).len(), 1);
    }
}
