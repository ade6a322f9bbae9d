//! Writes what the program and its modules are made of, as `CycloneDX`: one document for the program with all that it carries, one for each
//! module. The list of licences is made of the same.

mod carried;
mod document;
mod licences;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::command::{self, say};
use crate::modules::{self, Compiler};
use crate::toolchain;
use crate::workspace::{self, list, text};
use document::Document;
use tree::Tree;

const PROGRAM: &str = "sluicebox";
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
const WASM: &str = "wasm32-unknown-unknown";
const LICENCES: &str = "deploy/LICENCES.md";

/// Write what the program and its modules are made of: target/sbom/<name>.cdx.json; and deploy/LICENCES.md
///
/// Crates, as they are linked on one platform, with their licences and the checksums of Cargo.lock; the C libraries that some of them
/// bring; for the program also the modules that it carries. The same sources make the same documents: their time is that of the commit.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// The platform of the program
    #[arg(long, default_value = PLATFORM)]
    target: String,
    /// The program's file, whose digest is to stand in its document
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    #[command(flatten)]
    compiler: Compiler,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    modules::compile(false, arguments.compiler)?;
    let place = workspace::target().join("sbom");
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let program = arguments.program.as_deref().map(digest).transpose()?;
    let known = Known::read()?;
    let documents = documents(&arguments.target, program, &known)?;
    if arguments.target == PLATFORM {
        let page = documents.get(PROGRAM).map(|program| licences::page(program, &known)).unwrap_or_default();
        fs::write(workspace::root().join(LICENCES), page).with_context(|| format!("cannot write {LICENCES}"))?;
    }
    for (name, document) in documents {
        let path = place.join(format!("{name}.cdx.json"));
        fs::write(&path, serde_json::to_string_pretty(&document)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        let count = list(&document, "components").count();
        say(format!("sbom: {} of {count} components", path.display()));
    }
    Ok(())
}

/// Whether the list of licences is that of what is linked.
pub(crate) fn check_licences() -> Result<()> {
    let known = Known::read()?;
    let documents = documents(PLATFORM, None, &known)?;
    let page = documents.get(PROGRAM).map(|program| licences::page(program, &known)).unwrap_or_default();
    let written = fs::read_to_string(workspace::root().join(LICENCES)).with_context(|| format!("cannot read {LICENCES}"))?;
    if page != written {
        bail!("{LICENCES} is old; cure: cargo xtask sbom");
    }
    Ok(())
}

/// Every document under the name of what it is about.
fn documents(target: &str, program: Option<String>, known: &Known) -> Result<BTreeMap<String, Value>> {
    let names = modules::names(false)?;
    let mut documents = BTreeMap::new();
    let mut whole = Document::about(PROGRAM, program, known)?;
    whole.add(&Tree::of(PROGRAM, target)?)?;
    for name in names {
        let tree = Tree::of(&name, WASM)?;
        let digest = digest(&workspace::target().join("modules").join(format!("{name}.wasm"))).ok();
        whole.carry(&tree, digest.clone())?;
        let mut module = Document::about(&name, digest, known)?;
        module.add(&tree)?;
        documents.insert(name, module.finish());
    }
    documents.insert(PROGRAM.to_owned(), whole.finish());
    Ok(documents)
}

/// The SHA-256 of a file, in hexadecimal digits.
fn digest(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hexadecimal(&bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// What is known of packages, whoever is made of them.
struct Known {
    /// As `cargo metadata` tells them, by name and version.
    packages: BTreeMap<(String, String), Value>,
    /// The checksums of `Cargo.lock`, by name and version.
    checksums: BTreeMap<(String, String), String>,
    /// The version of the compiler, whose standard library is linked.
    rust: String,
    /// The time that the documents bear.
    time: Option<String>,
}

impl Known {
    /// What has a source comes from elsewhere, and so does what cargo does not know.
    fn is_ours(&self, name: &str, version: &str) -> bool {
        let package = self.packages.get(&(name.to_owned(), version.to_owned()));
        package.is_some_and(|package| text(package, "source").is_empty())
    }

    fn read() -> Result<Self> {
        let metadata = workspace::metadata()?;
        let key = |package: &Value| (text(package, "name").to_owned(), text(package, "version").to_owned());
        let packages = list(&metadata, "packages").map(|package| (key(package), package.clone())).collect();
        let path = workspace::root().join("Cargo.lock");
        let lock = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lock: Value = toml::from_str(&lock).with_context(|| format!("cannot read {}", path.display()))?;
        let checksums = list(&lock, "package").filter(|package| !text(package, "checksum").is_empty());
        let checksums = checksums.map(|package| (key(package), text(package, "checksum").to_owned())).collect();
        let version = toolchain::rustc(&["--version"])?;
        let rust = version.split(' ').nth(1).context("`rustc --version` names no version")?.to_owned();
        Ok(Self { packages, checksums, rust, time: time()? })
    }
}

/// That of the last commit, where nobody asks for another one; none where neither is known.
fn time() -> Result<Option<String>> {
    let mut git = std::process::Command::new("git");
    git.current_dir(workspace::root()).args(["log", "-1", "--format=%ct"]);
    let Some(seconds) = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(|| command::capture(&mut git).ok()) else {
        return Ok(None);
    };
    let mut date = std::process::Command::new("date");
    let shown = command::capture(date.args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{}", seconds.trim())]))?;
    Ok(Some(shown.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cyclonedx_bom::models::bom::Bom;
    use cyclonedx_bom::validation::Validate as _;

    use super::*;

    fn made() -> BTreeMap<String, Value> {
        documents(PLATFORM, Some("0".repeat(64)), &Known::read().unwrap()).unwrap()
    }

    /// Every package that `cargo tree` names, written out again and again as often as it is needed, as a package URL.
    fn named(package: &str, target: &str) -> BTreeSet<String> {
        let mut cargo = workspace::cargo();
        cargo.args(["tree", "-e", "normal", "--no-dedupe", "--prefix", "none", "--package", package, "--target", target]);
        let tree = command::capture(&mut cargo).unwrap();
        let purl = |line: &str| {
            let mut words = line.split(' ');
            let (name, version) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('v'));
            format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))
        };
        tree.lines().map(purl).collect()
    }

    fn references(document: &Value) -> BTreeSet<String> {
        let components = list(document, "components").chain(document.pointer("/metadata/component"));
        components.map(|component| text(component, "bom-ref").to_owned()).collect()
    }

    #[test]
    fn the_documents_are_what_the_specification_demands() {
        let documents = made();
        assert_eq!(documents.len(), modules::names(false).unwrap().len() + 1);
        for (name, document) in &documents {
            let bom =
                Bom::parse_from_json_v1_5(document.to_string().as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            let checked = bom.validate();
            assert!(checked.passed(), "{name}: {checked:?}");
            assert_eq!((text(document, "bomFormat"), text(document, "specVersion")), ("CycloneDX", "1.5"));
            let references = references(document);
            assert_eq!(references.len(), list(document, "components").count() + 1, "{name}: a component is there twice");
            let mut told = BTreeSet::new();
            for dependency in list(document, "dependencies") {
                told.insert(text(dependency, "ref").to_owned());
                told.extend(list(dependency, "dependsOn").filter_map(Value::as_str).map(str::to_owned));
            }
            assert_eq!(told, references, "{name}: who needs whom is told of all that is there, and of nothing else");
            for component in list(document, "components").filter(|component| text(component, "purl").starts_with("pkg:cargo/")) {
                assert_eq!(text(component, "bom-ref"), text(component, "purl"));
                assert!(component.pointer("/licenses/0/expression").is_some(), "{name}: no licence of {component}");
            }
        }
    }

    #[test]
    fn every_package_that_cargo_tree_names_is_in_them() {
        let documents = made();
        let names = modules::names(false).unwrap();
        for module in &names {
            let missing: Vec<_> = named(module, WASM).difference(&references(&documents[module])).cloned().collect();
            assert!(missing.is_empty(), "{module}: {missing:?}");
        }
        let mut wanted = named(PROGRAM, PLATFORM);
        wanted.extend(names.iter().flat_map(|module| named(module, WASM)));
        let missing: Vec<_> = wanted.difference(&references(&documents[PROGRAM])).cloned().collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_program_is_said_to_carry_its_modules_and_the_libraries_of_others() {
        let documents = made();
        let program = &documents[PROGRAM];
        let needs = list(program, "dependencies").find(|dependency| text(dependency, "ref").contains("/sluicebox@")).unwrap();
        let needs: Vec<_> = list(needs, "dependsOn").filter_map(Value::as_str).collect();
        for module in modules::names(false).unwrap() {
            assert!(needs.iter().any(|purl| purl.contains(&format!("/{module}@"))), "{module}");
        }
        for library in ["librdkafka", "openssl", "zlib", "zstd", "rust standard library"] {
            let found = list(program, "components").find(|component| text(component, "name") == library);
            assert!(text(found.unwrap(), "version").starts_with(|digit: char| digit.is_ascii_digit()), "{library}");
        }
        let scope = |name: &str| list(program, "components").find(|component| text(component, "name") == name).unwrap();
        assert_eq!((text(scope("tokio"), "scope"), text(scope("syn"), "scope")), ("required", "excluded"));
        let hashed = list(program, "components").filter(|component| component.get("hashes").is_some()).count();
        assert!(hashed > 200, "{hashed} components with a checksum");
    }

    #[test]
    fn the_list_of_licences_is_that_of_what_is_linked() {
        check_licences().unwrap();
    }

    #[test]
    fn the_same_sources_make_the_same_documents() {
        let (one, other) = (made(), made());
        assert_eq!(one, other);
        let numbers: BTreeSet<&str> = one.values().map(|document| text(document, "serialNumber")).collect();
        assert_eq!(numbers.len(), one.len(), "each has a serial number of its own");
    }
}
