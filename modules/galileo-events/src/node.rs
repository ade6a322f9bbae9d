//! A node as two fields of its hash: labels, and what of it pods can have.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluicebox_sdk::{Document, Entry, json};

use crate::settings::Settings;

/// The documents about a node. They are made from every event about it, so that what somebody removed comes back.
pub(crate) fn documents(name: &str, json: &str, settings: &Settings) -> Result<[Entry; 2], String> {
    let node: Node = serde_json::from_str(json).map_err(|error| format!("cannot read node {name}: {error}"))?;
    let hash = format!("{}{name}", settings.node_info_prefix);
    let field = |field: &str, pairs: &Pairs| Document::new(field, text(pairs, settings)).within(hash.as_str()).into();
    Ok([field("labels", &node.metadata.labels), field("allocatable", &node.status.allocatable)])
}

type Pairs = Option<BTreeMap<String, String>>;

fn text(pairs: &Pairs, settings: &Settings) -> String {
    let mut out = String::new();
    match pairs {
        None if settings.null_labels => out.push_str("null"),
        pairs => {
            let pairs = pairs.iter().flatten();
            json::strings(&mut out, pairs.map(|(key, value)| (key.as_str(), value.as_str())));
        }
    }
    out
}

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    labels: Pairs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    allocatable: Pairs,
}
