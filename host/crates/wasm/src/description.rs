//! What there is to say about a module without running it.

use sluicebox_contract::Handlers;

/// A module as `sluicebox modules` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name that the host knows it by.
    pub name: String,
    /// What its author calls its version, where the component says so.
    pub author_version: Option<String>,
    /// SHA-256 of the component, 64 hexadecimal digits.
    pub digest: String,
    /// Size of the component.
    pub bytes: usize,
    /// The version of `sluicebox:module` that it was made for.
    pub package_version: String,
    /// The handlers that it exports.
    pub handlers: Handlers,
    /// Whether it takes its state from one instance to the next.
    pub state: bool,
    /// Everything that it exports.
    pub exports: Vec<String>,
    /// Everything that it imports.
    pub imports: Vec<String>,
}

impl Description {
    /// The version that logs and errors name: the beginning of the digest, after the author's version where there is one.
    pub fn version(&self) -> String {
        let digest = self.digest.get(..12).unwrap_or(&self.digest);
        match &self.author_version {
            Some(version) => format!("{version}+{digest}"),
            None => digest.to_owned(),
        }
    }
}
