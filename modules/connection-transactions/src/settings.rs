//! What the operator can set, and what of it is refused.

use std::time::Duration;

use serde::Deserialize;
use sluicebox_sdk::Span;

/// What the operator can set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// What holds the documents: a Redis hash, a `ConfigMap`; `null` leaves it to the sink.
    pub collection: Option<String>,
    /// What stands in third place of a key.
    pub key: KeyForm,
    /// What a document holds.
    pub form: Form,
    /// What becomes of a connection of which nothing has changed.
    pub unchanged: Unchanged,
    /// How long a document stays after its connection was last reported; `null` is for ever.
    pub prune_after: Option<Span>,
    /// How many connections are remembered.
    pub remember: usize,
}

/// What stands in third place of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyForm {
    /// The port of the source: every connection has a document of its own.
    #[default]
    Ports,
    /// The process: what one process has with a port of a host shares a document.
    Process,
}

/// What a document holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The three totals.
    #[default]
    Plain,
    /// The three totals, and what is known of both ends.
    Joined,
}

/// What becomes of a connection of which nothing has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unchanged {
    /// Its document is put again, which keeps it alive in a sink that lets documents expire.
    #[default]
    Put,
    /// Nothing.
    Skip,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            collection: Some("transactions".to_owned()),
            key: KeyForm::default(),
            form: Form::default(),
            unchanged: Unchanged::default(),
            prune_after: Some(Span(Duration::from_mins(5))),
            remember: 100_000,
        }
    }
}

/// What is saved for the next instance must fit into what a call may return, 8 MiB unless the lane says otherwise.
pub(crate) const MOST: usize = 150_000;

impl Settings {
    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.collection.as_ref().is_some_and(String::is_empty) {
            return Err(
                "setting `collection`: is empty: name a hash or a ConfigMap, set it to null for the sink's, or leave the \
                        setting out for `transactions`"
                    .to_owned(),
            );
        }
        if self.prune_after.is_some_and(|after| after.0.is_zero()) {
            return Err("setting `prune-after`: is zero, so that no document would stay: make it longer than the period of the \
                        tracer, or null for ever"
                .to_owned());
        }
        if self.remember == 0 || self.remember > MOST {
            return Err(format!(
                "setting `remember`: {} connections cannot be remembered: set it from 1 to {MOST}, or leave it out for 100000",
                self.remember
            ));
        }
        Ok(())
    }

    /// Whether anything is to be known of a connection when the next report comes.
    pub(crate) fn remembers(&self) -> bool {
        self.prune_after.is_some() || self.unchanged == Unchanged::Skip
    }
}
