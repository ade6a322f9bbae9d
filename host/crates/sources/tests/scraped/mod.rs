//! What the tests of the source `scrape` need: the source, and what it has told.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Closed, Event, Feed, Notice, SeriesReport, Source, Subject, SubjectId};
use sluicebox_sources::Scrape;
use sluicebox_sources::scrape::Config;
use tokio::task::JoinHandle;

/// Many times what it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a source has told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    subjects: HashMap<SubjectId, Arc<Subject>>,
    reports: Vec<Arc<SeriesReport>>,
    listed: usize,
}

impl Feed for Told {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        let mut state = self.0.lock().expect("the record");
        match notice {
            Notice::Defined(subject) => drop(state.subjects.insert(subject.id, subject)),
            Notice::Event(Event::Series(report)) => {
                assert!(report.subjects().all(|subject| state.subjects.contains_key(&subject)), "told before it was defined");
                state.reports.push(report);
            }
            Notice::Event(event) | Notice::Tracked(event, _) => panic!("another kind of event: {event:?}"),
            Notice::Forgotten(id) => assert!(state.subjects.remove(&id).is_some(), "forgotten, and was never defined"),
            Notice::Listed => state.listed += 1,
        }
        Ok(())
    }
}

impl Told {
    pub(crate) fn listed(&self) -> usize {
        self.0.lock().expect("the record").listed
    }

    pub(crate) fn subject(&self, id: SubjectId) -> Arc<Subject> {
        Arc::clone(&self.0.lock().expect("the record").subjects[&id])
    }

    /// The cycles of a target that are over, each with its reports.
    pub(crate) fn cycles(&self, target: &str) -> Vec<Vec<Arc<SeriesReport>>> {
        let state = self.0.lock().expect("the record");
        let mut cycles = vec![Vec::new()];
        for report in state.reports.iter().filter(|report| report.query.cycle == target) {
            cycles.last_mut().expect("there is one").push(Arc::clone(report));
            if !report.more {
                cycles.push(Vec::new());
            }
        }
        cycles.pop();
        cycles
    }

    /// The first cycle of a target that is like this; waits for it.
    pub(crate) async fn cycle(&self, target: &str, is: impl Fn(&[Arc<SeriesReport>]) -> bool) -> Vec<Arc<SeriesReport>> {
        let begun = Instant::now();
        loop {
            if let Some(cycle) = self.cycles(target).into_iter().find(|cycle| is(cycle)) {
                return cycle;
            }
            assert!(begun.elapsed() < PATIENCE, "no such cycle of {target}: {:?}", self.cycles(target).last());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// `<metric> <type> <unit>: <name>{<labels>} <value>` for each series of a cycle, in its order.
    pub(crate) fn lines(&self, cycle: &[Arc<SeriesReport>]) -> Vec<String> {
        let report = |report: &Arc<SeriesReport>| {
            let query = &report.query;
            let head = format!("{} {} {}", query.name, query.metric_type, query.unit);
            let samples = report.samples.iter().map(|sample| format!("{} {}", self.series(sample.subject), sample.value));
            let samples = samples.map(|sample| format!("{}: {sample}", head.trim_end())).collect::<Vec<_>>();
            let failure = report.failure.as_ref().map(|failure| format!("{}: {failure}", query.name));
            failure.into_iter().chain(samples).collect::<Vec<_>>()
        };
        cycle.iter().flat_map(report).collect()
    }

    /// `<name>{<labels>}`
    pub(crate) fn series(&self, id: SubjectId) -> String {
        let subject = self.subject(id);
        let labels: Vec<String> = subject.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{}{{{}}}", subject.name, labels.join(","))
    }
}

/// The source at work.
pub(crate) struct Bench {
    pub(crate) told: Told,
    pub(crate) meter: Arc<SourceMeter>,
    task: JoinHandle<()>,
}

impl Bench {
    /// Runs it as this configuration says.
    #[allow(clippy::disallowed_methods, reason = "a test is its own supervisor")]
    pub(crate) fn run(json: &serde_json::Value) -> Self {
        let config: Config = serde_json::from_value(json.clone()).expect("the test's configuration parses");
        assert_eq!(config.problems(), []);
        let (told, meter) = (Told::default(), Arc::<SourceMeter>::default());
        let source = Scrape::new(&config, Arc::default(), Arc::clone(&meter)).expect("a source");
        let feed = told.clone();
        let task = tokio::spawn(async move { source.run(feed, std::future::pending()).await.expect("the source goes on") });
        Self { told, meter, task }
    }

    pub(crate) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether the target could be read.
pub(crate) fn is_up(cycle: &[Arc<SeriesReport>]) -> bool {
    cycle.last().is_some_and(|report| report.query.name == "up" && report.samples[0].value > 0.0)
}
