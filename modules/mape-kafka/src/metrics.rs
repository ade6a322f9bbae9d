//! What is told of each metric: found and written for JSON once, for all messages about it.

use std::collections::{BTreeMap, HashMap};

use sluicebox_sdk::{SeriesQuery, SeriesSample};

use crate::clock::Clock;
use crate::loss::Reading;
use crate::python;
use crate::settings::{Described, Form};
use crate::table::{self, LOSS, PACKETS};
use crate::value;

/// The metrics that reports were about.
#[derive(Debug)]
pub(crate) struct Metrics {
    form: Form,
    described: BTreeMap<String, Described>,
    /// By their names.
    seen: HashMap<String, Metric>,
}

/// So many are kept; an endpoint that is scraped may have more, and then all are written anew.
const MOST: usize = 4_096;

/// A metric as messages tell it.
#[derive(Debug)]
pub(crate) struct Metric {
    /// What the query said of it: name, type and unit.
    told: [String; 3],
    /// Its place among those of which the loss of packets is worked out.
    pub(crate) packets: Option<usize>,
    pub(crate) fragments: Fragments,
}

/// A message, ready but for the container, the times and the values.
#[derive(Debug)]
pub(crate) struct Fragments {
    /// Between the container and the first sample.
    head: String,
    /// Of each sample what stands before its time.
    before_time: String,
    /// Between its time and its value.
    before_value: String,
}

impl Metrics {
    pub(crate) fn new(form: Form, described: BTreeMap<String, Described>) -> Self {
        Self { form, described, seen: HashMap::new() }
    }

    /// What is told of the metric of this query.
    pub(crate) fn of(&mut self, query: &SeriesQuery) -> &Metric {
        let Self { form, described, seen } = self;
        let name = if query.metric.is_empty() { &query.name } else { &query.metric };
        if seen.len() >= MOST && !seen.contains_key(name) {
            seen.clear();
        }
        let make = || Metric::new(*form, described, name, query);
        let metric = seen.entry(name.clone()).or_insert_with(make);
        if !metric.is_of(query) {
            *metric = make();
        }
        metric
    }
}

impl Metric {
    fn new(form: Form, described: &BTreeMap<String, Described>, name: &str, query: &SeriesQuery) -> Self {
        // First by the metric; a query of another name may be about it all the same.
        let names = [name, &query.name];
        let described: Vec<&Described> = names.iter().filter_map(|name| described.get(*name)).collect();
        let row = names.iter().find_map(|name| table::find(name));
        let kind = described.iter().find_map(|described| described.kind.as_deref()).or_else(|| row.map(|row| row.kind));
        let unit = described.iter().find_map(|described| described.unit.as_deref()).or_else(|| row.map(|row| row.unit));
        let kind = kind.unwrap_or(match query.metric_type.as_str() {
            // Nobody has told it.
            "" | "unknown" | "untyped" => "gauge",
            told => told,
        });
        Self {
            told: [&query.name, &query.metric_type, &query.unit].map(String::clone),
            packets: names.iter().find_map(|name| PACKETS.iter().position(|packets| packets == name)),
            fragments: Fragments::of_metric(form, name, kind, unit.unwrap_or(&query.unit)),
        }
    }

    fn is_of(&self, query: &SeriesQuery) -> bool {
        let [name, metric_type, unit] = &self.told;
        *name == query.name && *metric_type == query.metric_type && *unit == query.unit
    }
}

impl Fragments {
    fn of_metric(form: Form, name: &str, kind: &str, unit: &str) -> Self {
        let mut fragments = Self::new(form, name, kind, unit, kind);
        fragments.before_value.push('"');
        fragments
    }

    /// Of the messages of what is lost, received and transmitted; their values are numbers.
    pub(crate) fn of_loss(form: Form) -> [Self; 2] {
        // The type at the top of the replaced program's message is the metric here.
        let top = |name| if form == Form::Source { name } else { "counter" };
        LOSS.map(|name| Self::new(form, name, "counter", "%", top(name)))
    }

    fn new(form: Form, name: &str, kind: &str, unit: &str, top: &str) -> Self {
        let [name, kind, unit, top] = [name, kind, unit, top].map(python::quoted);
        match form {
            Form::Readme => Self {
                head: format!(r#", "metric_type": {name}, "type": {top}, "data": ["#),
                before_time: format!(r#"{{"type": {kind}, "name": {name}, "timestamp": ""#),
                before_value: format!(r#"", "unit": {unit}, "value": "#),
            },
            Form::Source => Self {
                head: format!(r#", "type": {top}, "data": ["#),
                before_time: r#"{"timestamp": ""#.to_owned(),
                before_value: format!(r#"", "unit": {unit}, "type": {kind}, "name": {name}, "value": "#),
            },
        }
    }

    /// Writes a message about samples, with texts as values.
    pub(crate) fn write<'report>(
        &self,
        out: &mut String,
        container_id: &str,
        samples: impl Iterator<Item = &'report SeriesSample>,
        clock: &mut Clock,
    ) {
        self.begin(out, container_id);
        let mut between = "";
        for sample in samples {
            out.push_str(between);
            self.until_value(out, sample.unix_milliseconds, clock);
            value::write(out, sample.value);
            out.push_str("\"}");
            between = ", ";
        }
        out.push_str("]}");
    }

    /// Writes a message about one number.
    pub(crate) fn write_number(&self, out: &mut String, container_id: &str, (millis, value): Reading, clock: &mut Clock) {
        self.begin(out, container_id);
        self.until_value(out, millis, clock);
        python::float(out, value);
        out.push_str("}]}");
    }

    fn begin(&self, out: &mut String, container_id: &str) {
        out.push_str("{\"container_id\": ");
        out.push_str(container_id);
        out.push_str(&self.head);
    }

    fn until_value(&self, out: &mut String, millis: i64, clock: &mut Clock) {
        out.push_str(&self.before_time);
        clock.write(out, millis);
        out.push_str(&self.before_value);
    }

    /// How many bytes so many messages have with so many samples, without the ids of their containers: rather too many than too few.
    pub(crate) fn room(&self, messages: usize, samples: usize) -> usize {
        // Names of keys and brackets of a message; a time, a long value and what stands around them.
        messages * (self.head.len() + 18) + samples * (self.before_time.len() + self.before_value.len() + 27 + 22 + 4)
    }
}

#[cfg(test)]
mod tests {
    use sluicebox_sdk::SeriesOrigin;

    use super::*;

    #[test]
    fn metrics_without_number_are_not_kept() {
        let mut metrics = Metrics::new(Form::Readme, BTreeMap::new());
        for number in 0..3 * MOST {
            let query = SeriesQuery {
                cycle: String::new(),
                name: format!("metric_{number}"),
                metric: String::new(),
                metric_type: String::new(),
                unit: String::new(),
                origin: SeriesOrigin::Scrape,
            };
            assert!(metrics.of(&query).fragments.head.contains(&query.name));
            assert!(metrics.seen.len() <= MOST);
        }
    }
}
