//! Why a module is refused: what it is, and the cure.

use std::borrow::Cow;

use sluicebox_contract::Fault;

use crate::CompileError;
use crate::grants::{Grants, cure};
use crate::package::{ACCEPTED, PACKAGE};
use crate::text::size;

/// A module that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot load module `{module}`: {refusal}{}", hint_text(refusal))]
pub struct LoadError {
    /// The name of the module.
    pub module: String,
    /// Why.
    pub refusal: Refusal,
}

/// Why a module cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The file cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// Which file.
        path: String,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// Its directory does not say which file it is.
    #[error("the directory {directory} {found}")]
    NotSingle {
        /// Which directory.
        directory: String,
        /// What it has instead of one component.
        found: String,
    },
    /// No registry gave it.
    #[error("it cannot be pulled: {cause}")]
    NotPulled {
        /// Why.
        cause: String,
        /// What would cure it.
        cure: &'static str,
    },
    /// More bytes than are allowed.
    #[error("it has {}, more than the {} that a component may have", size(*bytes), size(*limit))]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It is something else, or a part of a component.
    #[error("{found}")]
    NotAComponent {
        /// What it is.
        found: String,
        /// What would cure it.
        cure: &'static str,
    },
    /// It wants more than it is granted.
    #[error("it imports {}; granted: {}", wanted.join(", "), listed(*granted))]
    NotGranted {
        /// Everything that it imports and that is not granted.
        wanted: Vec<String>,
        /// What is.
        granted: Grants,
    },
    /// It was made for another version of the interface.
    #[error("it is made for sluicebox:module {found}; this host accepts {ACCEPTED}")]
    OtherVersion {
        /// The version.
        found: String,
    },
    /// Its parts were made for two minor versions of the interface.
    #[error("it is made partly for sluicebox:module {} and partly for {}", found[0], found[1])]
    MixedVersions {
        /// One version of each.
        found: [String; 2],
    },
    /// It is a component, but none of ours.
    #[error("{cause}")]
    NotAModule {
        /// What is missing or different.
        cause: String,
    },
    /// It does not compile.
    #[error("it does not compile: {cause}")]
    Invalid {
        /// The compiler's reason.
        cause: String,
    },
    /// It may be right, but there is no compiled code of it.
    #[error(transparent)]
    NotCompiled(#[from] CompileError),
}

impl Refusal {
    /// What would cure it.
    pub fn hint(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Unreadable { .. } => "does the file exist, and may the collector read it?",
            Self::NotSingle { .. } => "leave one file there whose name ends with `.wasm`, or name the file itself",
            Self::TooLarge { .. } => "strip debug information from the component, or raise the limit",
            Self::NotAComponent { cure, .. } | Self::NotPulled { cure, .. } => cure,
            Self::NotGranted { wanted, granted } => return Cow::Owned(cure(wanted, *granted)),
            Self::OtherVersion { .. } => {
                "build the module with the SDK of this host's version, or take a host that is no more than one version away from it"
            }
            Self::MixedVersions { .. } => "build all of the module's parts with one version of the SDK",
            Self::NotAModule { .. } => "does its world include `lifecycle` and a handler of sluicebox:module?",
            Self::Invalid { .. } => "is the file whole, and made by current component tools?",
            Self::NotCompiled(error) => error.hint(),
        })
    }
}

/// What is granted, with full names.
fn listed(granted: Grants) -> String {
    let names: Vec<String> = granted.names().into_iter().map(|name| format!("{PACKAGE}{name}")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

fn hint_text(refusal: &Refusal) -> String {
    format!(" (hint: {})", refusal.hint())
}

impl From<LoadError> for Fault {
    fn from(error: LoadError) -> Self {
        Self::fatal(format!("cannot load module `{}`", error.module), &error.refusal).hint(error.refusal.hint())
    }
}
