//! One sink: its kind, and how it is fed.

use std::time::Duration;

use sluicebox_pipeline::{Bounds, WhenFull};

use super::{Check, SINK_QUEUE};
use crate::config::Sink;
use crate::config::store::{SinkWhenFull, Store, Sync};
use crate::config::yaml::step;

/// What says how a sink is fed, beside its kind.
const FEEDING: [&str; 4] = ["queue", "store", "when-full", "write-deadline"];

/// One sink.
#[derive(Clone, Debug)]
pub struct SinkPlan {
    /// The sink's name.
    pub name: String,
    /// Its kind and settings.
    pub config: sluicebox_sinks::Config,
    /// What may wait for it.
    pub bounds: Bounds,
    /// Whether its bytes are no share, but what the configuration says.
    pub has_own_bytes: bool,
    /// Time for one write.
    pub write_deadline: Duration,
    /// What may wait for it on the disk.
    pub store: Option<Store>,
    /// What happens when there is no more room.
    pub when_full: SinkWhenFull,
}

impl Check<'_> {
    pub(super) fn sink(&mut self, name: &str, sink: &Sink) -> Option<SinkPlan> {
        let before = self.problems.len();
        let path = step("/sinks", name);
        self.name(&path, name);
        let bounds = self.bounds(&step(&path, "queue"), sink.queue, SINK_QUEUE);
        let kinds = [
            sink.redis.clone().map(sluicebox_sinks::Config::Redis),
            sink.files.clone().map(sluicebox_sinks::Config::Files),
            sink.config_maps.clone().map(sluicebox_sinks::Config::ConfigMaps),
            sink.stdout.clone().map(sluicebox_sinks::Config::Stdout),
            sink.kafka.clone().map(sluicebox_sinks::Config::Kafka),
            sink.prometheus.clone().map(sluicebox_sinks::Config::Prometheus),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let (Some(config), None) = (kinds.next(), kinds.next()) else {
            // One kind that could not be read has been named where it stands.
            let kinds = self.names(&path).iter().filter(|name| !FEEDING.contains(&name.as_str())).count();
            if kinds != 1 {
                let text = "a sink is exactly one of `redis`, `kafka`, `files`, `config-maps`, `prometheus`, `stdout`";
                self.problem(&path, text, "name one kind, such as `stdout: {}`");
            }
            return None;
        };
        for problem in config.problems() {
            let path = format!("{path}/{}", problem.field.replace('.', "/"));
            self.problem(&path, problem.cause, problem.cure);
        }
        let write_deadline = sink.write_deadline.0;
        if write_deadline < Duration::from_millis(100) {
            let text = format!("{} is too short for any write", sink.write_deadline);
            self.problem(&step(&path, "write-deadline"), text, "give at least `100ms`, or leave it out");
        }
        if let Some(store) = &sink.store {
            self.store(&step(&path, "store"), store, &config);
        }
        let Sink { store, when_full, .. } = *sink;
        let has_own_bytes = sink.queue.bytes.is_some();
        let in_memory = match (store, when_full) {
            // What has no room goes to the store, and waits while that has none.
            (Some(_), _) | (None, SinkWhenFull::Block) => WhenFull::Wait,
            (None, SinkWhenFull::DropOldest) => WhenFull::DropOldest,
            (None, SinkWhenFull::DropNewest) => WhenFull::DropNewest,
        };
        let bounds = Bounds { when_full: in_memory, ..bounds };
        let plan = || SinkPlan { name: name.to_owned(), config, bounds, has_own_bytes, write_deadline, store, when_full };
        (self.problems.len() == before).then(plan)
    }

    fn store(&mut self, path: &str, store: &Store, sink: &sluicebox_sinks::Config) {
        if matches!(sink, sluicebox_sinks::Config::Prometheus(_)) {
            let text = "a page of metrics is kept in memory, and nothing ever waits for it";
            self.problem(path, text, "leave the store out");
        }
        if store.bytes.0 < 1 << 20 {
            self.problem(&step(path, "bytes"), format!("{} is too little", store.bytes), "give at least `1MiB`");
        } else if store.bytes.0 > 1 << 40 {
            let text = format!("{} is more than the disk of a node has", store.bytes);
            self.problem(&step(path, "bytes"), text, "give at most `1TiB`");
        }
        if store.sync == Sync::Every(Duration::ZERO) {
            self.problem(&step(path, "sync"), "no time is no time to wait for", "give `always`, or a time such as `1s`");
        }
        if store.entries_per_second == 0 {
            self.problem(&step(path, "entries-per-second"), "nothing would ever be read", "give at least 1, or leave it out");
        }
    }
}
