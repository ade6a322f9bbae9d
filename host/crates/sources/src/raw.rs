//! What objects of all kinds have in common, as the API writes it. Pure.
//!
//! Only the fields that somebody asks for are read: a field that is not known here cannot make an object unreadable, and nothing is
//! allocated for managed fields and the like.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use sluicebox_contract::pod::Owner;

/// `metadata`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) uid: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) namespace: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) owner_references: Vec<OwnerReference>,
    pub(crate) creation_timestamp: Option<String>,
    pub(crate) deletion_timestamp: Option<String>,
}

/// One of `metadata.ownerReferences`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OwnerReference {
    #[serde(default)]
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) uid: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) controller: bool,
}

impl From<OwnerReference> for Owner {
    fn from(raw: OwnerReference) -> Self {
        Self { api_version: raw.api_version, kind: raw.kind, name: raw.name, uid: raw.uid, controller: raw.controller }
    }
}

/// The API writes quantities as texts, but takes numbers.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Quantity {
    Text(String),
    Number(serde_json::Number),
}

impl Quantity {
    pub(crate) fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Number(number) => number.to_string(),
        }
    }
}

/// Quantities as texts, sorted by name.
pub(crate) fn quantities(raw: BTreeMap<String, Quantity>) -> Vec<(String, String)> {
    raw.into_iter().map(|(name, quantity)| (name, quantity.text())).collect()
}

/// Go writes what is empty as null here and there.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An empty text is an absent one.
pub(crate) fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// The first of several, which the API repeats among all of them, then the others, each once.
pub(crate) fn first_and_others(first: Option<String>, all: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for text in given(first).into_iter().chain(all) {
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}
