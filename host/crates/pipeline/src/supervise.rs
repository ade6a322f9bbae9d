//! Starts every task and thread, waits for the stop, and ends them by closing: sources first, then lanes, then outlets.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::meter::{LaneMeter, OutletMeter};
use sluicebox_contract::{Fault, Handlers, Shaper, Sink, Source};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tracing::{error, info};

use crate::backoff::Backoff;
use crate::fanout::{Branch, Fanout};
use crate::lane::{Lane, LaneSettings};
use crate::outlet::{Outlet, OutletSettings, Parcel};
use crate::queue::{Bounds, Sender, queue};

/// Everything that runs. Built from the sinks up, so that whoever sends has somewhere to send to; each part starts when it is added.
pub struct Pipeline {
    tasks: JoinSet<Result<(), Fault>>,
    parts: HashMap<Id, Part>,
    outlets: Vec<Sender<Parcel>>,
    lanes: Vec<Branch>,
    stop: watch::Sender<bool>,
}

/// Names an outlet of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletHandle(usize);

/// Names a lane of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneHandle(usize);

/// How a sink takes part.
pub struct OutletTerms {
    /// How it works.
    pub settings: OutletSettings,
    /// What its queue may hold.
    pub bounds: Bounds,
    /// What it counts.
    pub meter: Arc<OutletMeter>,
    /// How many lanes will feed it.
    pub lanes: usize,
}

/// How a module takes part.
pub struct LaneTerms {
    /// How it works.
    pub settings: LaneSettings,
    /// What its queue may hold.
    pub bounds: Bounds,
    /// What it counts.
    pub meter: Arc<LaneMeter>,
    /// Where its entries go.
    pub outlets: Vec<OutletHandle>,
    /// How many sources will feed it.
    pub sources: usize,
}

/// What an operator calls a task: `source pods`, `lane galileo`, `sink events`.
#[derive(Clone, Debug)]
struct Part {
    kind: &'static str,
    name: Arc<str>,
}

/// How the run ended.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults that ended the run, or came up while it ended.
    pub faults: Vec<String>,
    /// Who had not finished at the deadline.
    pub late: Vec<String>,
}

impl Report {
    /// Whether everything ended as asked.
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty() && self.late.is_empty()
    }
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            parts: HashMap::new(),
            outlets: Vec::new(),
            lanes: Vec::new(),
            stop: watch::Sender::new(false),
        }
    }
}

impl Pipeline {
    /// Adds a sink.
    pub fn outlet<K: Sink>(&mut self, name: &str, sink: K, terms: OutletTerms) -> OutletHandle {
        let OutletTerms { settings, bounds, meter, lanes } = terms;
        let (sender, receiver) = queue(bounds, Arc::clone(&meter.queue));
        let name: Arc<str> = name.into();
        let outlet = Outlet {
            name: Arc::clone(&name),
            sink,
            queue: receiver,
            settings,
            meter,
            unsettled: lanes,
            backoff: Backoff::new(settings.first_wait, settings.longest_wait),
            failures: 0,
            worked: false,
        };
        self.start("sink", name, outlet.run());
        self.outlets.push(sender);
        OutletHandle(self.outlets.len() - 1)
    }

    /// Adds a module. It runs on a thread of its own.
    pub fn lane<S: Shaper>(&mut self, name: &str, shaper: S, terms: LaneTerms) -> std::io::Result<LaneHandle> {
        let LaneTerms { settings, bounds, meter, outlets, sources } = terms;
        let (sender, receiver) = queue(bounds, Arc::clone(&meter.queue));
        let name: Arc<str> = name.into();
        let handlers = shaper.handlers();
        let lane = Lane {
            name: Arc::clone(&name),
            shaper,
            queue: receiver,
            outlets: outlets.iter().filter_map(|outlet| self.outlets.get(outlet.0).cloned()).collect(),
            settings,
            meter,
            unlisted: sources,
            subjects: std::collections::BTreeMap::new(),
            backoff: Backoff::new(settings.first_rest, settings.longest_rest),
            faults: 0,
            open: 0,
        };
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("lane-{name}")).spawn(move || {
            lane.run();
            // The pipeline may have given up waiting for this thread.
            let _late = done.send(());
        })?;
        self.start("lane", name, async move { ended.await.map_err(|_| Fault::fatal("cannot go on", "the thread has panicked")) });
        self.lanes.push(Branch { handlers, queue: sender });
        Ok(LaneHandle(self.lanes.len() - 1))
    }

    /// Adds a source that feeds these lanes.
    pub fn source<S: Source>(&mut self, name: &str, source: S, lanes: &[LaneHandle]) {
        let branches = lanes.iter().filter_map(|lane| self.lanes.get(lane.0).cloned()).collect();
        let mut stop = self.stop.subscribe();
        let stopped = async move {
            // An error means that the pipeline is gone: stop as well.
            let _gone = stop.wait_for(|stop| *stop).await;
        };
        self.start("source", name.into(), source.run(Fanout::new(branches), stopped));
    }

    /// Which events a lane's module wants.
    pub fn handlers(&self, lane: LaneHandle) -> Handlers {
        self.lanes.get(lane.0).map(|branch| branch.handlers).unwrap_or_default()
    }

    fn start(&mut self, kind: &'static str, name: Arc<str>, task: impl Future<Output = Result<(), Fault>> + Send + 'static) {
        let id = self.tasks.spawn(task).id();
        self.parts.insert(id, Part { kind, name });
    }

    /// Runs until `stop` is ready or a part cannot go on; then stops the sources, lets everything drain, and gives up after `grace`.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>, grace: Duration) -> Report {
        // From here on only sources hold the lanes' queues and only lanes the outlets': closing runs down by itself.
        self.outlets.clear();
        self.lanes.clear();
        let mut report = Report::default();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                ended = self.tasks.join_next_with_id() => match ended {
                    None => break,
                    Some(ended) => if self.note(ended, &mut report) { break },
                },
            }
        }
        info!(grace = ?grace, "stopping: sources first, then what they have told is written");
        self.stop.send_replace(true);
        let drained = timeout(grace, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.note(ended, &mut report);
            }
        })
        .await;
        if drained.is_err() {
            report.late = self.parts.values().map(|part| format!("{} {}", part.kind, part.name)).collect();
            report.late.sort();
            error!(late = ?report.late, "not finished at the deadline: what they held is lost");
        }
        report
    }

    /// Takes note of a part that has ended; says whether that ends the run. A lane that ends leaves the others at work.
    fn note(&mut self, ended: Result<(Id, Result<(), Fault>), JoinError>, report: &mut Report) -> bool {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(Fault::fatal("cannot go on", error))),
        };
        let Some(part) = self.parts.remove(&id) else {
            return false;
        };
        let Err(fault) = result else { return false };
        error!(part = part.kind, name = %part.name, %fault, "ended by a fault");
        report.faults.push(format!("{} `{}`: {fault}", part.kind, part.name));
        part.kind != "lane"
    }
}
