//! What the parts count, as Prometheus text; and what is logged.

use std::fmt::{Error, Write as _};
use std::io::IsTerminal;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use sluicebox_contract::meter::{Counter, Durations, Gauge, LaneMeter, OutletMeter, SourceMeter};
use tracing_subscriber::EnvFilter;

use crate::config::{Level, Log, LogFormat};

/// Everything that is measured, by name.
#[derive(Debug, Default)]
pub struct Meters {
    /// Each source.
    pub sources: Vec<(String, Arc<SourceMeter>)>,
    /// Each lane.
    pub lanes: Vec<LaneMeters>,
    /// Each sink.
    pub sinks: Vec<(String, Arc<OutletMeter>)>,
}

/// A lane and the module in it.
#[derive(Debug)]
pub struct LaneMeters {
    /// The lane's name.
    pub name: String,
    /// The module, as the configuration names it.
    pub module: String,
    /// The component's short digest; empty when it could not be loaded.
    pub version: String,
    /// What it counts.
    pub meter: Arc<LaneMeter>,
    /// Why the module could not be loaded.
    pub failure: Option<String>,
}

/// Starts logging to standard error. `RUST_LOG` goes before the configuration.
pub fn log(log: &Log) {
    let level = match log.level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug => "debug,kube_client=info,kube_runtime=info,hyper=info,tower=info,rustls=info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start in one process keeps the first's logging.
    let _already = match log.format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// The metrics as Prometheus text.
pub fn render(meters: &Arc<Meters>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition(Arc::clone(meters))));
    let mut text = String::new();
    // Writing into a String does not fail.
    let _infallible = prometheus_client::encoding::text::encode(&mut text, &registry);
    classic(&text)
}

/// The library writes `OpenMetrics`. In the older text format (version 0.0.4), which everybody reads, a counter's name ends with
/// `_total` in its description as well, and there are neither units nor an end.
fn classic(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        let Some((keyword, rest)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(' ')) else {
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let kind = if keyword == "TYPE" { Some(rest) } else { lines.peek().and_then(|next| next.rsplit(' ').next()) };
        let (suffix, rest) = match kind {
            Some("counter") => ("_total", rest),
            Some("info") => ("_info", if keyword == "TYPE" { "gauge" } else { rest }),
            _ => ("", rest),
        };
        // Writing into a String does not fail.
        let _infallible = writeln!(out, "# {keyword} {name}{suffix} {rest}");
    }
    out
}

#[derive(Debug)]
struct Exposition(Arc<Meters>);

/// Which number of a meter.
type Read<Meter, Number> = fn(&Meter) -> &Number;
type Labels<'text> = Vec<(&'static str, &'text str)>;

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let information = [("version", env!("CARGO_PKG_VERSION"))];
        let mut metric = encoder.encode_descriptor("sluicebox_build", "The version of the program", None, MetricType::Info)?;
        metric.encode_info(&information)?;
        self.sources(&mut encoder)?;
        self.lanes(&mut encoder)?;
        self.sinks(&mut encoder)
    }
}

impl Exposition {
    fn sources(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &SourceMeter)> =
            self.0.sources.iter().map(|(name, meter)| (vec![("source", name.as_str())], meter.as_ref())).collect();
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
        gauge(encoder, &rows, "sluicebox_source_cached_bytes", "Bytes that they take, roughly", |meter| &meter.cached_bytes)
    }

    fn lanes(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &LaneMeter)> = self
            .0
            .lanes
            .iter()
            .map(|lane| {
                (vec![("lane", lane.name.as_str()), ("module", &lane.module), ("version", &lane.version)], lane.meter.as_ref())
            })
            .collect();
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
        let help =
            "Events left out: refused by the module, deadly to it, missed while the lane rested, dropped from a full queue";
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
        durations(encoder, &rows, "sluicebox_lane_call", "Time of a call of the module", |meter| &meter.calls)
    }

    fn sinks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &OutletMeter)> =
            self.0.sinks.iter().map(|(name, meter)| (vec![("sink", name.as_str())], meter.as_ref())).collect();
        counter(encoder, &rows, "sluicebox_sink_written", "Entries written", |meter| &meter.written)?;
        counter(encoder, &rows, "sluicebox_sink_refused", "Entries that the sink refused for good", |meter| &meter.refused)?;
        counter(encoder, &rows, "sluicebox_sink_retries", "Tries that failed and were made again", |meter| &meter.retries)?;
        gauge(encoder, &rows, "sluicebox_sink_ready", "1 unless the last write failed", |meter| &meter.ready)?;
        gauge(encoder, &rows, "sluicebox_sink_queue_length", "Batches of entries that wait", |meter| &meter.queue.length)?;
        gauge(encoder, &rows, "sluicebox_sink_queue_bytes", "Bytes that they take, roughly", |meter| &meter.queue.bytes)?;
        durations(encoder, &rows, "sluicebox_sink_write", "Time of one write", |meter| &meter.writes)?;
        durations(
            encoder,
            &rows,
            "sluicebox_sink_delay",
            "Time from an event's observation to its entries being written",
            |meter| &meter.delay,
        )
    }
}

fn counter<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Counter>,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    rows.iter().try_for_each(|(labels, meter)| count(&mut metric, labels, read(meter)))
}

fn count(metric: &mut MetricEncoder<'_>, labels: &Labels<'_>, counter: &Counter) -> Result<(), Error> {
    metric.encode_family(&labels.as_slice())?.encode_counter::<NoLabelSet, _, u64>(&counter.get(), None)
}

fn gauge<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Gauge>,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    rows.iter().try_for_each(|(labels, meter)| metric.encode_family(&labels.as_slice())?.encode_gauge(&read(meter).get()))
}

fn durations<M>(
    encoder: &mut DescriptorEncoder<'_>,
    rows: &[(Labels<'_>, &M)],
    name: &str,
    help: &str,
    read: Read<M, Durations>,
) -> Result<(), Error> {
    let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
    rows.iter().try_for_each(|(labels, meter)| {
        let durations = read(meter);
        let mut buckets: Vec<(f64, u64)> = durations.buckets().map(|(bound, count)| (bound.as_secs_f64(), count)).collect();
        let within: u64 = buckets.iter().map(|(_, count)| count).sum();
        let count = durations.count();
        buckets.push((f64::INFINITY, count.saturating_sub(within)));
        metric.encode_family(&labels.as_slice())?.encode_histogram::<NoLabelSet>(
            durations.sum().as_secs_f64(),
            count,
            &buckets,
            None,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_classic_prometheus_text() {
        let meters = Meters::default();
        let lane = LaneMeters {
            name: "a".to_owned(),
            module: "m".to_owned(),
            version: "v".to_owned(),
            meter: Arc::default(),
            failure: None,
        };
        lane.meter.events.add(3);
        lane.meter.calls.observe(std::time::Duration::from_micros(7));
        let text = render(&Arc::new(Meters { lanes: vec![lane], ..meters }));
        for line in [
            "# TYPE sluicebox_build_info gauge",
            "# HELP sluicebox_lane_events_total Events given to the module",
            "# TYPE sluicebox_lane_events_total counter",
            "sluicebox_lane_events_total{lane=\"a\",module=\"m\",version=\"v\"} 3",
            "# TYPE sluicebox_lane_ready gauge",
            "# TYPE sluicebox_lane_call_seconds histogram",
            "sluicebox_lane_call_seconds_bucket{le=\"0.00001\",lane=\"a\",module=\"m\",version=\"v\"} 1",
            "sluicebox_lane_call_seconds_bucket{le=\"+Inf\",lane=\"a\",module=\"m\",version=\"v\"} 1",
            "sluicebox_lane_call_seconds_count{lane=\"a\",module=\"m\",version=\"v\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }
}
