//! Which number of which meter is shown under which name.

mod held;
mod sinks;
mod special;

use std::fmt::Error;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use sluicebox_contract::meter::{Counter, Durations, Gauge, LaneMeter, LeaseMeter, SourceMeter, SwapMeter};

use super::{ConfigRow, DeadLetterRow, LaneRow, SinkRow, SourceRow};
use crate::registries::PullMeter;

/// The meters at one moment.
#[derive(Debug)]
pub(super) struct Exposition {
    pub(super) sources: Vec<SourceRow>,
    pub(super) lanes: Vec<LaneRow>,
    pub(super) sinks: Vec<SinkRow>,
    pub(super) dead_letters: Option<DeadLetterRow>,
    pub(super) config: ConfigRow,
    /// While anything works for the whole cluster.
    pub(super) lease: Option<Arc<LeaseMeter>>,
    /// For each module of a registry.
    pub(super) pulls: Vec<(String, Arc<PullMeter>)>,
}

/// Which number of a meter.
type Read<Meter, Number> = fn(&Meter) -> &Number;
type Labels<'text> = Vec<(&'static str, &'text str)>;

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let information = [("version", env!("CARGO_PKG_VERSION"))];
        let mut metric = encoder.encode_descriptor("sluicebox_build", "The version of the program", None, MetricType::Info)?;
        metric.encode_info(&information)?;
        self.sources(&mut encoder)?;
        self.readings(&mut encoder)?;
        self.lanes(&mut encoder)?;
        self.fates(&mut encoder)?;
        self.swaps(&mut encoder)?;
        self.pulls(&mut encoder)?;
        self.sinks(&mut encoder)?;
        self.stores(&mut encoder)?;
        self.kafka(&mut encoder)?;
        self.dead_letters(&mut encoder)?;
        self.queues(&mut encoder)?;
        self.lease(&mut encoder)?;
        self.config(&mut encoder)
    }
}

fn source_labels(row: &SourceRow) -> Labels<'_> {
    let mut labels = vec![("source", row.name.as_str())];
    // A lane that was added while the program runs has sources of its own.
    labels.extend(row.lane.as_deref().map(|lane| ("lane", lane)));
    labels
}

fn lane_labels(row: &LaneRow) -> Labels<'_> {
    vec![("lane", row.name.as_str()), ("module", &row.module.name), ("version", &row.module.version)]
}

impl Exposition {
    fn sources(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &SourceMeter)> =
            self.sources.iter().map(|row| (source_labels(row), row.meter.as_ref())).collect();
        counter(
            encoder,
            &rows,
            "sluicebox_source_events",
            "Events handed on; a pod that is wanted in two forms counts once for each",
            |meter| &meter.events,
        )?;
        counter(encoder, &rows, "sluicebox_source_lists", "Times that the whole list was read", |meter| &meter.lists)?;
        counter(encoder, &rows, "sluicebox_source_retries", "Errors of the outside that led to another try", |meter| {
            &meter.retries
        })?;
        counter(encoder, &rows, "sluicebox_source_skipped", "Objects left out because they could not be read", |meter| {
            &meter.skipped
        })?;
        counter(encoder, &rows, "sluicebox_source_uncached", "Objects not remembered because the cache was full", |meter| {
            &meter.uncached
        })?;
        gauge(encoder, &rows, "sluicebox_source_listed", "1 once all that was there at the start has been told", |meter| {
            &meter.listed
        })?;
        gauge(encoder, &rows, "sluicebox_source_connected", "1 while the outside answers", |meter| &meter.connected)?;
        gauge(encoder, &rows, "sluicebox_source_cached_objects", "Objects remembered", |meter| &meter.cached_objects)?;
        gauge(encoder, &rows, "sluicebox_source_cached_bytes", "Bytes that they take, roughly", |meter| &meter.cached_bytes)?;
        let remembering: Vec<_> = rows.into_iter().filter(|(_, meter)| meter.remembers.get() == 1).collect();
        announced(encoder, &remembering)
    }

    fn lanes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &LaneMeter)> = self.lanes.iter().map(|row| (lane_labels(row), row.meter.as_ref())).collect();
        counter(encoder, &rows, "sluicebox_lane_events", "Events given to the module", |meter| &meter.events)?;
        counter(encoder, &rows, "sluicebox_lane_entries", "Entries that the module made", |meter| &meter.entries)?;
        counter(encoder, &rows, "sluicebox_lane_traps", "Calls that ended in a trap, the deadline or a limit", |meter| {
            &meter.traps
        })?;
        counter(encoder, &rows, "sluicebox_lane_instances", "Instances started, the first included", |meter| &meter.instances)?;
        let dropped: [(&str, Read<LaneMeter, Counter>); 4] = [
            ("refused", |meter| &meter.refused),
            ("deadly", |meter| &meter.deadly),
            ("missed", |meter| &meter.missed),
            ("overflow", |meter| &meter.queue.dropped),
        ];
        let help = "Events left out: refused by the module, deadly to it, missed while the lane rested or waited for its share of the processor, dropped from a full queue";
        let mut metric = encoder.encode_descriptor("sluicebox_lane_dropped_events", help, None, MetricType::Counter)?;
        for (labels, meter) in &rows {
            for (reason, read) in dropped {
                let mut labels = labels.clone();
                labels.push(("reason", reason));
                count(&mut metric, &labels, read(meter))?;
            }
        }
        gauge(encoder, &rows, "sluicebox_lane_ready", "1 while an instance is at work", |meter| &meter.ready)?;
        gauge(encoder, &rows, "sluicebox_lane_queue_length", "Notices that wait", |meter| &meter.queue.length)?;
        gauge(encoder, &rows, "sluicebox_lane_queue_bytes", "Bytes that they take, roughly", |meter| &meter.queue.bytes)?;
        gauge(
            encoder,
            &rows,
            "sluicebox_lane_resting",
            "1 while the lane rests because its module fails again and again",
            |meter| &meter.resting,
        )?;
        gauge(encoder, &rows, "sluicebox_lane_memory_bytes", "Bytes of memory that the instance holds", |meter| {
            &meter.memory_bytes
        })?;
        counter(encoder, &rows, "sluicebox_lane_recycles", "Instances replaced as planned", |meter| &meter.recycles)?;
        seconds(encoder, &rows, "sluicebox_lane_cpu", "Processor time of the lane's thread", |meter| &meter.cpu_nanos)?;
        let help = "Time for which the lane has waited because it had used its share of the processor";
        seconds(encoder, &rows, "sluicebox_lane_throttled", help, |meter| &meter.throttled_nanos)?;
        durations(encoder, &rows, "sluicebox_lane_call", "Time of a call of the module", |meter| &meter.calls)
    }

    fn swaps(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &SwapMeter)> =
            self.lanes.iter().map(|row| (vec![("lane", row.name.as_str())], row.swaps.as_ref())).collect();
        let results: [(&str, Read<SwapMeter, Counter>); 3] = [
            ("swapped", |meter| &meter.swapped),
            ("refused", |meter| &meter.failed),
            ("rolled-back", |meter| &meter.rolled_back),
        ];
        let help =
            "New versions of a module: put in place, refused while the old one goes on, or taken back for the last good one";
        let mut metric = encoder.encode_descriptor("sluicebox_lane_reloads", help, None, MetricType::Counter)?;
        for (labels, meter) in &rows {
            for (result, read) in results {
                let mut labels = labels.clone();
                labels.push(("result", result));
                count(&mut metric, &labels, read(meter))?;
            }
        }
        durations(encoder, &rows, "sluicebox_lane_swap_pause", "Time for which events have waited for a swap", |meter| {
            &meter.pauses
        })?;
        let help = "Time from the moment that a change was seen until the new version was in place";
        durations(encoder, &rows, "sluicebox_lane_reload", help, |meter| &meter.reloads)
    }

    fn pulls(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        if self.pulls.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Labels<'_>, &PullMeter)> =
            self.pulls.iter().map(|(module, meter)| (vec![("module", module.as_str())], meter.as_ref())).collect();
        let results: [(&str, Read<PullMeter, Counter>); 4] = [
            ("taken", |meter| &meter.taken),
            ("unchanged", |meter| &meter.unchanged),
            ("away", |meter| &meter.away),
            ("refused", |meter| &meter.refused),
        ];
        let help = "Looks at a registry: a new version was pulled, nothing is new, it did not answer, or what it has was refused";
        let mut metric = encoder.encode_descriptor("sluicebox_pulls", help, None, MetricType::Counter)?;
        for (labels, meter) in &rows {
            for (result, read) in results {
                let mut labels = labels.clone();
                labels.push(("result", result));
                count(&mut metric, &labels, read(meter))?;
            }
        }
        gauge(encoder, &rows, "sluicebox_pull_connected", "1 while the registry of the module answers", |meter| &meter.connected)
    }

    fn dead_letters(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(row) = &self.dead_letters else { return Ok(()) };
        let rows = [(Vec::new(), row.meter.as_ref())];
        counter(encoder, &rows, "sluicebox_dead_letters_kept", "Dead letters kept on disk", |meter| &meter.kept)?;
        counter(encoder, &rows, "sluicebox_dead_letters_lost", "Dead letters that could not be kept", |meter| &meter.lost)?;
        counter(encoder, &rows, "sluicebox_dead_letters_overflow", "Dead letters lost because the disk was slower", |meter| {
            &meter.queue.dropped
        })?;
        let (letters, bytes) = row.letters.held();
        let figures = [
            ("sluicebox_dead_letters_held", "Dead letters on disk", letters),
            ("sluicebox_dead_letters_held_bytes", "Bytes of the dead letters on disk", bytes),
        ];
        for (name, help, figure) in figures {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&i64::try_from(figure).unwrap_or(i64::MAX))?;
        }
        let help = "Dead letters that had to go for newer ones";
        let mut metric = encoder.encode_descriptor("sluicebox_dead_letters_evicted", help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&row.letters.evicted(), None)
    }

    fn config(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let row = [(Vec::new(), self.config.meter.as_ref())];
        counter(encoder, &row, "sluicebox_config_reloads", "Times that a changed configuration was taken", |meter| &meter.taken)?;
        counter(encoder, &row, "sluicebox_config_refused", "Times that a changed configuration was refused", |meter| {
            &meter.refused
        })?;
        let help = "Changes of the configuration that wait for a restart";
        gauge(encoder, &row, "sluicebox_config_needs_restart", help, |meter| &meter.needs_restart)
    }
}

fn counter<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Counter>,
) -> Result<(), Error> {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    each(metric, rows, |metric, meter| metric.encode_counter::<NoLabelSet, _, u64>(&read(meter).get(), None))
}

/// Nanoseconds, shown as seconds.
fn seconds<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Counter>,
) -> Result<(), Error> {
    let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
    each(metric, rows, |metric, meter| {
        let time = Duration::from_nanos(read(meter).get());
        metric.encode_counter::<NoLabelSet, _, u64>(&time.as_secs_f64(), None)
    })
}

fn gauge<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Gauge>,
) -> Result<(), Error> {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    each(metric, rows, |metric, meter| metric.encode_gauge(&read(meter).get()))
}

fn durations<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Durations>,
) -> Result<(), Error> {
    let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    each(metric, rows, |metric, meter| {
        let durations = read(meter);
        let mut buckets: Vec<(f64, u64)> = durations.buckets().map(|(bound, count)| (bound.as_secs_f64(), count)).collect();
        let within: u64 = buckets.iter().map(|(_, count)| count).sum();
        let count = durations.count();
        buckets.push((f64::INFINITY, count.saturating_sub(within)));
        metric.encode_histogram::<NoLabelSet>(durations.sum().as_secs_f64(), count, &buckets, None)
    })
}

/// One value for each row.
fn each<M>(
    mut metric: MetricEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    encode: impl Fn(&mut MetricEncoder<'_>, &M) -> Result<(), Error>,
) -> Result<(), Error> {
    rows.iter().try_for_each(|(labels, meter)| labelled(&mut metric, labels, |metric| encode(metric, meter)))
}

/// A value under its labels; without any there are no braces either.
fn labelled(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if labels.is_empty() { encode(metric) } else { encode(&mut metric.encode_family(&labels.as_slice())?) }
}

fn count(metric: &mut MetricEncoder<'_>, labels: &Labels<'_>, counter: &Counter) -> Result<(), Error> {
    number(metric, labels, counter.get())
}

fn number(metric: &mut MetricEncoder<'_>, labels: &Labels<'_>, number: u64) -> Result<(), Error> {
    labelled(metric, labels, |metric| metric.encode_counter::<NoLabelSet, _, u64>(&number, None))
}

/// Of sources whose announcements are remembered.
fn announced(encoder: &mut DescriptorEncoder<'_>, rows: &[(Labels<'_>, &SourceMeter)]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    gauge(encoder, rows, "sluicebox_source_announced_objects", "Objects remembered on disk as announced", |meter| {
        &meter.announced_objects
    })?;
    let results: [(&str, Read<SourceMeter, Counter>); 3] = [
        ("unchanged", |meter| &meter.found_unchanged),
        ("changed", |meter| &meter.found_changed),
        ("gone", |meter| &meter.found_gone),
    ];
    let help = "Objects announced before this run: found as they were, changed since, or gone since";
    let mut metric = encoder.encode_descriptor("sluicebox_source_reconciled", help, None, MetricType::Counter)?;
    for (labels, meter) in rows {
        for (result, read) in results {
            let mut labels = labels.clone();
            labels.push(("result", result));
            count(&mut metric, &labels, read(meter))?;
        }
    }
    Ok(())
}
