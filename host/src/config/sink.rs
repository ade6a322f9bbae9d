//! What can be said of a sink, beside its kind.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_sinks::{config_maps, files, kafka, prometheus, redis, stdout};

use super::store::{SinkWhenFull, Store};
use super::{Queue, present};

/// A sink: exactly one kind, and how it is fed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sink {
    /// Publishes messages and keeps documents in Redis hashes.
    pub redis: Option<redis::Config>,
    /// Sends messages to the topics of a Kafka cluster.
    pub kafka: Option<kafka::Config>,
    /// Keeps documents as files in a directory, and appends messages to files there.
    pub files: Option<files::Config>,
    /// Keeps documents as keys of Kubernetes `ConfigMap`s.
    #[serde(default, deserialize_with = "present")]
    pub config_maps: Option<config_maps::Config>,
    /// Serves metrics that modules make, for Prometheus to scrape.
    #[serde(default, deserialize_with = "present")]
    pub prometheus: Option<prometheus::Config>,
    /// Writes entries as lines to standard output.
    #[serde(default, deserialize_with = "present")]
    pub stdout: Option<stdout::Config>,
    /// What may wait for it in memory; an item is what one call of a module has made.
    #[serde(default)]
    pub queue: Queue,
    /// What may wait for it on the disk, when it does not take what comes. Without it nothing does: what waits in memory is lost with the
    /// program.
    #[serde(default, deserialize_with = "present")]
    pub store: Option<Store>,
    /// What happens when there is no more room, in the store where there is one, else in the queue.
    #[serde(default)]
    pub when_full: SinkWhenFull,
    /// How long one write may take before it counts as failed and is tried again.
    #[serde(default = "default_write_deadline")]
    pub write_deadline: TimeSpan,
}

fn default_write_deadline() -> TimeSpan {
    TimeSpan(Duration::from_secs(30))
}
