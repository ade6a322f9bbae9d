//! What the tests of the source `prometheus` need: the source at work, and answers as Prometheus gives them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{SeriesReport, Source};
use sluicebox_sources::Prometheus;
use sluicebox_sources::prometheus::{Config, Terms};
use tokio::task::JoinHandle;

use crate::scraped::Told;

/// The source at work.
pub(crate) struct Asking {
    pub(crate) told: Told,
    pub(crate) meter: Arc<SourceMeter>,
    task: JoinHandle<()>,
}

impl Asking {
    /// Runs it as this configuration says.
    pub(crate) fn run(json: &Value) -> Self {
        Self::take_over(json, None)
    }

    /// As one of several collectors, of which the one before may have been silent for so long.
    #[allow(clippy::disallowed_methods, reason = "a test is its own supervisor")]
    pub(crate) fn take_over(json: &Value, silence: Option<Duration>) -> Self {
        let config: Config = serde_json::from_value(json.clone()).expect("the test's configuration parses");
        assert_eq!(config.problems(), []);
        let (told, meter) = (Told::default(), Arc::<SourceMeter>::default());
        let terms = Terms { silence, ..Terms::default() };
        let source = Prometheus::new(&config, "n1", terms, Arc::default(), Arc::clone(&meter)).expect("a source");
        let feed = told.clone();
        let task = tokio::spawn(async move { source.run(feed, std::future::pending()).await.expect("the source goes on") });
        Self { told, meter, task }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The 26 metrics, as they are asked for.
pub(crate) fn mape() -> Value {
    json!({"mape": {"metrics": "mape-kafka", "template": "mape-kafka", "kind": "range"}})
}

/// An answer with so many series, each with two moments.
pub(crate) fn matrix(series: usize) -> Vec<u8> {
    let series: Vec<Value> = (0..series)
        .map(|number| json!({"metric": {"label_vim_id": format!("id-{number}")}, "values": [[1, "2442"], [2.5, "0.5"]]}))
        .collect();
    json!({"status": "success", "data": {"resultType": "matrix", "result": series}}).to_string().into_bytes()
}

/// The report of a query in a cycle.
pub(crate) fn report<'cycle>(cycle: &'cycle [Arc<SeriesReport>], name: &str) -> &'cycle SeriesReport {
    cycle.iter().find(|report| report.query.name == name).unwrap_or_else(|| panic!("nothing is told of {name}"))
}

/// Whether all is told of a cycle and nothing failed.
pub(crate) fn is_well(cycle: &[Arc<SeriesReport>]) -> bool {
    cycle.iter().all(|report| report.failure.is_none())
}
