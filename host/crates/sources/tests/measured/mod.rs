//! What the tests of cgroups need: a host with cgroups, an API server that names them, a source, and what it has told.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod tree;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::TimeSpan;
use sluicebox_contract::{Event, Metric, Notice, Reading, Subject, SubjectId, SubjectIds, Tick};
use sluicebox_sources::cgroups::{Cgroups, Config};
use sluicebox_sources::kubernetes::{Api, Config as Kubernetes};
use sluicebox_testkit::api_server::ApiServer;

use crate::cluster::Recorder;
pub(crate) use tree::Root;

/// The node whose pods are asked for.
pub(crate) const NODE: &str = "n1";

/// A host with an API server.
pub(crate) struct Bench {
    pub(crate) root: Root,
    pub(crate) server: ApiServer,
    pub(crate) meter: Arc<SourceMeter>,
    pub(crate) config: Config,
}

impl Bench {
    /// With files of version 2, read every 100 ms.
    pub(crate) async fn new() -> Self {
        Self::on(Root::version_2()).await
    }

    pub(crate) async fn on(root: Root) -> Self {
        let config = Config { period: millis(100), root: root.path().to_owned(), ..Config::default() };
        Self { root, server: ApiServer::start().await.expect("the server starts"), meter: Arc::default(), config }
    }

    /// The source, without an API server if the configuration wants none.
    pub(crate) async fn source(&self) -> Cgroups {
        let api = if self.config.kubernetes {
            let kubernetes = Kubernetes { url: Some(self.server.url()), ..Kubernetes::default() };
            Some(Api::connect(&kubernetes).await.expect("a way to the API server"))
        } else {
            None
        };
        let ids = Arc::new(SubjectIds::default());
        Cgroups::new(&self.config, api, NODE, ids, Arc::clone(&self.meter)).expect("cgroups are found")
    }

    pub(crate) fn create(&self, pod: Value) {
        self.server.create_pod(pod).expect("it is created");
    }

    /// What the kubelet says of the containers of a pod: their names and ids.
    pub(crate) fn runs(&self, name: &str, containers: &[(&str, &str)]) {
        let status = |(name, id): &(&str, &str)| json!({"name": name, "containerID": format!("containerd://{id}")});
        let statuses: Vec<_> = containers.iter().map(status).collect();
        self.server.patch_status("s", name, &json!({"containerStatuses": statuses})).expect("it is patched");
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&SourceMeter) -> bool) {
        let begun = Instant::now();
        while !holds(&self.meter) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:#?}", self.meter);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn millis(millis: u64) -> TimeSpan {
    TimeSpan(Duration::from_millis(millis))
}

/// A pod in namespace `s` as users write it, with these containers.
pub(crate) fn pod(uid: &str, name: &str, containers: &[&str]) -> Value {
    let containers: Vec<_> = containers.iter().map(|name| json!({"name": name, "image": "registry.test/image:1"})).collect();
    json!({
        "metadata": {"uid": uid, "namespace": "s", "name": name},
        "spec": {"nodeName": NODE, "terminationGracePeriodSeconds": 0, "containers": containers},
    })
}

/// What a source has told, understood as a module would.
pub(crate) struct Told {
    pub(crate) subjects: HashMap<SubjectId, Arc<Subject>>,
    pub(crate) ticks: Vec<Arc<Tick>>,
    /// Such as `+pod s/a`, `-s/a`, `complete`; without ticks.
    pub(crate) lines: Vec<String>,
}

/// Every rule of the order of notices is held against it.
pub(crate) fn told(recorder: &Recorder) -> Told {
    let mut told = Told { subjects: HashMap::new(), ticks: Vec::new(), lines: Vec::new() };
    let mut exist: HashMap<SubjectId, String> = HashMap::new();
    for notice in recorder.notices() {
        match notice {
            Notice::Defined(subject) => {
                let name =
                    [subject.namespace.as_str(), subject.name.as_str()].join(if subject.namespace.is_empty() { "" } else { "/" });
                told.lines.push(format!("+{} {name}", format!("{:?}", subject.kind).to_lowercase()));
                assert!(exist.insert(subject.id, name).is_none(), "defined twice");
                assert!(told.subjects.insert(subject.id, subject).is_none(), "an id is used twice");
            }
            Notice::Forgotten(id) => told.lines.push(format!("-{}", exist.remove(&id).expect("only what exists is forgotten"))),
            Notice::Listed => told.lines.push("complete".to_owned()),
            Notice::Event(Event::Tick(tick)) => {
                assert!(tick.samples.iter().all(|sample| exist.contains_key(&sample.subject)), "defined before it is named");
                let order = |sample: &sluicebox_contract::Sample| (sample.subject, sample.metric);
                assert!(tick.samples.is_sorted_by(|one, other| order(one) < order(other)), "in order, each once");
                told.ticks.push(tick);
            }
            Notice::Event(other) | Notice::Tracked(other, _) => panic!("{other:?}"),
        }
    }
    told
}

impl Told {
    /// Every reading of a metric of the subjects of this name, in the order of the ticks.
    pub(crate) fn readings(&self, name: &str, metric: Metric) -> Vec<Reading> {
        let samples = self.ticks.iter().flat_map(|tick| &tick.samples);
        let wanted = samples.filter(|sample| sample.metric == metric && self.subjects[&sample.subject].name == name);
        wanted.map(|sample| sample.reading).collect()
    }

    /// The one subject of this name.
    pub(crate) fn subject(&self, name: &str) -> &Subject {
        let mut named = self.subjects.values().filter(|subject| subject.name == name);
        let subject = named.next().expect("it was defined");
        assert!(named.next().is_none(), "there is one {name}");
        subject
    }

    /// How much a counter of the subjects of this name has grown in all.
    pub(crate) fn growth(&self, name: &str, metric: Metric) -> u64 {
        let increase = |reading| match reading {
            Reading::Counter { increase, .. } => increase.map_or(0, |increase| increase.amount),
            other => panic!("{other:?}"),
        };
        self.readings(name, metric).into_iter().map(increase).sum()
    }
}

/// Waits until what was told is as expected.
pub(crate) async fn until(recorder: &Recorder, holds: impl Fn(&Told) -> bool) -> Told {
    recorder.until(|_| holds(&told(recorder))).await;
    told(recorder)
}

/// Waits until these lines stand there, in this order, perhaps with others between them.
pub(crate) async fn until_lines(recorder: &Recorder, expected: &[&str]) -> Told {
    until(recorder, |told| {
        let mut lines = told.lines.iter();
        expected.iter().all(|expected| lines.any(|line| line == expected))
    })
    .await
}
