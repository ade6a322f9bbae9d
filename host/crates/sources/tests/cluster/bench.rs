//! A server that misbehaves on demand, and sources that watch one of its nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::SubjectIds;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_sources::Wants;
use sluicebox_sources::kubernetes::{Api, Config as Kubernetes};
use sluicebox_sources::pods::{Config, Pods};
use sluicebox_testkit::api_server::{ApiServer, RequestFault, RequestFaultKind};

use super::{TYPED, pod};

/// The node that is watched.
pub(crate) const NODE: &str = "n1";

/// A server, and a source that watches one of its nodes.
pub(crate) struct Bench {
    pub(crate) server: ApiServer,
    pub(crate) meter: Arc<SourceMeter>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self { server: ApiServer::start().await.expect("the server starts"), meter: Arc::default() }
    }

    /// With these pods in namespace `s`.
    pub(crate) async fn with(names: &[&str]) -> Self {
        let bench = Self::new().await;
        for name in names {
            bench.create(name);
        }
        bench
    }

    pub(crate) fn create(&self, name: &str) {
        self.server.create_pod(pod("s", name, NODE)).expect("it is created");
    }

    pub(crate) fn delete(&self, name: &str) {
        self.server.delete_pod("s", name).expect("it is deleted");
    }

    pub(crate) fn kubernetes(&self) -> Kubernetes {
        Kubernetes { url: Some(self.server.url()), ..Kubernetes::default() }
    }

    pub(crate) async fn source(&self) -> Pods {
        self.source_as(&Config::default(), TYPED).await
    }

    pub(crate) async fn source_as(&self, config: &Config, wants: Wants) -> Pods {
        self.source_by(&self.kubernetes(), config, wants).await
    }

    pub(crate) async fn source_by(&self, kubernetes: &Kubernetes, config: &Config, wants: Wants) -> Pods {
        let api = Api::connect(kubernetes).await.expect("a way to the API server");
        Pods::new(config, api, NODE, wants, Arc::new(SubjectIds::default()), Arc::clone(&self.meter))
    }

    pub(crate) fn fail(&self, watches: Option<bool>, times: u32, kind: RequestFaultKind) {
        self.server.fail(RequestFault { watches, times, kind });
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&SourceMeter) -> bool) {
        let begun = Instant::now();
        while !holds(&self.meter) {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}: {:#?}", self.meter);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
