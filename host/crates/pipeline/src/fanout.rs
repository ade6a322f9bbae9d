//! Hands what one source says to every lane that wants it.

use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Closed, Event, Feed, Handlers, Notice};

use tokio::time::timeout;
use tracing::{info, warn};

use crate::audience::{Audience, Known};
use crate::queue::{Item, Sender, Worth};

/// One lane, as a source sees it.
#[derive(Clone)]
pub struct Branch {
    /// Which events the lane's module wants.
    pub handlers: Handlers,
    /// The lane's queue.
    pub queue: Sender<Notice>,
    /// The lane's name.
    pub lane: Arc<str>,
}

/// A source that has waited so long for one lane says so.
const PATIENCE: Duration = Duration::from_secs(5);

impl Branch {
    async fn send(&self, notice: &Notice) -> Result<(), Closed> {
        let dropped = self.queue.dropped();
        let sent = self.queue.send(notice.clone(), weight(notice));
        tokio::pin!(sent);
        if let Ok(result) = timeout(PATIENCE, &mut sent).await {
            self.complain(dropped);
            return result;
        }
        warn!(lane = %self.lane, hint = "`when-full: drop-oldest` lets the others go on", "its queue is full: the source waits, and with it every lane that it feeds");
        let result = sent.await;
        info!(lane = %self.lane, "the source goes on");
        result
    }

    /// Says that events were dropped: the first time, and then ever more rarely.
    fn complain(&self, before: u64) {
        let so_far = self.queue.dropped();
        if so_far > before && so_far.ilog2() > before.checked_ilog2().unwrap_or(0) || before == 0 && so_far > 0 {
            warn!(lane = %self.lane, so_far, hint = "is its sink away, or its module too slow?", "its queue is full: the oldest events are dropped");
        }
    }
}

/// Only facts may be dropped: what exists is always told.
impl Item for Notice {
    fn worth(&self) -> Worth {
        match self {
            Self::Event(event) if event.is_superseded() => Worth::Sample,
            Self::Event(_) | Self::Tracked(..) => Worth::Fact,
            Self::Defined(_) | Self::Forgotten(_) | Self::Listed => Worth::Kept,
        }
    }

    fn ends(&self) -> bool {
        matches!(self, Self::Forgotten(_))
    }

    fn undoes(&self, earlier: &Self) -> bool {
        matches!((self, earlier), (Self::Forgotten(gone), Self::Defined(subject)) if *gone == subject.id)
    }

    fn needs(&self, earlier: &Self) -> bool {
        let Self::Defined(subject) = earlier else { return false };
        self.event().is_some_and(|event| event.names(|id| id == subject.id))
    }
}

/// The [`Feed`] of one source.
pub struct Fanout {
    branches: Vec<Branch>,
    /// One of them has ended: what is told from then on was not told to all.
    incomplete: bool,
    /// For a source that lanes can join.
    audience: Option<(Audience, Known)>,
}

impl Fanout {
    /// Feeds these lanes.
    pub fn new(branches: Vec<Branch>) -> Self {
        Self { branches, incomplete: false, audience: None }
    }

    /// Feeds these lanes, and those that join.
    pub(crate) fn joined(branches: Vec<Branch>, audience: Audience) -> Self {
        Self { branches, incomplete: false, audience: Some((audience, Known::default())) }
    }

    /// Tells those that have joined what exists; from then on they are told what the others are.
    async fn let_in(&mut self) {
        let Some((audience, known)) = &self.audience else { return };
        for branch in audience.take_joining() {
            let mut there = true;
            for notice in known.notices() {
                there = there && (!wants(branch.handlers, &notice) || branch.send(&notice).await.is_ok());
            }
            if there {
                self.branches.push(branch);
            }
        }
    }
}

impl Feed for Fanout {
    async fn send(&mut self, notice: Notice) -> Result<(), Closed> {
        self.let_in().await;
        if let Some((_, known)) = &mut self.audience {
            known.learn(&notice);
        }
        // A lane whose thread has ended takes nothing any more; the others go on.
        let mut ended = Vec::new();
        for (index, branch) in self.branches.iter().enumerate() {
            if wants(branch.handlers, &notice) && branch.send(&notice).await.is_err() {
                ended.push(index);
            }
        }
        self.incomplete |= !ended.is_empty();
        for index in ended.into_iter().rev() {
            self.branches.remove(index);
        }
        if let Notice::Tracked(_, receipt) = notice
            && !self.incomplete
        {
            receipt.done();
        }
        let joined = |(audience, _): &(Audience, Known)| !audience.end_unless_joined();
        if self.branches.is_empty() && !self.audience.as_ref().is_some_and(joined) { Err(Closed) } else { Ok(()) }
    }
}

/// Each event is given once: typed where the module takes it typed, else as JSON where it takes that.
fn wants(handlers: Handlers, notice: &Notice) -> bool {
    match notice {
        Notice::Defined(_) | Notice::Forgotten(_) => handlers.subjects,
        Notice::Event(event) | Notice::Tracked(event, _) => match event {
            Event::Pod(_) => handlers.pods,
            Event::Service(_) => handlers.services,
            Event::Node(_) => handlers.nodes,
            Event::Object(event) => handlers.takes_json(event.kind),
            Event::Tick(_) => handlers.samples,
            Event::Connections(_) => handlers.connections,
            Event::Inventory(_) => handlers.inventory,
            Event::Series(_) => handlers.series,
        },
        Notice::Listed => true,
    }
}

/// What is known of a subject the lane remembers in any case: only that it is told of it counts.
fn weight(notice: &Notice) -> usize {
    match notice {
        Notice::Event(event) | Notice::Tracked(event, _) => event.weight(),
        Notice::Defined(_) | Notice::Forgotten(_) | Notice::Listed => 64,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sluicebox_contract::{Change, ObjectEvent, ObjectKind, SeriesOrigin, SeriesQuery, SeriesReport, SubjectId, UnixNanos};

    use super::*;

    fn object(kind: ObjectKind) -> Notice {
        Notice::Event(Event::Object(ObjectEvent {
            subject: SubjectId(1),
            kind,
            change: Change::Added,
            observed_at: UnixNanos(1),
            uid: "u".into(),
            namespace: "n".into(),
            name: "p".into(),
            json: None,
        }))
    }

    #[test]
    fn what_a_query_has_found_waits_and_what_was_scraped_makes_room() {
        let series = |origin| {
            let query = SeriesQuery {
                cycle: String::new(),
                name: "up".to_owned(),
                metric: String::new(),
                metric_type: String::new(),
                unit: String::new(),
                origin,
            };
            let nothing = SeriesReport {
                observed_at: UnixNanos(1),
                query: Arc::new(query),
                start_millis: 0,
                end_millis: 0,
                step_millis: 0,
                warnings: Vec::new(),
                failure: None,
                samples: Vec::new(),
                histograms: Vec::new(),
                more: false,
            };
            Notice::Event(Event::Series(Arc::new(nothing))).worth()
        };
        assert!(series(SeriesOrigin::RangeQuery) == Worth::Fact && series(SeriesOrigin::InstantQuery) == Worth::Fact);
        assert!(series(SeriesOrigin::Scrape) == Worth::Sample);
    }

    #[test]
    fn a_module_with_both_handlers_gets_pods_typed_only() {
        let both = Handlers { pods: true, objects: true, ..Handlers::default() };
        assert!(!wants(both, &object(ObjectKind::Pod)));
        assert!(wants(both, &object(ObjectKind::Node)));
    }

    #[test]
    fn a_module_without_pod_handler_gets_pods_as_json() {
        let json = Handlers { objects: true, ..Handlers::default() };
        assert!(wants(json, &object(ObjectKind::Pod)));
    }
}
