//! When the node is looked at, and what lanes are told.
//!
//! An inventory is made in three steps: processes are looked at by a thread of the blocking pool, those answers about controllers that have
//! just been asked for are waited for, and then everything is told. What is heard meanwhile is in it, and has another one follow soon.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant as SteadyInstant};

use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{Event, Fault, Feed, Notice, ObjectKind, UnixNanos};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use super::book::Book;
use super::config::Config;
use super::controllers::Controllers;
use super::watches::Heard;
use crate::end::End;
use crate::processes::{self, Processes};
use crate::watch::Mirror;

/// Changes come together.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// From one inventory to the next, however much changes.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// So long the answers about controllers are waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long the node is waited for once the pods are known. Without the right to see it, pods are told all the same.
const PATIENCE_FOR_NODE: Duration = Duration::from_secs(5);

/// The source at work.
pub(super) struct Rounds {
    /// Which node it is to be.
    node: String,
    period: Duration,
    host_proc: PathBuf,
    book: Book,
    controllers: Controllers,
    heard: mpsc::Receiver<Heard>,
    mirror: Mirror,
    meter: Arc<SourceMeter>,
    step: Step,
    /// When the next inventory begins; none until the pods are known.
    due: Option<Instant>,
    told_at: Option<Instant>,
    /// Something was heard after processes were looked at.
    is_behind: bool,
    has_warned: Warned,
}

/// What is said once.
#[derive(Default)]
struct Warned {
    unreadable: bool,
    unseen: bool,
    not_all: bool,
}

type Look = (UnixNanos, Duration, io::Result<Processes>);

/// How far the inventory is that is being made.
enum Step {
    None,
    Looking(JoinHandle<Look>),
    Waiting { observed_at: UnixNanos, processes: Box<Processes>, until: Instant },
}

/// Why the loop wakes.
enum Wake {
    Heard(Heard),
    /// Whether it is news.
    Answered(bool),
    Due,
    Looked(Result<Look, Fault>),
    WaitedEnough,
}

impl Rounds {
    pub(super) fn new(
        config: &Config,
        node: &str,
        controllers: Controllers,
        heard: mpsc::Receiver<Heard>,
        mirror: Mirror,
        meter: Arc<SourceMeter>,
    ) -> Self {
        Self {
            node: node.to_owned(),
            period: config.period.0,
            host_proc: config.host_proc.clone(),
            book: Book::default(),
            controllers,
            heard,
            mirror,
            meter,
            step: Step::None,
            due: None,
            told_at: None,
            is_behind: false,
            has_warned: Warned::default(),
        }
    }

    /// Goes on until nobody listens any more.
    pub(super) async fn run(mut self, mut feed: impl Feed) -> Result<(), Fault> {
        loop {
            let wake = self.wake().await;
            if let Err(end) = self.round(wake, &mut feed).await {
                return end.result();
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let due = self.due.filter(|_| matches!(self.step, Step::None));
        tokio::select! {
            biased;
            Some(heard) = self.heard.recv() => Wake::Heard(heard),
            is_news = self.controllers.answered() => Wake::Answered(is_news),
            wake = self.step.ended() => wake,
            () = until(due) => Wake::Due,
        }
    }

    async fn round(&mut self, wake: Wake, feed: &mut impl Feed) -> Result<(), End> {
        match wake {
            Wake::Heard(heard) => self.hear(heard, feed).await?,
            Wake::Answered(is_news) => {
                if is_news {
                    self.soon(DEBOUNCE);
                }
            }
            Wake::Due => {
                let host_proc = self.host_proc.clone();
                self.step = Step::Looking(spawn_blocking(move || look(&host_proc)));
            }
            Wake::Looked(look) => self.looked(look?),
            Wake::WaitedEnough => self.controllers.wait_no_longer(),
        }
        self.mirror.show();
        if self.controllers.are_awaited() {
            return Ok(());
        }
        match std::mem::replace(&mut self.step, Step::None) {
            Step::Waiting { observed_at, processes, .. } => self.tell(observed_at, &processes, feed).await,
            other => {
                self.step = other;
                Ok(())
            }
        }
    }

    async fn hear(&mut self, heard: Heard, feed: &mut impl Feed) -> Result<(), End> {
        let is_end_of_nodes = matches!(heard, Heard::Listed(ObjectKind::Node));
        let (notice, is_news) = self.book.hear(heard);
        // They are listed once.
        if is_end_of_nodes && !self.book.has_node() {
            tracing::warn!(
                source = "inventory",
                hint = "name the node by `node-name`, `NODE_NAME` or `sources.inventory.node`, as `kubectl get nodes` shows it",
                "the API server knows no node `{}`: inventories are without it and, most likely, without pods",
                self.node
            );
        }
        if is_news {
            let is_known = self.book.node_is_listed() || self.told_at.is_some();
            self.soon(if is_known { DEBOUNCE } else { PATIENCE_FOR_NODE });
        }
        match notice {
            Some(notice) => Ok(feed.send(notice).await?),
            None => Ok(()),
        }
    }

    /// The next inventory is another one: it is made after so long, unless it is made earlier anyway.
    fn soon(&mut self, wait: Duration) {
        if !self.book.pods_are_listed() {
            return;
        }
        self.is_behind |= !matches!(self.step, Step::None);
        let now = Instant::now();
        let earliest = self.told_at.map_or(now, |told_at| told_at + SHORTEST_PAUSE);
        let due = (now + wait).max(earliest);
        self.due = Some(self.due.map_or(due, |known| known.min(due)));
    }

    fn looked(&mut self, (observed_at, took, processes): Look) {
        self.meter.ticks.observe(took);
        let processes = processes.unwrap_or_else(|error| {
            if !std::mem::replace(&mut self.has_warned.unreadable, true) {
                let path = self.host_proc.display();
                let hint = "`host-proc` of the source says where the host's processes are to be seen";
                tracing::warn!(source = "inventory", hint, "cannot read {path}: {error}: containers are told without processes");
            }
            Processes::default()
        });
        self.warn(&processes);
        self.controllers.ask(self.book.pods());
        self.step = Step::Waiting { observed_at, processes: Box::new(processes), until: Instant::now() + PATIENCE };
    }

    fn warn(&mut self, processes: &Processes) {
        let not_seen = u64::try_from(processes.not_seen()).unwrap_or(u64::MAX);
        self.meter.beyond_limit.add(not_seen);
        if not_seen > 0 && !std::mem::replace(&mut self.has_warned.not_all, true) {
            tracing::warn!(source = "inventory", not_seen, "there are more processes than are looked at: the rest is left out");
        }
        let are_unseen = processes.count() > 0 && !processes.know_pods() && self.book.expects_processes();
        if are_unseen && !std::mem::replace(&mut self.has_warned.unseen, true) {
            tracing::warn!(
                source = "inventory",
                hint = "give the pod `hostPID: true`, or mount the host's `/proc` and name it as `host-proc`",
                "no process belongs to a pod although pods run: containers are told without processes"
            );
        }
    }

    async fn tell(&mut self, observed_at: UnixNanos, processes: &Processes, feed: &mut impl Feed) -> Result<(), End> {
        let controllers = &self.controllers;
        let inventories = self.book.inventories(observed_at, processes, |pod| controllers.of(pod));
        let now = Instant::now();
        // What has changed meanwhile may have other processes now.
        let pause = if std::mem::take(&mut self.is_behind) { SHORTEST_PAUSE } else { self.period };
        (self.told_at, self.due) = (Some(now), Some(now + pause));
        self.meter.subjects.set(i64::try_from(self.book.subjects()).unwrap_or(i64::MAX));
        for inventory in inventories {
            feed.send(Notice::Event(Event::Inventory(Arc::new(inventory)))).await?;
            self.meter.events.increment();
        }
        if self.meter.listed.get() == 0 {
            feed.send(Notice::Listed).await?;
            self.meter.listed.set(1);
        }
        Ok(())
    }
}

fn look(host_proc: &Path) -> Look {
    let (observed_at, begun) = (UnixNanos::now(), SteadyInstant::now());
    let processes = processes::scan(host_proc);
    (observed_at, begun.elapsed(), processes)
}

impl Step {
    /// Ready when there is something to be done; never for an inventory that has not begun.
    async fn ended(&mut self) -> Wake {
        match self {
            Self::None => std::future::pending().await,
            Self::Looking(handle) => Wake::Looked(handle.await.map_err(|_| {
                Fault::fatal("cannot look at processes", "the thread that reads them has panicked")
                    .hint("this is a defect of sluicebox: please report it with the lines of the log before this one")
            })),
            Self::Waiting { until, .. } => {
                sleep_until(*until).await;
                Wake::WaitedEnough
            }
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
