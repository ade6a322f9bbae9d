//! The ends of connections become subjects: `heard.rs` is what the API server tells, `cluster.rs` what is known of it, with `tenures.rs` for
//! who had an address when; `resolve.rs` decides whose an end is, `subjects.rs` what lanes are told of that.

mod cidrs;
mod cluster;
#[cfg(test)]
mod fuzz;
pub(super) mod heard;
mod known;
mod resolve;
mod subjects;
mod tenures;
mod time;

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};
use sluicebox_contract::{Connection, End, Notice, Pod, SubjectIds, UnixNanos, Workload};

use super::row::Reported;
use super::totals::Growth;
use crate::processes::Processes;
pub(super) use cidrs::parse as cidr;
use cluster::Cluster;
use heard::Heard;
use resolve::Resolver;
pub(super) use resolve::{Sides, Source};
use subjects::Subjects;

/// So many looks at the processes are kept: a process that has ended since the last one is still known by the one before.
const PICTURES: usize = 2;

/// Everything that tells ends apart.
pub(super) struct Ends {
    cluster: Cluster,
    subjects: Subjects,
    /// The newest first.
    pictures: Vec<Processes>,
    node: String,
    history: Duration,
    covers_cluster: bool,
    /// The API server answers: what it has not told of is not there.
    is_current: bool,
    ticks_per_second: u64,
}

/// When a report came, by all clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: UnixNanos,
    /// As tracers count, without the time for which the node slept.
    pub(super) since_boot: Duration,
    /// For how long it slept.
    pub(super) slept: Duration,
    pub(super) steady: Instant,
}

impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        let since_boot = read(ClockId::Monotonic);
        let slept = read(ClockId::Boottime).saturating_sub(since_boot);
        Self { at: UnixNanos::now(), since_boot, slept, steady: Instant::now() }
    }

    /// When something was last seen of a connection.
    fn of(self, row: &Reported) -> UnixNanos {
        time::moment(row.last_seen, self.at, self.since_boot)
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

impl Ends {
    /// Knows nobody yet. `covers_cluster` says that all of the cluster will be told, not only what belongs to a node.
    /// Addresses in these `ranges` are never outside.
    pub(super) fn new(node: &str, history: Duration, covers_cluster: bool, ranges: &[String], ids: Arc<SubjectIds>) -> Self {
        Self {
            cluster: Cluster::new(ranges),
            subjects: Subjects::new(ids),
            pictures: Vec::new(),
            node: node.to_owned(),
            history,
            covers_cluster,
            is_current: false,
            ticks_per_second: clock_ticks_per_second(),
        }
    }

    /// Says whether the API server answers.
    pub(super) fn set_current(&mut self, is_current: bool) {
        self.is_current = is_current;
    }

    pub(super) fn hear(&mut self, heard: Heard) {
        self.cluster.hear(heard);
    }

    /// Whether everything that was there at the start is known.
    pub(super) fn is_listed(&self) -> bool {
        self.cluster.is_listed()
    }

    /// Takes a new look at the processes in.
    pub(super) fn look(&mut self, picture: Processes) {
        self.pictures.truncate(PICTURES - 1);
        self.pictures.insert(0, picture);
    }

    /// It cannot be looked at the processes: what was seen is of no use any more.
    pub(super) fn cannot_look(&mut self) {
        self.pictures.clear();
    }

    /// Whether the processes that were seen are those of the node: its first one and some of pods are among them.
    pub(super) fn sees_host(&self) -> bool {
        self.pictures.first().is_some_and(Processes::see_host)
    }

    /// Whose the sources of these connections are; `sides` learns what the others can learn from that.
    pub(super) fn sources(&mut self, rows: &[Reported], sides: &mut Sides, moment: Moment) -> Vec<Source> {
        let (resolver, subjects) = self.resolver(moment);
        let source = |row: &Reported| {
            let source = resolver.source(row, moment.of(row), subjects);
            sides.learn(row, source);
            source
        };
        rows.iter().map(source).collect()
    }

    /// The connections with both of their ends, once the sources of the whole report are known.
    pub(super) fn connections(
        &mut self,
        rows: &[Reported],
        sources: &[Source],
        sides: &Sides,
        moment: Moment,
        mut growth: impl FnMut(&Reported) -> Growth,
    ) -> Vec<Connection> {
        let (resolver, subjects) = self.resolver(moment);
        let connection = |(row, source): (&Reported, &Source)| {
            let growth = growth(row);
            let destination = resolver.destination(row, sides, moment.of(row), subjects);
            Connection {
                source: End { subject: source.subject, address: row.source, port: row.source_port },
                destination: End { subject: destination, address: row.destination, port: row.destination_port },
                protocol: row.protocol,
                direction: row.direction,
                pid: row.pid,
                network_namespace: row.network_namespace,
                sent: growth.sent,
                received: growth.received,
                retransmits: growth.retransmits,
                last_seen_nanos: row.last_seen,
            }
        };
        rows.iter().zip(sources).map(connection).collect()
    }

    fn resolver(&mut self, moment: Moment) -> (Resolver<'_>, &mut Subjects) {
        let Self { cluster, subjects, pictures, node, covers_cluster, is_current, ticks_per_second, .. } = self;
        let knows_outside = *covers_cluster && *is_current && cluster.is_complete();
        let ticks_per_second = *ticks_per_second;
        let (now, slept) = (moment.steady, moment.slept);
        (Resolver { cluster, pictures, node, knows_outside, now, slept, ticks_per_second }, subjects)
    }

    /// Forgets what is of no use any more.
    pub(super) fn expire(&mut self, moment: Moment) {
        self.cluster.expire(moment.at, self.history);
        self.subjects.expire(moment.steady);
    }

    /// What lanes are to be told of subjects.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        self.subjects.take_notices()
    }

    /// Who controls a pod in the end.
    pub(super) fn learn_workload(&mut self, uid: &str, workload: Option<&Workload>) {
        self.cluster.learn_workload(uid, workload);
    }

    /// The pod of this uid.
    pub(super) fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        self.cluster.pod(uid).map(|known| &known.pod)
    }

    /// How many subjects are told, and how often there was no room for one since the last question.
    pub(super) fn counts(&mut self) -> (usize, u64) {
        (self.subjects.count(), self.subjects.take_no_room())
    }

    /// Whether no further subject can be numbered.
    pub(super) fn is_out_of_ids(&self) -> bool {
        self.subjects.is_out_of_ids()
    }
}
