//! Starts every task and thread, waits for the stop, and ends them by closing: sources first, then lanes, then outlets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select;
use sluicebox_contract::meter::{DeadLetterMeter, LaneMeter, OutletMeter};
use sluicebox_contract::{Backoff, CpuShare, DeadLetters, Fault, ModuleIdentity, Shaper, Sink, Source};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::audience::Audience;
use crate::change::{Change, Changes, changes};
use crate::fanout::{Branch, Fanout};
use crate::lane::{Age, Lane, LaneSettings};
use crate::letters::{Letterbox, WAITING_BYTES, letterbox};
use crate::order::{LaneControl, orders};
use crate::outlet::{Inlet, Origin, Outlet, OutletSettings, StoreTerms};
use crate::part::{AtEnd, Kind, Part, Report};
use crate::queue::{Adjust, Bounds, queue};
use crate::receipts::InHand;
use crate::replay::{EntryAgain, Writing};
use crate::share::Account;
use crate::trouble::Trouble;

/// Everything that runs. Built from the sinks up, so that whoever sends has somewhere to send to; each part starts when it is added.
pub struct Pipeline {
    tasks: JoinSet<Result<(), Fault>>,
    parts: HashMap<Id, Part>,
    outlets: Vec<Inlet>,
    lanes: BTreeMap<LaneHandle, (Branch, Vec<OutletHandle>)>,
    /// How many lanes there were so far.
    numbered: usize,
    letterbox: Option<Letterbox>,
    changes: Option<mpsc::Receiver<Change>>,
    stop: watch::Sender<bool>,
}

/// Names an outlet of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutletHandle(usize);

/// Names a lane of the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneHandle(usize);

/// How a sink takes part.
pub struct OutletTerms {
    /// How it works.
    pub settings: OutletSettings,
    /// What its queue may hold.
    pub bounds: Bounds,
    /// What it counts.
    pub meter: Arc<OutletMeter>,
    /// The lanes that are to feed it from the start, by name. Until each has shaped everything that was there, the sink does not
    /// settle; one that begins late, or ends early and begins again, is waited for.
    pub lanes: Vec<String>,
    /// Where what the sink does not take is put away; none has the lanes wait.
    pub store: Option<StoreTerms>,
}

/// How a module takes part.
pub struct LaneTerms {
    /// The module, for whoever reads the log.
    pub module: ModuleIdentity,
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
    /// Whether the program runs already: the sinks have not counted on this lane.
    pub joins: bool,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self {
            tasks: JoinSet::new(),
            parts: HashMap::new(),
            outlets: Vec::new(),
            lanes: BTreeMap::new(),
            numbered: 0,
            letterbox: None,
            changes: None,
            stop: watch::Sender::new(false),
        }
    }
}

impl Pipeline {
    /// Keeps what cannot be dealt with. Those parts keep theirs that are added after it.
    pub fn dead_letters(&mut self, keeper: impl DeadLetters, meter: Arc<DeadLetterMeter>) -> std::io::Result<()> {
        self.dead_letters_within(WAITING_BYTES, keeper, meter)
    }

    /// As [`Pipeline::dead_letters`]; so many bytes of letters wait at most.
    pub fn dead_letters_within(
        &mut self,
        bytes: usize,
        keeper: impl DeadLetters,
        meter: Arc<DeadLetterMeter>,
    ) -> std::io::Result<()> {
        let (letterbox, work) = letterbox(keeper, bytes, meter);
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new().name("dead-letters".to_owned()).spawn(move || {
            work.run();
            // The pipeline may have given up waiting for this thread.
            let _late = done.send(());
        })?;
        let panicked = |_| Fault::fatal("cannot keep dead letters any more", "the thread has panicked");
        self.start(Kind::DeadLetters, "disk".into(), async move { ended.await.map_err(panicked) });
        self.letterbox = Some(letterbox);
        Ok(())
    }

    /// The way to change the pipeline while it runs. With it, the run does not end by itself when its sources do.
    pub fn changes(&mut self) -> Changes {
        let (changes, receiver) = changes();
        self.changes = Some(receiver);
        changes
    }

    /// Adds a sink.
    pub fn outlet<K: Sink>(&mut self, name: &str, sink: K, terms: OutletTerms) -> OutletHandle {
        let OutletTerms { settings, bounds, meter, lanes, store } = terms;
        let (sender, receiver) = queue(bounds, Arc::clone(&meter.queue));
        let name: Arc<str> = name.into();
        let inlet = Inlet { queue: sender, meter: Arc::clone(&meter) };
        let letterbox = self.letterbox.clone();
        let outlet =
            Outlet::new(&name, sink, receiver, letterbox, (settings, store, Arc::clone(&meter), lanes), self.stop.subscribe());
        let id = self.start(Kind::Sink, name, outlet.run());
        if let Some(part) = self.parts.get_mut(&id) {
            part.meter = Some(meter);
        }
        self.outlets.push(inlet);
        OutletHandle(self.outlets.len() - 1)
    }

    /// Adds a module. It runs on a thread of its own.
    pub fn lane<S: Shaper>(&mut self, name: &str, shaper: S, terms: LaneTerms) -> std::io::Result<LaneControl<S>> {
        let LaneTerms { module, settings, bounds, meter, outlets, sources, joins } = terms;
        let (sender, receiver) = queue(bounds, Arc::clone(&meter.queue));
        let (orders, waiting_orders) = orders();
        let name: Arc<str> = name.into();
        let handlers = shaper.handlers();
        let lane = Lane {
            origin: Arc::new(Origin { lane: Arc::clone(&name), module, again: false, replay: None }),
            shaper,
            queue: receiver,
            orders: waiting_orders,
            letterbox: self.letterbox.clone(),
            outlets: outlets.iter().filter_map(|outlet| self.outlets.get(outlet.0).cloned()).collect(),
            settings,
            fates: Arc::clone(&meter.fates),
            meter,
            unlisted: sources,
            incomplete: false,
            subjects: BTreeMap::new(),
            shunned: BTreeMap::new(),
            suspects: BTreeMap::new(),
            unbearable: BTreeSet::new(),
            untold: BTreeMap::new(),
            forgotten: Vec::new(),
            trouble: Trouble::new(settings.patience),
            backoff: Backoff::new(settings.first_rest, settings.longest_rest),
            open: 0,
            complaints: 0,
            crowded: 0,
            alive: false,
            last: Vec::new(),
            tap: None,
            in_hand: InHand::default(),
            carried: None,
            account: Account::new(CpuShare { millicores: 1000 }),
            unsaved: 0,
            age: Age::default(),
        };
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new().name(format!("lane-{name}")).spawn(move || {
            let unshaped = if joins { lane.join_and_run() } else { lane.run() };
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
        let handle = LaneHandle(self.numbered);
        self.numbered += 1;
        let valve = sender.valve();
        self.lanes.insert(handle, (Branch { handlers, queue: sender, lane: name }, outlets));
        Ok(LaneControl { handle, orders, valve })
    }

    /// The queue of a sink, for whoever changes what it may hold.
    pub fn outlet_queue(&self, outlet: OutletHandle) -> Option<Arc<dyn Adjust + Send + Sync>> {
        let outlet = self.outlets.get(outlet.0)?;
        Some(Arc::new(outlet.queue.valve()))
    }

    /// The lane of this name.
    pub fn lane_named(&self, name: &str) -> Option<LaneHandle> {
        self.lanes.iter().find(|(_, (branch, _))| *branch.lane == *name).map(|(handle, _)| *handle)
    }

    /// Ends a lane: it takes nothing more, shapes what it has, and ends. A source that feeds no other lane ends with it.
    pub fn remove_lane(&mut self, lane: LaneHandle) {
        let Some((branch, _)) = self.lanes.remove(&lane) else { return };
        branch.queue.valve().shut();
        for part in self.parts.values_mut().filter(|part| part.kind == Kind::Lane && part.name == branch.lane) {
            part.removed = true;
        }
    }

    /// Adds a source that feeds these lanes. It ends when the pipeline stops, or when none of the lanes is there any more.
    pub fn source<S: Source>(&mut self, name: &str, source: S, lanes: &[LaneHandle]) {
        self.source_and_then(name, source, lanes, || ());
    }

    /// As [`Pipeline::source`]; `at_end` is called once when the source has ended, however that came.
    pub fn source_and_then<S: Source>(
        &mut self,
        name: &str,
        source: S,
        lanes: &[LaneHandle],
        at_end: impl FnOnce() + Send + 'static,
    ) {
        let branches = self.branches(lanes);
        let audience = Audience::new(&branches);
        self.start_source(name, source, audience, Fanout::new(branches), at_end);
    }

    /// As [`Pipeline::source_and_then`], for a source that further lanes can join while it runs.
    pub fn source_to_join<S: Source>(
        &mut self,
        name: &str,
        source: S,
        lanes: &[LaneHandle],
        at_end: impl FnOnce() + Send + 'static,
    ) -> Audience {
        let branches = self.branches(lanes);
        let audience = Audience::new(&branches);
        let fanout = Fanout::joined(branches, audience.clone());
        self.start_source(name, source, audience.clone(), fanout, at_end);
        audience
    }

    /// Has a lane fed by a source that runs: it is told what exists when the source speaks next. False when the source has ended.
    pub fn join(&self, audience: &Audience, lane: LaneHandle) -> bool {
        self.lanes.get(&lane).is_some_and(|(branch, _)| audience.join(branch.clone()))
    }

    fn branches(&self, lanes: &[LaneHandle]) -> Vec<Branch> {
        lanes.iter().filter_map(|lane| self.lanes.get(lane)).map(|(branch, _)| branch.clone()).collect()
    }

    fn start_source<S: Source>(
        &mut self,
        name: &str,
        source: S,
        audience: Audience,
        fanout: Fanout,
        at_end: impl FnOnce() + Send + 'static,
    ) {
        let mut stop = self.stop.subscribe();
        let heard = audience.clone();
        let stopped = async move {
            let deserted = heard.deserted();
            // An error means that the pipeline is gone: stop as well.
            let asked = stop.wait_for(|stop| *stop);
            tokio::pin!(asked, deserted);
            let _either = select(asked, deserted).await;
        };
        let at_end = AtEnd::new(move || {
            audience.end();
            at_end();
        });
        self.start(Kind::Source, name.into(), async move {
            let _at_end = at_end;
            source.run(fanout, stopped).await
        });
    }

    /// Writes an entry once more that was a dead letter: to this sink, after what waits for it. None when there is no such sink.
    pub fn replay(&self, outlet: OutletHandle, again: EntryAgain) -> Option<Writing> {
        self.outlets.get(outlet.0).map(|outlet| Writing::of(again, outlet.clone()))
    }

    fn start(&mut self, kind: Kind, name: Arc<str>, task: impl Future<Output = Result<(), Fault>> + Send + 'static) -> Id {
        let id = self.tasks.spawn(task).id();
        self.parts.insert(id, Part { kind, name, removed: false, meter: None });
        id
    }

    /// Runs until `stop` is ready or a part cannot go on; then stops the sources, lets everything drain, and gives up after `grace`.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>, grace: Duration) -> Report {
        let mut report = Report::default();
        let mut changes = self.changes.take();
        if changes.is_none() {
            self.let_go();
        }
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(change) = next(&mut changes) => change(&mut self),
                ended = self.tasks.join_next_with_id(), if changes.is_none() || !self.tasks.is_empty() => match ended {
                    None => break,
                    Some(ended) => if self.note(ended, &mut report) { break },
                },
            }
        }
        drop(changes);
        self.let_go();
        info!(grace = ?grace, "stopping: sources first, then what they have told is written");
        self.stop.send_replace(true);
        let drained = timeout(grace, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.note(ended, &mut report);
            }
        })
        .await;
        if drained.is_err() {
            let are_at_work = self.parts.values().any(Part::is_at_work);
            let late = self.parts.values().filter(|part| part.is_at_work() || !are_at_work);
            report.late = late.map(|part| format!("{} {}", part.kind, part.name)).collect();
            report.late.sort();
            error!(late = ?report.late, "not finished at the deadline");
        }
        report
    }

    /// From here on only sources hold the lanes' queues and only lanes the outlets': closing runs down by itself.
    fn let_go(&mut self) {
        self.outlets.clear();
        self.lanes.clear();
        self.letterbox = None;
    }

    /// Takes note of a part that has ended; says whether that ends the run. Without a lane the others work on, and without whoever keeps
    /// dead letters all do.
    fn note(&mut self, ended: Result<(Id, Result<(), Fault>), JoinError>, report: &mut Report) -> bool {
        let (id, result) = match ended {
            Ok((id, result)) => (id, result),
            Err(error) => (error.id(), Err(Fault::fatal("cannot go on", error))),
        };
        let Some(part) = self.parts.remove(&id) else {
            return false;
        };
        let Err(fault) = result else { return false };
        if part.removed {
            warn!(part = %part.kind, name = %part.name, %fault, "removed, but not everything that it had was dealt with");
            return false;
        }
        error!(part = %part.kind, name = %part.name, %fault, "ended by a fault");
        report.faults.push(format!("{} `{}`: {fault}", part.kind, part.name));
        !matches!(part.kind, Kind::Lane | Kind::DeadLetters)
    }
}

async fn next(changes: &mut Option<mpsc::Receiver<Change>>) -> Option<Change> {
    match changes {
        Some(changes) => changes.recv().await,
        None => None,
    }
}
