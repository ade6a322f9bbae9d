//! What must have come of a scene, so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::PoisonError;

use anyhow::Result;

use super::super::cluster::Gone;
use super::super::collector::Run;
use super::super::config::{own, sinks};
use super::super::disk::Disk;
use super::super::metrics::Metrics;
use super::super::pages::TARGETS;
use super::super::plan::{Server, Trouble};
use super::super::spill::{self, Spilled};
use super::super::stream::{self, End, Handed, Line, RunFacts};
use super::super::{documents, events};
use super::Scene;

/// For how long, in milliseconds, it may not be known that a pod was told of: the tenth of a second that is promised, and as much again for writing it
/// down. A busy machine takes longer.
const NOT_KNOWN_YET: i64 = 200;
/// The same where nobody has heard when it was told.
const NOT_HEARD_YET: i64 = 1500;
/// The same where nobody has heard, and it ends as it should: what is under way then is told.
const KNOWN_WITHIN: i64 = 300;
/// How long, in milliseconds, what is for one server may take while another one is away: less than it is away.
const LATE: i64 = 2500;

impl Scene<'_> {
    /// What is not as it should be, given what the program had taken in a while ago.
    pub(super) async fn faults(&mut self, taken_in: &Metrics) -> Result<Vec<String>> {
        for (at, line) in self.servers.reader.take() {
            let Some(line) = stream::parse(&line, self.plan.seed) else { continue };
            if let Line::Value(item) = &line {
                self.first_seen.entry(*item).or_insert(at);
            }
            self.arrived.push(line);
        }
        let given: Vec<Vec<usize>> = (0..TARGETS.len()).map(|target| self.pages.given(target)).collect();
        let written = self.lines(&self.output);
        let metrics = self.collector.metrics().await?;
        let mut faults = accounts(&metrics, &sinks(&self.plan), self.is_damaged);
        for (sink, lines) in [("broker", &self.arrived), ("lines", &written)] {
            let runs = self.facts(sink, taken_in, &metrics);
            let handed = Handed { given: &given, series: self.plan.series, runs: &runs, excused: &self.excused };
            faults.extend(stream::faults(&handed, lines).into_iter().map(|fault| format!("{sink}: {fault}")));
        }
        faults.extend(self.spill_faults(&written, &given, &metrics));
        self.outcome.told = self.arrived.len() + written.len();
        faults.extend(documents::meta_faults(&self.output.path.join("meta"), &self.api.namespace, &self.cluster.pods().await?));
        let (maps, mut map_faults) = self.api.config_maps().await?;
        let hash = self.servers.hash(&own("metadata", self.plan.seed)).await?;
        let truth = self.cluster.truth();
        // What has gone while nobody looked is not noticed where nothing is remembered.
        let anything = self.collector.runs.len() > 1 && (!self.plan.reconciles || self.is_damaged);
        let none = BTreeSet::new();
        let told = self.listener.heard().map(|lines| events::times(&lines));
        let leftovers =
            truth.gone.iter().filter(|gone| self.may_be_left(gone, told.as_ref())).map(|gone| &gone.address).collect();
        // Where documents expire, nothing is left of whatever has gone, noticed or not.
        let left = if self.plan.expires.is_some() { Some(&none) } else { (!anything).then_some(&leftovers) };
        faults.extend(documents::hash_faults(&hash, &truth, left));
        if self.plan.maps.is_some() {
            // What nobody has put again is removed once all that is there is written.
            self.outcome.in_maps = maps.len();
            map_faults.extend(documents::hash_faults(&maps, &truth, Some(&none)));
            faults.extend(map_faults.into_iter().map(|fault| format!("ConfigMaps: {fault}")));
        }
        self.outcome.changes = truth.changes;
        faults.extend(truth.refused.iter().cloned());
        if let Some(heard) = self.listener.heard() {
            self.outcome.told += heard.len();
            faults.extend(events::faults(&heard, &truth.put, &truth.there, &self.spans(), self.gaps()));
        }
        drop(truth);
        faults.extend(self.late());
        faults.extend(self.broken.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        Ok(faults)
    }

    /// The lines of a file on this disk.
    fn lines(&self, disk: &Disk) -> Vec<Line> {
        let text = fs::read_to_string(disk.path.join("lines/lines.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| stream::parse(line, self.plan.seed)).collect()
    }

    /// What is wrong with the sink that may drop, where there is one.
    fn spill_faults(&mut self, written: &[Line], given: &[Vec<usize>], metrics: &Metrics) -> Vec<String> {
        let (Some(plan), Some(run)) = (self.plan.spill, self.collector.runs.last()) else { return Vec::new() };
        let here = self.lines(&self.spill);
        self.outcome.dropped = count(metrics.account("spill").dropped);
        let (excused, account) = (BTreeSet::new(), metrics.account("spill"));
        let handed = Handed { given, series: self.plan.series, runs: &[], excused: &excused };
        let mut faults = Vec::new();
        stream::order(&handed, &here, &mut faults);
        if !self.is_damaged {
            let spilled = Spilled {
                drops: plan.drops,
                has_store: plan.store.is_some(),
                dropped: count(account.dropped),
                began: run.began,
                is_only_run: self.collector.runs.len() == 1,
                outages: self.spill_full.clone(),
            };
            let given = |line: &Line| match line {
                Line::Value(item) => self.pages.time(item.target, item.number),
                Line::Up { at, .. } | Line::Failure { at, .. } => Some(*at),
            };
            faults.extend(spill::faults(&spilled, &here, written, given));
        }
        faults.into_iter().map(|fault| format!("spill: {fault}")).collect()
    }

    /// What took too long to arrive where it could, because another server was away.
    fn late(&mut self) -> Option<String> {
        let away = self.plan.outage()?;
        let mut slowest = 0;
        if away != Server::Broker {
            let ages = self.first_seen.iter().filter_map(|(item, at)| Some(at - self.pages.time(item.target, item.number)?));
            slowest = slowest.max(ages.max().unwrap_or(0));
        }
        if away == Server::Broker
            && let Some(heard) = self.listener.heard()
        {
            let truth = self.cluster.truth();
            slowest = slowest.max(events::slowest(&heard, &self.listener.times(), &truth.put));
        }
        self.outcome.slowest_beside = slowest;
        // Whatever passes a few tasks and processes is late a few times where each is.
        (slowest > LATE + 5 * self.collector.watcher.lag())
            .then(|| format!("while {away:?} was away, what was for others took up to {slowest} ms"))
    }

    /// What is known of the runs, as far as this sink is concerned.
    fn facts(&self, sink: &str, taken_in: &Metrics, now: &Metrics) -> Vec<RunFacts> {
        let last = self.collector.runs.len().saturating_sub(1);
        let disk_is_full = self.plan.has(|trouble| matches!(trouble, Trouble::FullState | Trouble::ReadOnlyState(_)));
        let facts = |(number, run): (usize, &Run)| {
            let is_last = number == last;
            let account = run.last.as_ref().map(|metrics| metrics.account(sink)).unwrap_or_default();
            // Of one that was asked to end, all survives that it does not name as lost.
            let survives = |named: &BTreeMap<String, f64>| account.entries - named.get(sink).copied().unwrap_or_default();
            let safe = match (is_last, &run.lost) {
                (true, _) => taken_in.account(sink).entries,
                (_, Some(named)) => survives(named).max(account.safe(disk_is_full)),
                _ => account.safe(disk_is_full),
            };
            let end = match (is_last, run.well) {
                (true, _) => End::None,
                (_, true) => End::Stopped,
                _ => End::Killed,
            };
            let most = is_last.then(|| count(now.account(sink).entries));
            RunFacts { began: run.began, safe: count(safe), most, end }
        };
        self.collector.runs.iter().enumerate().map(facts).collect()
    }

    /// What was told is written down ten times a second: of a pod that was first told of a moment before a kill it is not known that anybody was
    /// told, and when it has gone before the next start, nobody notices.
    fn may_be_left(&self, gone: &Gone, told: Option<&BTreeMap<String, Vec<i64>>>) -> bool {
        if self.plan.has(|trouble| matches!(trouble, Trouble::Freeze | Trouble::FullState | Trouble::ReadOnlyState(_))) {
            return true;
        }
        // Some run has told of it for long enough, or has told of it and ended as it should.
        let is_known = |(number, run): (usize, &Run)| {
            let end = run.ended.unwrap_or(i64::MAX);
            if let Some(told) = told {
                let first = told.get(&gone.address).into_iter().flatten().filter(|at| (run.began..end).contains(at)).min();
                let busy = |at| 2 * self.collector.watcher.longest_silence(at, end);
                return first.is_some_and(|at| run.well || run.ended.is_none() || end - at >= NOT_KNOWN_YET + busy(*at));
            }
            let Some(ready) = self.ready(number) else { return false };
            let known_for = end.min(gone.went) - gone.came.max(ready);
            known_for
                >= match run.ended {
                    Some(_) if run.well => KNOWN_WITHIN,
                    Some(_) => NOT_HEARD_YET,
                    None => 0,
                }
        };
        !self.collector.runs.iter().enumerate().any(is_known)
    }

    /// When a run was ready for the first time, if it ever was.
    fn ready(&self, run: usize) -> Option<i64> {
        let known = self.collector.runs.get(run).and_then(|run| run.ready);
        known.or_else(|| self.collector.watcher.ready(run))
    }

    fn gaps(&self) -> events::Gaps {
        if self.plan.has(|trouble| matches!(trouble, Trouble::Compact | Trouble::KillServer(Server::Api))) {
            events::Gaps::OutOfDate
        } else {
            events::Gaps::Never
        }
    }

    /// In which times each run must have told everything; none where something was lost on purpose.
    fn spans(&self) -> Vec<events::Span> {
        if self.is_damaged {
            return Vec::new();
        }
        let runs = self.collector.runs.iter().enumerate();
        runs.filter_map(|(number, run)| Some(events::Span { from: self.ready(number)?, to: run.ended.unwrap_or(i64::MAX) }))
            .collect()
    }
}

fn count(number: f64) -> u64 {
    format!("{number:.0}").parse().unwrap_or_default()
}

/// What is wrong with what the program says of itself, once all is quiet.
fn accounts(metrics: &Metrics, sinks: &[&str], is_damaged: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for &sink in sinks {
        let account = metrics.account(sink);
        if !account.is_right() {
            faults.push(format!("the account of {sink} is not right: {account:?}"));
        }
        if account.damaged > 0.5 && !is_damaged {
            faults.push(format!("entries in the store of {sink} were lost, and nobody has touched it: {account:?}"));
        }
        // Only one sink may drop, and only what has no room.
        let overflow = if sink == "spill" { account.overflow + account.store_overflow } else { 0.0 };
        if account.held > 0.5 || account.refused > 0.5 || account.dropped - account.damaged - overflow > 0.5 {
            faults.push(format!("entries of {sink} were held, refused or dropped: {account:?}"));
        }
    }
    let lanes = metrics.sum("sluicebox_lane_dropped_events_total", &[]);
    if lanes > 0.5 {
        faults.push(format!("lanes have dropped {lanes} events"));
    }
    faults
}
