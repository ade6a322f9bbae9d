//! Which module a lane runs, as the configuration names it.

use std::fmt;
use std::path::PathBuf;

use sluicebox_registry::Reference;

use crate::presets::Preset;

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
