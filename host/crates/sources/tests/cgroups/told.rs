//! What the source has told of the cgroups of one test; of the others, nothing is kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sluicebox_contract::{Closed, Event, Feed, Metric, Notice, Reading, Subject, SubjectId, Tick};
use tokio::sync::watch;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(crate) struct Told {
    /// A part of the paths of this test's cgroups.
    mine: Arc<str>,
    record: Arc<Mutex<Record>>,
    news: watch::Sender<()>,
}

/// What is known at the moment.
#[derive(Default)]
pub(crate) struct Record {
    /// Those that have not been forgotten.
    pub(crate) subjects: HashMap<SubjectId, Arc<Subject>>,
    /// How many have been defined so far.
    pub(crate) defined: usize,
    /// Of each path, each metric's readings in their order.
    readings: HashMap<String, BTreeMap<Metric, Vec<Reading>>>,
    /// Ticks of all cgroups, each with the number of its samples.
    pub(crate) ticks: usize,
    pub(crate) listed: bool,
    /// What is gone takes no memory.
    forgets: bool,
}

impl Told {
    /// Keeps nothing of those that are gone: what else takes memory can be measured then.
    pub(crate) fn of_those_that_are_there(self) -> Self {
        self.record().forgets = true;
        self
    }

    /// Keeps what is about cgroups whose path has this part.
    pub(crate) fn about(mine: &str) -> Self {
        Self { mine: mine.into(), record: Arc::default(), news: watch::Sender::new(()) }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("the record")
    }

    /// Waits until something holds.
    pub(crate) async fn until<T>(&self, what: &str, holds: impl Fn(&Record) -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        let wait = async {
            loop {
                news.mark_unchanged();
                if let Some(value) = holds(&self.record()) {
                    return value;
                }
                news.changed().await.expect("the record lives");
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("{what}: waited in vain; told was {}", self.record().shown()))
    }

    /// Waits for readings of a cgroup that were begun after the call.
    pub(crate) async fn fresh(&self, path: &str) {
        let before = self.record().count(path, Metric::CpuUsage);
        // The first may have been under way.
        self.until("fresh readings", |record| (record.count(path, Metric::CpuUsage) >= before + 2).then_some(())).await;
    }
}

impl Feed for Told {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        self.record().take(notice, &self.mine);
        self.news.send_modify(|()| {});
        Ok(())
    }
}

impl Record {
    fn take(&mut self, notice: Notice, mine: &str) {
        match notice {
            Notice::Defined(subject) if path(&subject).contains(mine) => {
                self.defined += 1;
                let before = self.subjects.insert(subject.id, subject);
                assert_eq!(before, None, "a subject is defined twice");
            }
            Notice::Forgotten(id) => {
                if let Some(gone) = self.subjects.remove(&id).filter(|_| self.forgets) {
                    self.readings.remove(path(&gone));
                }
            }
            Notice::Event(Event::Tick(tick)) => self.tick(&tick),
            Notice::Listed => {
                assert!(!self.listed, "everything is listed once");
                self.listed = true;
            }
            Notice::Defined(_) | Notice::Event(_) | Notice::Tracked(..) => {}
        }
    }

    fn tick(&mut self, tick: &Tick) {
        self.ticks += 1;
        assert!(tick.online_cpus >= 1);
        let order = tick.samples.windows(2).all(|two| (two[0].subject, two[0].metric) < (two[1].subject, two[1].metric));
        assert!(order, "samples are ordered by subject and metric, each once");
        for sample in &tick.samples {
            if let Some(subject) = self.subjects.get(&sample.subject) {
                let readings = self.readings.entry(path(subject).to_owned()).or_default();
                readings.entry(sample.metric).or_default().push(sample.reading);
            }
        }
    }

    /// The subject of a cgroup.
    pub(crate) fn subject(&self, of: &str) -> Option<&Subject> {
        self.subjects.values().map(Arc::as_ref).find(|subject| path(subject) == of)
    }

    pub(crate) fn readings(&self, path: &str, metric: Metric) -> &[Reading] {
        self.readings.get(path).and_then(|metrics| metrics.get(&metric)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn count(&self, path: &str, metric: Metric) -> usize {
        self.readings(path, metric).len()
    }

    /// The last total of a counter.
    pub(crate) fn total(&self, path: &str, metric: Metric) -> Option<u64> {
        match self.readings(path, metric).last()? {
            Reading::Counter { total, .. } => Some(*total),
            other => panic!("{metric:?} is no counter: {other:?}"),
        }
    }

    /// All increases of a counter together.
    pub(crate) fn increase(&self, path: &str, metric: Metric) -> u64 {
        let amount = |reading: &Reading| match reading {
            Reading::Counter { increase, .. } => increase.map_or(0, |increase| increase.amount),
            other => panic!("{metric:?} is no counter: {other:?}"),
        };
        self.readings(path, metric).iter().map(amount).sum()
    }

    /// The last value of a gauge, or of a limit that is set.
    pub(crate) fn value(&self, path: &str, metric: Metric) -> Option<u64> {
        match self.readings(path, metric).last()? {
            Reading::Value(value) => Some(*value),
            Reading::Unlimited => None,
            Reading::Counter { .. } => panic!("{metric:?} is a counter"),
        }
    }

    pub(crate) fn is_unlimited(&self, path: &str, metric: Metric) -> bool {
        matches!(self.readings(path, metric).last(), Some(Reading::Unlimited))
    }

    /// The last reading of each metric.
    fn shown(&self) -> String {
        let mut lines = format!("{} ticks, {} subjects", self.ticks, self.subjects.len());
        for (path, metrics) in self.readings.iter().take(10) {
            let _ = write!(lines, "\n{path}");
            for (metric, readings) in metrics {
                let _ = write!(lines, "\n  {} x{}: {:?}", metric.name(), readings.len(), readings.last());
            }
        }
        lines
    }
}

/// The cgroup that a subject stands for.
fn path(subject: &Subject) -> &str {
    let attribute = subject.attributes.iter().find(|(name, _)| name == "cgroup");
    attribute.map_or(&subject.name, |(_, path)| path)
}
