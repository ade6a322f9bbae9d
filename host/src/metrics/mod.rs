//! What the parts count: the rows, which come and go while the program runs, and their form as Prometheus text.

mod exposition;

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::registry::Registry;
use sluicebox_contract::ModuleIdentity;
use sluicebox_contract::meter::{Counter, DeadLetterMeter, Gauge, LaneMeter, OutletMeter, SourceMeter, SwapMeter};
use sluicebox_sources::kubernetes::lease::Leadership;
use sluicebox_store::Letters;

use crate::registries::Registries;
use exposition::Exposition;

/// Everything that is measured.
#[derive(Default)]
pub struct Meters {
    rows: Mutex<Rows>,
}

#[derive(Clone, Default)]
struct Rows {
    sources: Vec<SourceRow>,
    lanes: Vec<LaneRow>,
    sinks: Vec<SinkRow>,
    dead_letters: Option<DeadLetterRow>,
    config: ConfigRow,
    leadership: Option<Leadership>,
    registries: Option<Arc<Registries>>,
}

/// A source.
#[derive(Clone, Debug)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// The lane that it feeds alone, because that was added while the program ran.
    pub lane: Option<String>,
    /// What it counts.
    pub meter: Arc<SourceMeter>,
}

/// A lane and the module in it.
#[derive(Clone, Debug, Default)]
pub struct LaneRow {
    /// The lane's name.
    pub name: String,
    /// The module at work, or the one that should be.
    pub module: ModuleIdentity,
    /// What this version of the module counts.
    pub meter: Arc<LaneMeter>,
    /// What becomes of new versions.
    pub swaps: Arc<SwapMeter>,
    /// Why the lane does not run.
    pub failure: Option<String>,
}

/// A sink.
#[derive(Clone, Debug)]
pub struct SinkRow {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub meter: Arc<OutletMeter>,
}

/// Dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterRow {
    /// What is counted.
    pub meter: Arc<DeadLetterMeter>,
    /// Where they are kept.
    pub letters: Letters,
}

/// The configuration file.
#[derive(Clone, Debug, Default)]
pub struct ConfigRow {
    /// What is counted.
    pub meter: Arc<ConfigMeter>,
}

/// What becomes of changes of the configuration file.
#[derive(Debug, Default)]
pub struct ConfigMeter {
    /// Changes that were taken.
    pub taken: Counter,
    /// Changes that were refused.
    pub refused: Counter,
    /// Changed parts that wait for a restart.
    pub needs_restart: Gauge,
}

impl Meters {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        // Nothing panics while the lock is held, so poisoned rows are still whole ones.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exposition(&self) -> Exposition {
        let lease = self.leadership().map(|leadership| leadership.meter());
        let Rows { sources, lanes, sinks, dead_letters, config, leadership: _, registries } = self.rows().clone();
        let pulls = registries.map(|registries| registries.meters()).unwrap_or_default();
        Exposition { sources, lanes, sinks, dead_letters, config, lease, pulls }
    }

    /// Every source.
    pub fn sources(&self) -> Vec<SourceRow> {
        self.rows().sources.clone()
    }

    /// Every lane.
    pub fn lanes(&self) -> Vec<LaneRow> {
        self.rows().lanes.clone()
    }

    /// The lane of this name.
    pub fn lane(&self, name: &str) -> Option<LaneRow> {
        self.rows().lanes.iter().find(|lane| lane.name == name).cloned()
    }

    /// Every sink.
    pub fn sinks(&self) -> Vec<SinkRow> {
        self.rows().sinks.clone()
    }

    /// What is counted of the configuration.
    pub fn config(&self) -> Arc<ConfigMeter> {
        Arc::clone(&self.rows().config.meter)
    }

    /// Shows what an election counts.
    pub fn set_leadership(&self, leadership: Leadership) {
        self.rows().leadership = Some(leadership);
    }

    /// The election that this process takes part in, while anything here works for the whole cluster.
    pub fn leadership(&self) -> Option<Leadership> {
        self.rows().leadership.clone().filter(|leadership| leadership.meter().wanted.get() == 1)
    }

    /// Shows what pulls count.
    pub fn set_registries(&self, registries: Arc<Registries>) {
        self.rows().registries = Some(registries);
    }

    /// Adds a source.
    pub fn add_source(&self, row: SourceRow) {
        self.rows().sources.push(row);
    }

    /// Takes a source away.
    pub fn remove_source(&self, meter: &Arc<SourceMeter>) {
        self.rows().sources.retain(|source| !Arc::ptr_eq(&source.meter, meter));
    }

    /// Adds a sink.
    pub fn add_sink(&self, row: SinkRow) {
        self.rows().sinks.push(row);
    }

    /// Shows what dead letters count.
    pub fn set_dead_letters(&self, meter: Arc<DeadLetterMeter>, letters: Letters) {
        self.rows().dead_letters = Some(DeadLetterRow { meter, letters });
    }

    /// Puts a lane in place of the one of this name, or adds it.
    pub fn set_lane(&self, row: LaneRow) {
        let mut rows = self.rows();
        match rows.lanes.iter_mut().find(|lane| lane.name == row.name) {
            Some(lane) => *lane = row,
            None => rows.lanes.push(row),
        }
    }

    /// Takes a lane away, and the sources that fed it alone.
    pub fn remove_lane(&self, name: &str) {
        let mut rows = self.rows();
        rows.lanes.retain(|lane| lane.name != name);
        rows.sources.retain(|source| source.lane.as_deref() != Some(name));
    }
}

/// The metrics as Prometheus text.
pub fn render(meters: &Meters) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(meters.exposition()));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_classic_prometheus_text() {
        let meters = Meters::default();
        let module = ModuleIdentity { name: "m".to_owned(), version: "v".to_owned(), digest: "d".to_owned() };
        let lane = LaneRow { name: "a".to_owned(), module, ..LaneRow::default() };
        lane.meter.events.add(3);
        lane.meter.cpu_nanos.add(1_500_000_000);
        lane.meter.calls.observe(std::time::Duration::from_micros(7));
        meters.set_lane(lane);
        let text = render(&meters);
        for line in [
            "# TYPE sluicebox_build_info gauge",
            "# HELP sluicebox_lane_events_total Events given to the module",
            "# TYPE sluicebox_lane_events_total counter",
            "sluicebox_lane_events_total{lane=\"a\",module=\"m\",version=\"v\"} 3",
            "# TYPE sluicebox_lane_ready gauge",
            "# TYPE sluicebox_lane_cpu_seconds_total counter",
            "sluicebox_lane_cpu_seconds_total{lane=\"a\",module=\"m\",version=\"v\"} 1.5",
            "sluicebox_lane_reloads_total{lane=\"a\",result=\"refused\"} 0",
            "sluicebox_config_needs_restart 0",
            "# TYPE sluicebox_lane_call_seconds histogram",
            "sluicebox_lane_call_seconds_bucket{le=\"0.00001\",lane=\"a\",module=\"m\",version=\"v\"} 1",
            "sluicebox_lane_call_seconds_bucket{le=\"+Inf\",lane=\"a\",module=\"m\",version=\"v\"} 1",
            "sluicebox_lane_call_seconds_count{lane=\"a\",module=\"m\",version=\"v\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(!text.contains("sluicebox_source_tick") && !text.contains("kafka"), "nothing is said of what is not there");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }

    #[test]
    fn a_source_that_reads_and_a_client_of_kafka_have_numbers_of_their_own() {
        let meters = Meters::default();
        let meter = Arc::<SourceMeter>::default();
        meter.reads.set(1);
        meter.late_ticks.add(2);
        meter.ticks.observe(std::time::Duration::from_micros(7));
        meters.add_source(SourceRow { name: "cgroups".to_owned(), lane: None, meter });
        let outlet = Arc::<OutletMeter>::default();
        let kafka = outlet.kafka.get_or_init(Arc::default);
        kafka.brokers_up.set(3);
        kafka.sent_messages.add(4);
        meters.add_sink(SinkRow { name: "out".to_owned(), meter: outlet });
        let text = render(&meters);
        for line in [
            "sluicebox_source_tick_seconds_count{source=\"cgroups\"} 1",
            "sluicebox_source_late_ticks_total{source=\"cgroups\"} 2",
            "sluicebox_sink_kafka_brokers_up{sink=\"out\"} 3",
            "sluicebox_sink_kafka_sent_messages_total{sink=\"out\"} 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }
}
