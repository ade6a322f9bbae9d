//! Which module a lane runs, as the configuration names it.

use std::fmt;
use std::path::PathBuf;

use sluicebox_registry::Reference;

use super::Check;
use crate::presets::{self, Preset};

/// Where a module comes from.
#[derive(Clone, Debug)]
pub enum Component {
    /// The program carries it.
    Preset(&'static Preset),
    /// A file, or a directory in which it lies.
    File(PathBuf),
    /// In a registry.
    Registry(Reference),
}

/// Presets are the same when their names are.
impl PartialEq for Component {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Preset(one), Self::Preset(other)) => one.name == other.name,
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Registry(one), Self::Registry(other)) => one == other,
            _ => false,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preset(preset) => formatter.write_str(preset.name),
            Self::File(path) => path.display().fmt(formatter),
            Self::Registry(reference) => reference.fmt(formatter),
        }
    }
}

impl Check<'_> {
    pub(super) fn component(&mut self, path: &str, text: &str) -> Option<Component> {
        if let Some(reference) = Reference::find(text) {
            let hint = "write it like `oci://registry:5000/name:tag`, or with `@sha256:` and a digest in place of the tag";
            return reference.map(Component::Registry).map_err(|error| self.problem(path, error.to_string(), hint)).ok();
        }
        if text.contains('/') {
            return Some(Component::File(PathBuf::from(text)));
        }
        if let Some(preset) = presets::find(text) {
            return Some(Component::Preset(preset));
        }
        let names: Vec<String> = presets::PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
        let hint = match presets::PRESETS.iter().min_by_key(|preset| strsim::damerau_levenshtein(preset.name, text)) {
            Some(preset) if strsim::damerau_levenshtein(preset.name, text) <= text.len() / 2 => {
                format!("did you mean `{}`?", preset.name)
            }
            _ if std::path::Path::new(text).extension().is_some_and(|extension| extension == "wasm") => {
                format!("a file is given by a path with a `/`: `./{text}`")
            }
            _ => "a file is given by a path with a `/`".to_owned(),
        };
        self.problem(path, format!("there is no preset `{text}`; there are {}", names.join(", ")), hint);
        None
    }
}
