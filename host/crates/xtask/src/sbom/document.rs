//! One document in the words of `CycloneDX` 1.5.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::tree::{Package, Tree};
use super::{Known, carried, hexadecimal};
use crate::workspace::text;

const SPECIFICATION: &str = "1.5";

/// A document that grows.
pub(super) struct Document<'k> {
    known: &'k Known,
    about: Value,
    /// Name and version of what it is about.
    subject: Package,
    /// By their reference, which is the package URL.
    components: BTreeMap<String, Value>,
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl<'k> Document<'k> {
    /// A document about one of our packages; `digest` is the SHA-256 of the file that it is compiled to.
    pub(super) fn about(name: &str, digest: Option<String>, known: &'k Known) -> Result<Self> {
        let subject = known.packages.keys().find(|(package, _)| package == name).with_context(|| format!("no package {name}"))?;
        let subject = Package { name: subject.0.clone(), version: subject.1.clone() };
        let mut about = component(&subject, known)?;
        about.insert("type".into(), "application".into());
        if let Some(digest) = digest {
            about.insert("hashes".into(), hashes(&digest));
        }
        Ok(Self { known, about: about.into(), subject, components: BTreeMap::new(), needs: BTreeMap::new() })
    }

    /// Adds everything of a tree.
    pub(super) fn add(&mut self, tree: &Tree) -> Result<()> {
        let linked = tree.linked();
        for (package, needs) in &tree.needs {
            let reference = purl(package);
            let needs = needs.iter().map(purl);
            self.needs.entry(reference.clone()).or_default().extend(needs);
            let is_linked = linked.contains(package);
            if *package != self.subject {
                let mut new = component(package, self.known)?;
                new.insert("scope".into(), if is_linked { "required" } else { "excluded" }.into());
                // What helps to compile one thing may be part of another one.
                let is_better = self.components.get(&reference).is_none_or(|old| text(old, "scope") == "excluded");
                if is_better {
                    self.components.insert(reference.clone(), new.into());
                }
            }
            if is_linked {
                self.bring(package, reference)?;
            }
        }
        self.link_standard_library(&tree.root);
        Ok(())
    }

    /// Adds a module that the program carries, with everything of its tree.
    pub(super) fn carry(&mut self, tree: &Tree, digest: Option<String>) -> Result<()> {
        self.add(tree)?;
        self.needs.entry(purl(&self.subject)).or_default().insert(purl(&tree.root));
        if let (Some(digest), Some(Value::Object(module))) = (digest, self.components.get_mut(&purl(&tree.root))) {
            module.insert("hashes".into(), hashes(&digest));
        }
        Ok(())
    }

    /// Adds the library of somebody else that a crate brings.
    fn bring(&mut self, package: &Package, reference: String) -> Result<()> {
        let versions = |name: &str| {
            let mut found = self.known.packages.keys().filter(|(package, _)| package == name);
            found.next().map(|(_, version)| version.clone())
        };
        let Some(carried) = carried::by(metadata(package, self.known)?, versions)? else {
            return Ok(());
        };
        let library = json!({
            "type": "library",
            "bom-ref": carried.purl,
            "name": carried.name,
            "version": carried.version,
            "scope": "required",
            "licenses": [{ "expression": carried.licence }],
            "purl": carried.purl,
        });
        self.components.insert(carried.purl.clone(), library);
        self.needs.entry(carried.purl.clone()).or_default();
        self.needs.entry(reference).or_default().insert(carried.purl);
        Ok(())
    }

    fn link_standard_library(&mut self, package: &Package) {
        let purl = format!("pkg:github/rust-lang/rust@{}", self.known.rust);
        let library = json!({
            "type": "library",
            "bom-ref": purl,
            "name": "rust standard library",
            "version": self.known.rust,
            "scope": "required",
            "licenses": [{ "expression": "Apache-2.0 OR MIT" }],
            "purl": purl,
        });
        self.components.insert(purl.clone(), library);
        self.needs.entry(purl.clone()).or_default();
        self.needs.entry(super::document::purl(package)).or_default().insert(purl);
    }

    /// The whole document. Its serial number follows from what it says.
    pub(super) fn finish(self) -> Value {
        let needs = self.needs.into_iter().map(|(reference, on)| json!({ "ref": reference, "dependsOn": on }));
        let needs: Vec<Value> = needs.collect();
        let components: Vec<Value> = self.components.into_values().collect();
        let version = env!("CARGO_PKG_VERSION");
        let tools = json!({ "components": [{ "type": "application", "name": "cargo xtask sbom", "version": version }] });
        let mut metadata = json!({ "tools": tools, "component": self.about });
        if let (Some(time), Some(metadata)) = (&self.known.time, metadata.as_object_mut()) {
            metadata.insert("timestamp".into(), time.as_str().into());
        }
        let said = hexadecimal(json!([metadata, components, needs]).to_string().as_bytes());
        json!({
            "bomFormat": "CycloneDX",
            "specVersion": SPECIFICATION,
            "serialNumber": serial_number(&said),
            "version": 1,
            "metadata": metadata,
            "components": components,
            "dependencies": needs,
        })
    }
}

fn metadata<'k>(package: &Package, known: &'k Known) -> Result<&'k Value> {
    let key = (package.name.clone(), package.version.clone());
    known.packages.get(&key).with_context(|| format!("`cargo metadata` does not know {} {}", package.name, package.version))
}

/// What is said of a package wherever it stands.
fn component(package: &Package, known: &Known) -> Result<Map<String, Value>> {
    let metadata = metadata(package, known)?;
    let reference = purl(package);
    let mut component = Map::new();
    let mut say = |name: &str, value: Value| component.insert(name.to_owned(), value);
    say("type", "library".into());
    say("bom-ref", reference.as_str().into());
    say("name", package.name.as_str().into());
    say("version", package.version.as_str().into());
    let described = text(metadata, "description").split_whitespace().collect::<Vec<_>>().join(" ");
    if !described.is_empty() {
        say("description", described.into());
    }
    if let Some(checksum) = known.checksums.get(&(package.name.clone(), package.version.clone())) {
        say("hashes", hashes(checksum));
    }
    say("licenses", licences(text(metadata, "license")));
    say("purl", reference.into());
    let repository = text(metadata, "repository");
    if !repository.is_empty() {
        say("externalReferences", json!([{ "type": "vcs", "url": repository }]));
    }
    Ok(component)
}

/// Old manifests separate choices by a stroke.
fn licences(expression: &str) -> Value {
    if expression.is_empty() {
        return json!([{ "license": { "name": "see the file that the crate brings" } }]);
    }
    let choices: Vec<&str> = expression.split('/').map(str::trim).collect();
    json!([{ "expression": choices.join(" OR ") }])
}

fn hashes(digest: &str) -> Value {
    json!([{ "alg": "SHA-256", "content": digest }])
}

fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

/// A UUID of version 8, made of the first digits of a digest.
fn serial_number(digest: &str) -> String {
    let digit = |at: usize| digest.as_bytes().get(at).map_or('0', |byte| char::from(*byte));
    let mut number = String::from("urn:uuid:");
    for at in 0..32 {
        if [8, 12, 16, 20].contains(&at) {
            number.push('-');
        }
        number.push(match at {
            12 => '8',
            16 => 'a',
            at => digit(at),
        });
    }
    number
}
