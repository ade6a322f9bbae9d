//! Starts every task and thread, waits for the stop, and ends them by closing: sources first, then lanes, then outlets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::meter::{LaneMeter, OutletMeter};
use sluicebox_contract::{Backoff, Fault, Shaper, Sink, Source};
use tokio::sync::{oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tracing::{error, info};

use crate::fanout::{Branch, Fanout};
use crate::lane::{Lane, LaneSettings};
use crate::outlet::{Origin, Outlet, OutletSettings, Parcel, Upkeep};
use crate::queue::{Bounds, Sender, queue};
use crate::trouble::Trouble;

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
    /// The module with its version, for whoever reads the log.
    pub module: String,
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
    kind: Kind,
    name: Arc<str>,
}

/// What kind of part a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Source,
    Lane,
    Sink,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Source => "source",
            Self::Lane => "module",
            Self::Sink => "sink",
        })
    }
}

/// A lane is ready no longer than its thread lives, however that ends.
struct Ready(Arc<LaneMeter>);

impl Drop for Ready {
    fn drop(&mut self) {
        self.0.ready.set(0);
    }
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
            upkeep: Upkeep::new(&settings),
            complaints: 0,
        };
        self.start(Kind::Sink, name, outlet.run());
        self.outlets.push(sender);
        OutletHandle(self.outlets.len() - 1)
    }

    /// Adds a module. It runs on a thread of its own.
    pub fn lane<S: Shaper>(&mut self, name: &str, shaper: S, terms: LaneTerms) -> std::io::Result<LaneHandle> {
        let LaneTerms { module, settings, bounds, meter, outlets, sources } = terms;
        let (sender, receiver) = queue(bounds, Arc::clone(&meter.queue));
        let name: Arc<str> = name.into();
        let handlers = shaper.handlers();
        let ready = Ready(Arc::clone(&meter));
        let lane = Lane {
            origin: Arc::new(Origin { lane: Arc::clone(&name), module }),
            shaper,
            queue: receiver,
            outlets: outlets.iter().filter_map(|outlet| self.outlets.get(outlet.0).cloned()).collect(),
            settings,
            meter,
            unlisted: sources,
            incomplete: false,
            subjects: BTreeMap::new(),
            shunned: BTreeSet::new(),
            forgotten: Vec::new(),
            trouble: Trouble::new(settings.patience),
            backoff: Backoff::new(settings.first_rest, settings.longest_rest),
            open: 0,
            complaints: 0,
        };
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("lane-{name}")).spawn(move || {
            let _ready = ready;
            let unshaped = lane.run();
            // The pipeline may have given up waiting for this thread.
            let _late = done.send(unshaped);
        })?;
        self.start(Kind::Lane, Arc::clone(&name), async move {
            match ended.await {
                Ok(0) => Ok(()),
                Ok(events) => {
                    Err(Fault::skip("cannot shape what was accepted", format!("{events} events were left when the host stopped")))
                }
                Err(_) => Err(Fault::fatal("cannot go on", "the thread has panicked")),
            }
        });
        self.lanes.push(Branch { handlers, queue: sender, lane: name });
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
        self.start(Kind::Source, name.into(), source.run(Fanout::new(branches), stopped));
    }

    fn start(&mut self, kind: Kind, name: Arc<str>, task: impl Future<Output = Result<(), Fault>> + Send + 'static) {
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
        error!(part = %part.kind, name = %part.name, %fault, "ended by a fault");
        report.faults.push(format!("{} `{}`: {fault}", part.kind, part.name));
        part.kind != Kind::Lane
    }
}
