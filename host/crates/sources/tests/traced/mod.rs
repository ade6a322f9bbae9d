//! What the tests of the tracer's source need: a tracer, an API server that names ends, the source, and what it has told.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Closed, ConnectionReport, Event, Feed, Notice, Source, Subject, SubjectId, SubjectIds};
use sluicebox_sources::Tracer;
use sluicebox_sources::kubernetes::{Api, Config as Kubernetes};
use sluicebox_sources::tracer::Config;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::tracer::{Answer, Tracer as Peer};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The node that the source believes to be on.
pub(crate) const NODE: &str = "n1";

/// What a source has told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    subjects: HashMap<SubjectId, Arc<Subject>>,
    reports: Vec<Arc<ConnectionReport>>,
    listed: usize,
    forgotten: usize,
}

impl Feed for Told {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        let mut state = self.0.lock().expect("the record");
        match notice {
            Notice::Defined(subject) => drop(state.subjects.insert(subject.id, subject)),
            Notice::Event(Event::Connections(report)) => state.reports.push(report),
            Notice::Event(event) | Notice::Tracked(event, _) => panic!("another kind of event: {event:?}"),
            Notice::Forgotten(id) => {
                assert!(state.subjects.remove(&id).is_some(), "forgotten, and was never defined");
                state.forgotten += 1;
            }
            Notice::Listed => state.listed += 1,
        }
        Ok(())
    }
}

impl Told {
    pub(crate) fn reports(&self) -> Vec<Arc<ConnectionReport>> {
        self.0.lock().expect("the record").reports.clone()
    }

    pub(crate) fn listed(&self) -> usize {
        self.0.lock().expect("the record").listed
    }

    pub(crate) fn subjects(&self) -> Vec<Arc<Subject>> {
        self.0.lock().expect("the record").subjects.values().cloned().collect()
    }

    /// `<source> > <destination>` of each connection of the last report, sorted: `<kind> <name>`, `?` for nobody.
    pub(crate) fn pairs(&self) -> Vec<String> {
        let state = self.0.lock().expect("the record");
        let name = |id: Option<SubjectId>| {
            id.map_or("?".to_owned(), |id| {
                let subject = &state.subjects[&id];
                let kind = serde_json::to_value(subject.kind).expect("a kind");
                format!("{} {}", kind.as_str().expect("a word"), subject.name)
            })
        };
        let last = state.reports.last().map(|report| report.connections.clone()).unwrap_or_default();
        let mut pairs: Vec<String> = last
            .iter()
            .map(|connection| format!("{} > {}", name(connection.source.subject), name(connection.destination.subject)))
            .collect();
        pairs.sort();
        pairs
    }

    /// Waits until this holds.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(Instant::now() < deadline, "waited in vain until {what}; the last pairs are {:?}", self.pairs());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for so many reports more.
    pub(crate) async fn more(&self, count: usize) {
        let wanted = self.reports().len() + count;
        self.until("more reports have come", |told| told.reports().len() >= wanted).await;
    }
}

/// A tracer and whoever asks it.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) peer: Peer,
    pub(crate) config: Config,
    pub(crate) meter: Arc<SourceMeter>,
    pub(crate) told: Told,
    pub(crate) server: Option<ApiServer>,
}

impl Bench {
    /// Without an API server, asked every 100 ms.
    pub(crate) fn new(answer: Answer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("tracer.sock");
        let peer = Peer::start(&socket, answer).expect("a tracer");
        let config = Config { socket: Some(socket), kubernetes: false, period: millis(100), ..Config::default() };
        Self { folder, peer, config, meter: Arc::default(), told: Told::default(), server: None }
    }

    pub(crate) fn report(document: &str) -> Self {
        Self::new(Answer::Report(document.into()))
    }

    /// With an API server that tells who is at the ends.
    pub(crate) async fn with_cluster(document: &str) -> Self {
        let mut bench = Self::report(document);
        bench.server = Some(ApiServer::start().await.expect("an API server"));
        bench.config.kubernetes = true;
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn source(&self) -> Tracer {
        let api = match &self.server {
            Some(server) => {
                let kubernetes = Kubernetes { url: Some(server.url()), ..Kubernetes::default() };
                Some(Api::connect(&kubernetes).await.expect("a way to the API server"))
            }
            None => None,
        };
        Tracer::new(&self.config, api, NODE, Arc::new(SubjectIds::default()), Arc::clone(&self.meter)).expect("a source")
    }

    /// Runs the source until the handle is aborted or dropped with the runtime.
    pub(crate) async fn run(&self) -> JoinHandle<Result<(), sluicebox_contract::Fault>> {
        spawn(self.source().await.run(self.told.clone(), std::future::pending()))
    }

    /// Waits until so many tries have failed.
    pub(crate) async fn failures(&self, count: u64) {
        let before = self.meter.retries.get();
        let meter = Arc::clone(&self.meter);
        self.told.until("it has failed", |_| meter.retries.get() >= before + count).await;
    }
}

/// Runs beside the test, and ends with its runtime.
#[allow(clippy::disallowed_methods, reason = "tests start what they test")]
pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

pub(crate) fn millis(number: u64) -> TimeSpan {
    TimeSpan(Duration::from_millis(number))
}

/// A report of so many connections, with different ports.
pub(crate) fn many(count: usize) -> String {
    let row = |number: usize| {
        format!(
            r#"{{"pid":{},"type":0,"family":0,"net_ns":4026531840,"source":"10.{}.{}.{}","dest":"10.96.0.1","sport":{},"dport":443,"direction":2,"monotonic_sent_bytes":{},"last_sent_bytes":0,"monotonic_recv_bytes":7,"last_recv_bytes":0,"monotonic_retransmits":0,"last_retransmits":0,"last_update_epoch":5}}"#,
            1000 + number % 50,
            number >> 24 & 255,
            number >> 16 & 255,
            number >> 8 & 255,
            1024 + number % 60_000,
            number
        )
    };
    format!(r#"{{"connections":[{}]}}"#, (0..count).map(row).collect::<Vec<_>>().join(","))
}
