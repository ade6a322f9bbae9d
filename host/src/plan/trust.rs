//! What is demanded of the modules' components: keys become keys, names of keys and of interfaces refer to something.

use std::collections::BTreeMap;
use std::sync::Arc;

use sluicebox_wasm::Grants;

use super::{Check, Component, list};
use crate::config::Module;
use crate::config::trust::{Names, Trust};
use crate::config::yaml::step;
use crate::trust::Demands;
use crate::trust::keys::PublicKey;

/// What holds for all modules.
#[derive(Clone, Debug, Default)]
pub(super) struct Trusted {
    keys: Arc<BTreeMap<String, PublicKey>>,
    signed_by: Vec<String>,
    /// The keys that are there by name, whether they could be read or not.
    names: Vec<String>,
}

impl Check<'_> {
    pub(super) fn trust(&mut self, trust: &Trust) -> Trusted {
        let mut keys = BTreeMap::new();
        for (name, text) in &trust.keys {
            let path = step("/trust/keys", name);
            self.name(&path, name);
            match PublicKey::from_pem(text) {
                Ok(key) => drop(keys.insert(name.clone(), key)),
                Err(error) => self.problem(&path, error.to_string(), error.hint()),
            }
        }
        let mut trusted = Trusted { keys: Arc::new(keys), signed_by: Vec::new(), names: self.names("/trust/keys") };
        trusted.signed_by = self.signed_by("/trust/signed-by", &trust.signed_by, &trusted);
        trusted
    }

    /// What is demanded of a module's component.
    pub(super) fn demands(&mut self, path: &str, module: &Module, component: Option<&Component>, trusted: &Trusted) -> Demands {
        let pins = step(path, "sha256");
        if self.is_empty(&pins) || module.sha256.as_ref().is_some_and(|Names(pins)| pins.is_empty()) {
            self.problem(&pins, "nothing is pinned: any component would do", "give a digest, or leave it out");
        }
        for (name, instead) in [("signed-by", "`[]` for nobody"), ("imports", "`[]` for nothing")] {
            let path = step(path, name);
            if self.is_empty(&path) {
                self.problem(&path, "nothing stands there", format!("give {instead}, or leave it out"));
            }
        }
        let digests = self.digests(&pins, module.sha256.as_ref());
        let own = module.signed_by.as_ref().map(|names| self.signed_by(&step(path, "signed-by"), names, trusted));
        let is_preset = matches!(component, Some(Component::Preset(_)));
        if is_preset && own.as_ref().is_some_and(|names| !names.is_empty()) {
            let text = "a preset is a part of the program: there is no signature beside it";
            self.problem(&step(path, "signed-by"), text, "leave it out");
        }
        let signed_by = if is_preset { Vec::new() } else { own.unwrap_or_else(|| trusted.signed_by.clone()) };
        let grants = self.grants(&step(path, "imports"), module.imports.as_deref());
        Demands { digests, signed_by, keys: Arc::clone(&trusted.keys), grants }
    }

    fn digests(&mut self, path: &str, digests: Option<&Names>) -> Vec<String> {
        let mut good = Vec::new();
        for (index, text) in digests.iter().flat_map(|Names(digests)| digests).enumerate() {
            let digest = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
            if digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                good.push(digest);
                continue;
            }
            let path = self.item(path, index);
            let hint = "give the 64 hexadecimal digits that `sha256sum FILE` and `sluicebox module inspect FILE` print";
            self.problem(&path, format!("no sha256: it has {} characters", digest.chars().count()), hint);
        }
        good
    }

    fn signed_by(&mut self, path: &str, Names(names): &Names, trusted: &Trusted) -> Vec<String> {
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !trusted.names.contains(name)) {
            let path = self.item(path, index);
            let hint = format!("add it under `trust.keys`, or name one of those there: {}", list(&trusted.names));
            self.problem(&path, format!("there is no key `{name}`"), hint);
        }
        names.clone()
    }

    fn grants(&mut self, path: &str, imports: Option<&[String]>) -> Grants {
        let Some(imports) = imports else { return Grants::default() };
        let mut grants = Grants::NOTHING;
        for (index, name) in imports.iter().enumerate() {
            if grants.add(name) {
                continue;
            }
            let text = if name.starts_with("wasi:") {
                format!("`{name}` cannot be granted: no module is given WASI")
            } else {
                format!("there is no interface `{name}` to grant")
            };
            let hint = format!("give some of these, or `[]` for nothing: {}", list(&Grants::ALL.map(str::to_owned)));
            self.problem(&format!("{path}/{index}"), text, hint);
        }
        grants
    }

    /// Whether there is a name with nothing behind it: what a template has made of nothing must not mean that nothing is demanded.
    fn is_empty(&self, path: &str) -> bool {
        self.document.value.pointer(path).is_some_and(serde_json::Value::is_null)
    }

    /// Where an item stands, if there is a list.
    fn item(&self, path: &str, index: usize) -> String {
        let is_list = self.document.value.pointer(path).is_some_and(serde_json::Value::is_array);
        if is_list { format!("{path}/{index}") } else { path.to_owned() }
    }
}
