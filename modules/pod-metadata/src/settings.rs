//! What the operator can set, and what of it is refused.

use std::time::Duration;

use serde::Deserialize;
use sluicebox_sdk::{Context, Span};

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// What holds the documents: a Redis hash, a `ConfigMap`; `null` leaves it to the sink.
    pub collection: Option<String>,
    /// How long a document stays after its address is nobody's any more.
    pub retention: Span,
    /// Whether pods of this node are told with their owner, their containers and their attributes.
    pub details: bool,
    /// What becomes of an object of which nothing has changed.
    pub unchanged: Unchanged,
}

/// What becomes of an object of which nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unchanged {
    /// Nothing.
    #[default]
    Skip,
    /// Its documents are put again, which keeps them alive in a sink that lets documents expire.
    Put,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            collection: Some("metadata".to_owned()),
            retention: Span(Duration::from_mins(5)),
            details: false,
            unchanged: Unchanged::default(),
        }
    }
}

impl Settings {
    /// Refuses what cannot work.
    pub(crate) fn check(&self, context: &Context) -> Result<(), String> {
        let is_fed_with = |wanted: &str| context.sources.iter().any(|source| source == wanted);
        if self.collection.as_ref().is_some_and(String::is_empty) {
            return Err(
                "setting `collection`: is empty: name a hash or a ConfigMap, set it to null for the sink's, or leave the \
                        setting out for `metadata`"
                    .to_owned(),
            );
        }
        if self.details && !is_fed_with("inventory") {
            return Err("setting `details`: the lane is not fed with inventories, which the details come from: add \
                        `inventory: {}` to the `sources` of the configuration, or set it to false"
                .to_owned());
        }
        if !["pods", "services", "nodes", "inventory"].into_iter().any(is_fed_with) {
            return Err(
                "the lane is fed with nothing that has an address: name some of `pods`, `services`, `nodes` and `inventory` \
                        among the `sources` of the configuration and, if it is there, in the `from` of the lane"
                    .to_owned(),
            );
        }
        Ok(())
    }
}
