//! What is done when: the tracer is asked at its turns, whoever pushes is listened to, what the API server tells is taken in meanwhile, and
//! each report is told in parts.

use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::{ConnectionReport, Event, Fault, Feed, Notice, SubjectIds};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep, sleep_until};

use super::config::Config;
use super::ends::{Ends, Moment, Sides};
use super::fetch::Fetch;
use super::listen::{Listen, Peer, Pushed};
use super::outage::Outage;
use super::report::{Reading, Report};
use super::totals::Totals;
use super::trouble::Trouble;
use super::watches::{Known, Learnt};
use crate::end::{End, out_of_ids};
use crate::processes;
use crate::scope::Scope;

/// Connections that are told at once.
const PART: usize = 4096;
/// Between two parts, so that the lanes keep up and none of them has to make room for the next.
const BREATH: Duration = Duration::from_millis(5);
/// How long the first report waits for the API server to tell what exists.
const PATIENCE: Duration = Duration::from_secs(10);
/// The processes are looked at for each report, but no more often.
const LOOKS: Duration = Duration::from_secs(1);
/// Without a report, what is of no use any more is forgotten now and then, and a socket that was removed is made anew.
const TIDY: Duration = Duration::from_secs(5);

/// The source at work.
pub(super) struct Work {
    fetch: Option<Arc<Fetch>>,
    period: Duration,
    listen: Option<Listen>,
    asked: Option<BoxFuture<'static, Result<Report, Trouble>>>,
    turn: Instant,
    /// What its totals were.
    totals: Totals,
    ends: Ends,
    known: Option<Known>,
    host_proc: PathBuf,
    looked: Option<Instant>,
    tidied: Instant,
    outage: Outage,
    is_listed: bool,
    has_warned_of_limit: bool,
    meter: Arc<SourceMeter>,
}

/// Why the loop wakes.
enum Wake {
    Learnt(Learnt),
    Turn,
    Answer(Result<Report, Trouble>),
    Pushed(Pushed),
    Tidy,
}

impl Work {
    pub(super) fn new(
        config: &Config,
        known: Option<Known>,
        node: &str,
        ids: Arc<SubjectIds>,
        meter: Arc<SourceMeter>,
    ) -> Result<Self, Fault> {
        let reading = Reading { limits: config.limits(), codes: config.direction_codes, max_connections: config.max_connections };
        let timeout = config.patience();
        let fetch = |socket: &PathBuf| {
            let (target, user_ids) = (config.target(), config.user_ids.clone());
            Arc::new(Fetch { socket: socket.as_path().into(), target, user_ids, timeout, reading })
        };
        let listen =
            config.listen.as_ref().map(|path| Listen::new(path, config.user_ids.clone(), timeout, reading)).transpose()?;
        let covers_cluster = config.scope == Scope::Cluster && known.is_some();
        Ok(Self {
            fetch: config.socket.as_ref().map(fetch),
            period: config.period.0,
            listen,
            asked: None,
            turn: Instant::now(),
            totals: Totals::default(),
            ends: Ends::new(node, config.history.0, covers_cluster, &config.cluster_cidrs, ids),
            known,
            host_proc: config.host_proc.clone(),
            looked: None,
            tidied: Instant::now(),
            outage: Outage::default(),
            is_listed: false,
            has_warned_of_limit: false,
            meter,
        })
    }

    /// Goes on until nobody listens any more.
    pub(super) async fn run(mut self, mut feed: impl Feed) -> Result<(), Fault> {
        self.wait_for_lists().await;
        self.show();
        if self.fetch.is_none() {
            // Whoever pushes does so when it likes.
            self.meter.listed.set(1);
        }
        self.turn = Instant::now();
        loop {
            let wake = self.wake().await;
            if let Err(end) = self.round(wake, &mut feed).await {
                return end.result();
            }
        }
    }

    /// What exists is known before the first report, unless that takes too long.
    async fn wait_for_lists(&mut self) {
        let Self { known, ends, .. } = self;
        let Some(known) = known else { return };
        let deadline = Instant::now() + PATIENCE;
        while !ends.is_listed() {
            tokio::select! {
                learnt = known.next() => learnt.apply(ends),
                () = sleep_until(deadline) => return,
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let Self { fetch, listen, asked, turn, known, tidied, .. } = self;
        tokio::select! {
            biased;
            learnt = next(known) => Wake::Learnt(learnt),
            answer = answer(asked) => Wake::Answer(answer),
            () = sleep_until(*turn), if fetch.is_some() => Wake::Turn,
            pushed = pushed(listen) => Wake::Pushed(pushed),
            () = sleep_until(*tidied + TIDY) => Wake::Tidy,
        }
    }

    async fn round(&mut self, wake: Wake, feed: &mut impl Feed) -> Result<(), End> {
        match wake {
            Wake::Learnt(learnt) => learnt.apply(&mut self.ends),
            Wake::Turn => self.ask(),
            Wake::Answer(answer) => {
                self.asked = None;
                match answer {
                    Ok(report) => {
                        let mut totals = std::mem::take(&mut self.totals);
                        let told = self.tell(report, &mut totals, feed).await;
                        self.totals = totals;
                        told?;
                    }
                    Err(trouble) => self.fail(&trouble),
                }
            }
            Wake::Pushed(Pushed::Stranger(stranger)) => {
                self.meter.retries.increment();
                self.outage.refused(&stranger);
            }
            Wake::Pushed(Pushed::Report(mut peer, report)) => {
                let Peer { totals, .. } = &mut *peer;
                self.tell(report, totals, feed).await?;
                if let Some(listen) = &mut self.listen {
                    listen.go_on(*peer);
                }
            }
            Wake::Pushed(Pushed::Trouble(trouble)) => self.fail(&trouble),
            Wake::Pushed(Pushed::Nothing) => {}
            Wake::Tidy => {
                self.tidied = Instant::now();
                if let Some(Err(trouble)) = self.listen.as_mut().map(Listen::stay) {
                    self.fail(&trouble);
                }
                self.ends.expire(Moment::now());
                self.hand_on(feed).await?;
            }
        }
        self.show();
        Ok(())
    }

    fn show(&mut self) {
        match &mut self.known {
            Some(known) => known.show(),
            None => self.meter.connected.set(1),
        }
        if self.outage.is_on() {
            self.meter.connected.set(0);
        }
    }

    /// A turn: the tracer is asked, unless it still owes the answer to the one before.
    fn ask(&mut self) {
        self.turn += self.period;
        let now = Instant::now();
        while self.turn <= now {
            self.turn += self.period;
            self.meter.late_ticks.increment();
        }
        let Some(fetch) = &self.fetch else { return };
        if self.asked.is_some() {
            self.meter.late_ticks.increment();
            return;
        }
        let fetch = Arc::clone(fetch);
        self.asked = Some(Box::pin(async move { fetch.fetch().await }));
    }

    fn fail(&mut self, trouble: &Trouble) {
        self.meter.retries.increment();
        self.outage.failed(trouble);
        // A tracer that is away keeps nobody from being ready.
        self.meter.listed.set(1);
    }

    /// Tells a report, with the subjects of its ends.
    async fn tell(&mut self, report: Report, totals: &mut Totals, feed: &mut impl Feed) -> Result<(), End> {
        self.outage.succeeded();
        self.count(&report);
        self.learn_all();
        self.look().await;
        let begun = std::time::Instant::now();
        let moment = Moment::now();
        let since = totals.begin(moment.steady);
        if report.beyond_limit > 0 {
            totals.cut();
        }
        let over_nanos = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
        let mut sides = Sides::default();
        let mut sources = Vec::with_capacity(report.rows.len());
        for part in report.rows.chunks(PART) {
            sources.extend(self.ends.sources(part, &mut sides, moment));
            yield_now().await;
        }
        let mut left = report.rows.len();
        let parts = report.rows.chunks(PART).zip(sources.chunks(PART));
        // A report without connections is told, too.
        let nothing = report.rows.is_empty().then_some((&[][..], &[][..]));
        for (rows, sources) in parts.chain(nothing) {
            let connections = self.ends.connections(rows, sources, &sides, moment, |row| totals.growth(row, since.is_none()));
            left -= rows.len();
            self.hand_on(feed).await?;
            let report = ConnectionReport { observed_at: moment.at, over_nanos, more: left > 0, connections };
            feed.send(Notice::Event(Event::Connections(Arc::new(report)))).await?;
            self.meter.events.increment();
            if left > 0 {
                sleep(BREATH).await;
            }
        }
        totals.end();
        self.meter.ticks.observe(begun.elapsed());
        self.ends.expire(moment);
        self.hand_on(feed).await?;
        self.list(feed).await
    }

    fn count(&mut self, report: &Report) {
        self.meter.unreadable.add(report.unreadable);
        self.meter.beyond_limit.add(report.beyond_limit);
        if report.beyond_limit > 0 && !self.has_warned_of_limit {
            self.has_warned_of_limit = true;
            tracing::warn!(
                source = "tracer",
                left_out = report.beyond_limit,
                hint = "raise `max-connections`; each takes about 300 bytes",
                "a report has more connections than are told: the rest is left out and counted"
            );
        }
    }

    /// What the API server has told by now is known when the ends are told apart.
    fn learn_all(&mut self) {
        if let Some(known) = &mut self.known {
            while let Some(learnt) = known.try_next() {
                learnt.apply(&mut self.ends);
            }
            self.ends.set_current(known.is_current());
        }
    }

    /// Looks at the processes of the node: numbers of processes and namespaces are given again.
    async fn look(&mut self) {
        if self.known.is_none() || self.looked.is_some_and(|looked| looked.elapsed() < LOOKS) {
            return;
        }
        self.looked = Some(Instant::now());
        let host_proc = self.host_proc.clone();
        match spawn_blocking(move || processes::scan(&host_proc)).await {
            Ok(Ok(picture)) => {
                self.ends.look(picture);
                self.outage.sees_host(self.ends.sees_host());
            }
            Ok(Err(error)) => self.cannot_look(&error.to_string()),
            Err(error) => self.cannot_look(&error.to_string()),
        }
    }

    fn cannot_look(&mut self, cause: &str) {
        self.ends.cannot_look();
        self.outage.blind(cause);
    }

    /// Tells lanes of subjects.
    async fn hand_on(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        let notices = self.ends.take_notices();
        if let Some(known) = &mut self.known {
            known.want_workloads(&notices, &self.ends);
            known.want_again(&self.ends);
        }
        for notice in notices {
            feed.send(notice).await?;
        }
        let (subjects, no_room) = self.ends.counts();
        self.meter.subjects.set(i64::try_from(subjects).unwrap_or(i64::MAX));
        self.meter.nameless.add(i64::try_from(no_room).unwrap_or(i64::MAX));
        if self.ends.is_out_of_ids() {
            return Err(out_of_ids("subject").into());
        }
        Ok(())
    }

    /// The first report has been told.
    async fn list(&mut self, feed: &mut impl Feed) -> Result<(), End> {
        if !self.is_listed {
            self.is_listed = true;
            self.meter.listed.set(1);
            feed.send(Notice::Listed).await?;
        }
        Ok(())
    }
}

async fn next(known: &mut Option<Known>) -> Learnt {
    match known {
        Some(known) => known.next().await,
        None => pending().await,
    }
}

async fn answer(asked: &mut Option<BoxFuture<'static, Result<Report, Trouble>>>) -> Result<Report, Trouble> {
    match asked {
        Some(asked) => asked.await,
        None => pending().await,
    }
}

async fn pushed(listen: &mut Option<Listen>) -> Pushed {
    match listen {
        Some(listen) => listen.next().await,
        None => pending().await,
    }
}
