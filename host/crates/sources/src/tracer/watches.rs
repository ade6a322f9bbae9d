//! What the API server is asked in order to tell ends apart: watches of pods, services and nodes, and who controls a pod that is at an end.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Fault, Notice, ObjectKind, Pod, SubjectIds, SubjectKind, Workload};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::config::{Config, PAGE_SIZE};
use super::ends::Ends;
use super::ends::heard::{Heard, Teller};
use crate::kubernetes::Api;
use crate::owners::Owners;
use crate::scope::Scope;
use crate::watch::{Bounds, Follow, Forms, Mirror, Target, length, names};

/// What is heard and waits for being understood.
const HEARD: usize = 64;
/// Pods about whose workload the API server is asked at once, and those that wait for it. What is beyond is asked for later.
const ASKED: usize = 4;
const WAITING: usize = 4096;
/// How long one of them may take, and when it is asked for again if the API server did not tell all.
const PATIENCE: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_mins(10);

/// The watches.
pub(super) struct Watches(Vec<(Follow, Teller)>);

impl Watches {
    /// Watches as `config` says, and where what they hear can be taken.
    pub(super) fn new(config: &Config, api: &Api, node: &str, meter: &Arc<SourceMeter>) -> (Self, Known) {
        let (to, heard) = mpsc::channel(HEARD);
        let mut meters = Vec::new();
        let mut watches = Vec::new();
        for kind in [ObjectKind::Pod, ObjectKind::Service, ObjectKind::Node] {
            let meter = Arc::<SourceMeter>::default();
            let attributes = match kind {
                ObjectKind::Pod => &config.attributes.pods,
                ObjectKind::Service => &config.attributes.services,
                ObjectKind::Node | ObjectKind::Namespace => &config.attributes.nodes,
            };
            let teller = Teller::new(kind, node, attributes.clone(), to.clone(), Arc::clone(&meter));
            watches.push((follow(kind, config, api, node, Arc::clone(&meter)), teller));
            meters.push(meter);
        }
        let owners = config.workloads.then(|| Owners::new(api.clone()));
        let mut known = Known {
            heard,
            meters: meters.clone(),
            mirror: Mirror::new(meters, Arc::clone(meter)),
            owners,
            waiting: VecDeque::new(),
            later: VecDeque::new(),
            wanted: HashSet::new(),
            asked: FuturesUnordered::new(),
        };
        known.mirror.show();
        (Self(watches), known)
    }

    /// Follows all of them, without end.
    pub(super) async fn run(self) -> Result<(), Fault> {
        let follow = self.0.into_iter().map(|(follow, teller)| follow.run(teller, std::future::pending()));
        let mut following: FuturesUnordered<_> = follow.collect();
        // The first that ends, ends all.
        following.next().await.unwrap_or(Ok(()))
    }
}

fn follow(kind: ObjectKind, config: &Config, api: &Api, node: &str, meter: Arc<SourceMeter>) -> Follow {
    let (source, path) = names(kind);
    let field_selector = match (config.scope, kind) {
        (Scope::Node, ObjectKind::Pod) => Some(format!("spec.nodeName={node}")),
        (Scope::Node, ObjectKind::Node) => Some(format!("metadata.name={node}")),
        _ => None,
    };
    Follow {
        api: api.clone(),
        target: Target {
            kind,
            source,
            path,
            first_from_cache: true,
            field_selector,
            page_size: PAGE_SIZE,
            max_page_bytes: length(config.max_page_bytes),
            max_object_bytes: length(config.max_object_bytes),
        },
        bounds: Bounds { objects: config.max_cached_objects, bytes: length(config.max_cached_bytes) },
        forms: Forms { typed: None, json: true, keep_json: false, attributes: crate::Attributes::default() },
        refresh: None,
        // Subjects of their own, which nobody is told.
        ids: Arc::new(SubjectIds::default()),
        meter,
        remembered: None,
    }
}

/// Who controls a pod, as far as the API server tells.
struct Found {
    pod: Arc<Pod>,
    workload: Option<Workload>,
    is_complete: bool,
}

/// Something to be taken in.
pub(super) enum Learnt {
    Heard(Heard),
    Workload { uid: String, workload: Option<Workload> },
}

impl Learnt {
    pub(super) fn apply(self, ends: &mut Ends) {
        match self {
            Self::Heard(heard) => ends.hear(heard),
            Self::Workload { uid, workload } => ends.learn_workload(&uid, workload.as_ref()),
        }
    }
}

/// Where what the watches hear can be taken, and what is asked besides.
pub(super) struct Known {
    heard: mpsc::Receiver<Heard>,
    meters: Vec<Arc<SourceMeter>>,
    mirror: Mirror,
    owners: Option<Owners>,
    waiting: VecDeque<Arc<Pod>>,
    /// The uids of those of which the API server may not have told all, and when it is asked again.
    later: VecDeque<(Instant, String)>,
    /// The uids of pods that wait, now or for later, or are asked for.
    wanted: HashSet<String>,
    asked: FuturesUnordered<BoxFuture<'static, Found>>,
}

impl Known {
    /// Waits for something to be learnt. Loses nothing when it is dropped.
    pub(super) async fn next(&mut self) -> Learnt {
        self.ask();
        tokio::select! {
            biased;
            Some(heard) = self.heard.recv() => Learnt::Heard(heard),
            Some(Found { pod, workload, is_complete }) = self.asked.next() => {
                let uid = pod.uid.clone();
                if !is_complete && self.later.len() < WAITING {
                    self.later.push_back((Instant::now() + LATER, pod.uid.clone()));
                } else {
                    self.wanted.remove(&pod.uid);
                }
                Learnt::Workload { uid, workload }
            }
            else => std::future::pending().await,
        }
    }

    /// What is there already.
    pub(super) fn try_next(&mut self) -> Option<Learnt> {
        self.heard.try_recv().ok().map(Learnt::Heard)
    }

    /// Asks for the workloads of pods that lanes are told of for the first time, or with something new.
    pub(super) fn want_workloads(&mut self, notices: &[Notice], ends: &Ends) {
        if self.owners.is_none() {
            return;
        }
        for notice in notices {
            let Notice::Defined(subject) = notice else { continue };
            let known = |name: &str| subject.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
            let uid = match subject.kind {
                SubjectKind::Pod => Some(subject.uid.as_str()),
                SubjectKind::Container => known("pod-uid"),
                _ => None,
            };
            let Some(pod) = uid.and_then(|uid| ends.pod(uid)) else { continue };
            let has_one = !pod.owners.is_empty() && known("workload-name").is_none();
            if has_one && self.waiting.len() < WAITING && self.wanted.insert(pod.uid.clone()) {
                self.waiting.push_back(Arc::clone(pod));
            }
        }
    }

    /// Asks again for what the API server may tell by now, such as after somebody has given the right to know it. Those who have not been
    /// asked for come first.
    pub(super) fn want_again(&mut self, ends: &Ends) {
        let now = Instant::now();
        while self.waiting.is_empty()
            && let Some((_, uid)) = self.later.pop_front_if(|(at, _)| *at <= now)
        {
            match ends.pod(&uid) {
                Some(pod) => self.waiting.push_back(Arc::clone(pod)),
                None => drop(self.wanted.remove(&uid)),
            }
        }
    }

    fn ask(&mut self) {
        let Self { owners: Some(owners), waiting, asked, .. } = self else { return };
        while asked.len() < ASKED
            && let Some(pod) = waiting.pop_front()
        {
            let owners = owners.clone();
            asked.push(Box::pin(async move {
                let _late = tokio::time::timeout(PATIENCE, owners.resolve(&pod)).await;
                let known = owners.known(&pod);
                // A static pod has its node for a controller, which is no workload.
                let is_complete = known.is_complete && !known.is_refused;
                let workload = known.owners.into_iter().next_back().filter(|top| top.kind != "Node");
                Found { pod, workload, is_complete }
            }));
        }
    }

    /// Whether the API server answers to all of the watches.
    pub(super) fn is_current(&self) -> bool {
        self.meters.iter().all(|meter| meter.connected.get() == 1)
    }

    /// Shows on the meter of the source what the watches count.
    pub(super) fn show(&mut self) {
        self.mirror.show();
    }
}
