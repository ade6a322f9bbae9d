//! Where sluicebox writes. One file or folder for each sink, each with its own configuration; nothing here knows modules or lanes.
//!
//! [`AnySink`] is the one `match` from a [`Config`] to the code. Making one touches nothing outside: the first write does.

mod aside;
mod cause;
pub mod config_maps;
pub mod files;
pub mod kafka;
mod obstacle;
pub mod prometheus;
pub mod redis;
mod retention;
mod shown;
pub mod stdout;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::meter::KafkaMeter;
use sluicebox_contract::{Entry, Fault, Outcome, Problem, Sink};
use sluicebox_kubernetes::Api;

/// A sink as the configuration names it: its kind, and under it the settings of that kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Sink")]
pub enum Config {
    /// Messages are published, documents kept as fields of hashes.
    Redis(redis::Config),
    /// Messages and documents are records of topics.
    Kafka(kafka::Config),
    /// Documents are kept as files of a directory.
    Files(files::Config),
    /// Documents are keys of `ConfigMap`s.
    ConfigMaps(config_maps::Config),
    /// Documents are pieces of a page of metrics that Prometheus scrapes.
    Prometheus(prometheus::Config),
    /// Every entry is a line on standard output.
    Stdout(stdout::Config),
}

impl Config {
    /// Everything that is wrong with the settings, as far as that can be said without looking outside.
    pub fn problems(&self) -> Vec<Problem> {
        match self {
            Self::Redis(config) => config.problems(),
            Self::Kafka(config) => config.problems(),
            Self::Files(config) => config.problems(),
            Self::ConfigMaps(config) => config.problems(),
            Self::Prometheus(config) => config.problems(),
            Self::Stdout(_) => Vec::new(),
        }
        .into_iter()
        .map(|problem| problem.within(self.kind()))
        .collect()
    }

    /// Whether the sink writes to the Kubernetes API.
    pub fn needs_api(&self) -> bool {
        matches!(self, Self::ConfigMaps(_))
    }

    /// The kind's name, as the configuration writes it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis",
            Self::Kafka(_) => "kafka",
            Self::Files(_) => "files",
            Self::ConfigMaps(_) => "config-maps",
            Self::Prometheus(_) => "prometheus",
            Self::Stdout(_) => "stdout",
        }
    }
}

/// What a sink may need to know of where the program runs.
#[derive(Clone, Default)]
pub struct Surroundings {
    /// The name of the node.
    pub node: String,
    /// The way to the API server, where [`Config::needs_api`] of any sink asks for it.
    pub api: Option<Api>,
}

/// One of the sinks.
#[derive(Debug)]
pub enum AnySink {
    /// See [`redis::Redis`].
    Redis(Box<redis::Redis>),
    /// See [`kafka::Kafka`].
    Kafka(Box<kafka::Kafka>),
    /// See [`files::Files`].
    Files(Box<files::Files>),
    /// See [`config_maps::ConfigMaps`].
    ConfigMaps(Box<config_maps::ConfigMaps>),
    /// See [`prometheus::Prometheus`].
    Prometheus(prometheus::Prometheus),
    /// See [`stdout::Stdout`].
    Stdout(stdout::Stdout),
}

impl AnySink {
    /// Makes the sink of this name; the name stands in its log lines. Refuses what [`Config::problems`] would name.
    pub fn new(name: &str, config: &Config, surroundings: &Surroundings) -> Result<Self, Fault> {
        if let Some(problem) = config.problems().into_iter().next() {
            return Err(unusable(name, problem));
        }
        let name: Arc<str> = name.into();
        Ok(match config {
            Config::Redis(config) => Self::Redis(Box::new(redis::Redis::new(config)?)),
            Config::Kafka(config) => Self::Kafka(Box::new(kafka::Kafka::new(name, config))),
            Config::Files(config) => Self::Files(Box::new(files::Files::new(name, config))),
            Config::ConfigMaps(config) => {
                let api = surroundings.api.clone().ok_or_else(|| no_api(&name))?;
                Self::ConfigMaps(Box::new(config_maps::ConfigMaps::new(name, config, &surroundings.node, api)))
            }
            Config::Prometheus(config) => Self::Prometheus(prometheus::Prometheus::new(name, config)),
            Config::Stdout(config) => Self::Stdout(stdout::Stdout::new(config)),
        })
    }

    /// What the client of a Kafka sink tells of itself.
    pub fn kafka_meter(&self) -> Option<Arc<KafkaMeter>> {
        match self {
            Self::Kafka(sink) => Some(sink.meter()),
            Self::Redis(_) | Self::Files(_) | Self::ConfigMaps(_) | Self::Prometheus(_) | Self::Stdout(_) => None,
        }
    }
}

/// A mistake in its settings keeps a sink from being made.
fn unusable(sink: &str, problem: Problem) -> Fault {
    Fault::fatal(format!("cannot make sink `{sink}` with this `{}`", problem.field), problem.cause).hint(problem.cure)
}

fn no_api(sink: &str) -> Fault {
    Fault::fatal(format!("cannot make sink `{sink}`"), "it writes to the Kubernetes API, and no way to it was made")
}

impl Sink for AnySink {
    async fn write(&mut self, batch: &[Entry]) -> Outcome {
        match self {
            Self::Redis(sink) => sink.write(batch).await,
            Self::Kafka(sink) => sink.write(batch).await,
            Self::Files(sink) => sink.write(batch).await,
            Self::ConfigMaps(sink) => sink.write(batch).await,
            Self::Prometheus(sink) => sink.write(batch).await,
            Self::Stdout(sink) => sink.write(batch).await,
        }
    }

    fn most_calls(&self) -> usize {
        match self {
            Self::Redis(sink) => sink.most_calls(),
            Self::Kafka(sink) => sink.most_calls(),
            Self::Files(sink) => sink.most_calls(),
            Self::ConfigMaps(sink) => sink.most_calls(),
            Self::Prometheus(sink) => sink.most_calls(),
            Self::Stdout(sink) => sink.most_calls(),
        }
    }

    fn most_entries(&self) -> usize {
        match self {
            Self::Redis(sink) => sink.most_entries(),
            Self::Kafka(sink) => sink.most_entries(),
            Self::Files(sink) => sink.most_entries(),
            Self::ConfigMaps(sink) => sink.most_entries(),
            Self::Prometheus(sink) => sink.most_entries(),
            Self::Stdout(sink) => sink.most_entries(),
        }
    }

    async fn begins(&mut self) {
        match self {
            Self::Redis(sink) => sink.begins().await,
            Self::Kafka(sink) => sink.begins().await,
            Self::Files(sink) => sink.begins().await,
            Self::ConfigMaps(sink) => sink.begins().await,
            Self::Prometheus(sink) => sink.begins().await,
            Self::Stdout(sink) => sink.begins().await,
        }
    }

    async fn settled(&mut self) -> Result<(), Fault> {
        match self {
            Self::Redis(sink) => sink.settled().await,
            Self::Kafka(sink) => sink.settled().await,
            Self::Files(sink) => sink.settled().await,
            Self::ConfigMaps(sink) => sink.settled().await,
            Self::Prometheus(sink) => sink.settled().await,
            Self::Stdout(sink) => sink.settled().await,
        }
    }

    async fn upkeep(&mut self) -> Result<(), Fault> {
        match self {
            Self::Redis(sink) => sink.upkeep().await,
            Self::Kafka(sink) => sink.upkeep().await,
            Self::Files(sink) => sink.upkeep().await,
            Self::ConfigMaps(sink) => sink.upkeep().await,
            Self::Prometheus(sink) => sink.upkeep().await,
            Self::Stdout(sink) => sink.upkeep().await,
        }
    }
}
