//! Who controls the pods, asked while the inventories go on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use sluicebox_contract::{Pod, Workload};
use tokio::time::timeout;

use crate::owners::{Owners, own};

/// So many pods are asked about at once. For the rest it is asked with the next inventories.
const MOST_ASKED: usize = 1024;
/// How long one of them may take. Then it is asked anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// The controllers of pods.
pub(super) struct Controllers {
    owners: Option<Owners>,
    asked: FuturesUnordered<BoxFuture<'static, (String, bool)>>,
    /// The uids of pods that are asked about.
    wanted: HashSet<String>,
    /// Those of them that an inventory waits for.
    awaited: HashSet<String>,
}

impl Controllers {
    /// Without `owners` each pod has its own controller and nobody above.
    pub(super) fn new(owners: Option<Owners>) -> Self {
        Self { owners, asked: FuturesUnordered::new(), wanted: HashSet::new(), awaited: HashSet::new() }
    }

    /// Asks about the pods of which not all is known, unless that is done already. What is asked now is waited for.
    pub(super) fn ask<'a>(&mut self, pods: impl Iterator<Item = &'a Arc<Pod>>) {
        self.awaited.clear();
        let Some(owners) = &self.owners else { return };
        for pod in pods {
            if self.asked.len() >= MOST_ASKED {
                return;
            }
            if owners.known(pod).is_complete || !self.wanted.insert(pod.uid.clone()) {
                continue;
            }
            self.awaited.insert(pod.uid.clone());
            let (owners, pod) = (owners.clone(), Arc::clone(pod));
            self.asked.push(Box::pin(async move {
                let is_answered = timeout(PATIENCE, owners.resolve(&pod)).await.is_ok();
                (pod.uid.clone(), is_answered)
            }));
        }
    }

    /// Whether an answer that is waited for has not come.
    pub(super) fn are_awaited(&self) -> bool {
        !self.awaited.is_empty()
    }

    /// Nothing is waited for any more; what comes later is news.
    pub(super) fn wait_no_longer(&mut self) {
        self.awaited.clear();
    }

    /// Ready when something was answered; whether it is news that nobody has waited for. Loses nothing when it is dropped.
    pub(super) async fn answered(&mut self) -> bool {
        let Some((uid, is_answered)) = self.asked.next().await else { return std::future::pending().await };
        self.wanted.remove(&uid);
        !self.awaited.remove(&uid) && is_answered
    }

    /// Who controls the pod, as far as is known.
    pub(super) fn of(&self, pod: &Pod) -> Vec<Workload> {
        self.owners.as_ref().map_or_else(|| own(pod), |owners| owners.known(pod).owners)
    }
}
