//! Numbers that only some have: sources that read at times, sinks that write to Kafka, a collector that may work for the whole cluster.
//! Nothing is said of them where there are none.

use std::fmt::Error;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use sluicebox_contract::meter::{KafkaMeter, LeaseMeter, SourceMeter};

use super::{Exposition, Labels, Read, counter, durations, each, gauge, source_labels};

impl Exposition {
    /// Sources that read at times.
    pub(super) fn readings(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let reads = self.sources.iter().filter(|row| row.meter.reads.get() == 1);
        let rows: Vec<(Labels<'_>, &SourceMeter)> = reads.map(|row| (source_labels(row), row.meter.as_ref())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        durations(encoder, &rows, "sluicebox_source_tick", "Time of one reading of everything", |meter| &meter.ticks)?;
        let help = "Times at which it should have read and had not finished the reading before";
        counter(encoder, &rows, "sluicebox_source_late_ticks", help, |meter| &meter.late_ticks)?;
        let help = "Times that all was looked through, because the system could not tell what had come and gone";
        counter(encoder, &rows, "sluicebox_source_rescans", help, |meter| &meter.rescans)?;
        gauge(encoder, &rows, "sluicebox_source_subjects", "Subjects that it measures", |meter| &meter.subjects)?;
        let help = "Things that it measures and does not tell, because it is not known what they are";
        gauge(encoder, &rows, "sluicebox_source_nameless", help, |meter| &meter.nameless)?;
        let help = "Values left out because they could not be read or were no numbers";
        counter(encoder, &rows, "sluicebox_source_unreadable", help, |meter| &meter.unreadable)?;
        let help = "Things left out because there are more than it may measure";
        counter(encoder, &rows, "sluicebox_source_beyond_limit", help, |meter| &meter.beyond_limit)?;
        let help = "Readings dropped that waited for a name, because there was no room for more";
        counter(encoder, &rows, "sluicebox_source_waited_in_vain", help, |meter| &meter.waited_in_vain)?;
        gauge(encoder, &rows, "sluicebox_source_open_files", "Files that it holds open", |meter| &meter.open_files)?;
        let help = "Files that it may hold open; beyond, files are opened for each reading";
        gauge(encoder, &rows, "sluicebox_source_most_open_files", help, |meter| &meter.most_open_files)
    }

    /// The election of the one collector that works for the whole cluster.
    pub(super) fn lease(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &LeaseMeter)> = self.lease.iter().map(|meter| (Vec::new(), meter.as_ref())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        gauge(encoder, &rows, "sluicebox_lease_held", "1 while this collector holds the lease", |meter| &meter.held)?;
        counter(encoder, &rows, "sluicebox_lease_terms", "Times that it has come to hold the lease", |meter| &meter.terms)?;
        let help = "Requests about the lease that failed, whoever held it";
        counter(encoder, &rows, "sluicebox_lease_failures", help, |meter| &meter.failures)?;
        let help = "Requests about the lease that failed while it was held";
        counter(encoder, &rows, "sluicebox_lease_renewal_failures", help, |meter| &meter.renewal_failures)
    }

    /// Sinks that write to Kafka, as their client tells of itself.
    pub(super) fn kafka(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let clients = self.sinks.iter().filter_map(|row| Some((row, row.meter.kafka.get()?)));
        let rows: Vec<(Labels<'_>, &KafkaMeter)> =
            clients.map(|(row, kafka)| (vec![("sink", row.name.as_str())], kafka.as_ref())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let gauges: [(&str, &str, Read<KafkaMeter, _>); 3] = [
            ("brokers_up", "Brokers that the client is connected to", |meter| &meter.brokers_up),
            ("queued_messages", "Messages that wait in the client", |meter| &meter.queued_messages),
            ("queued_bytes", "Bytes that wait in the client", |meter| &meter.queued_bytes),
        ];
        let counters: [(&str, &str, Read<KafkaMeter, _>); 4] = [
            ("sent_messages", "Messages sent to brokers", |meter| &meter.sent_messages),
            ("sent_bytes", "Bytes of messages sent to brokers", |meter| &meter.sent_bytes),
            ("request_retries", "Requests sent again", |meter| &meter.request_retries),
            ("request_errors", "Requests that failed", |meter| &meter.request_errors),
        ];
        for (name, help, read) in gauges {
            gauge(encoder, &rows, &format!("sluicebox_sink_kafka_{name}"), help, read)?;
        }
        for (name, help, read) in counters {
            counter(encoder, &rows, &format!("sluicebox_sink_kafka_{name}"), help, read)?;
        }
        let (name, help) = ("sluicebox_sink_kafka_round_trip", "The slowest broker's mean time to answer");
        let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        each(metric, &rows, |metric, meter| {
            let time = Duration::from_micros(u64::try_from(meter.round_trip_micros.get()).unwrap_or(0));
            metric.encode_gauge(&time.as_secs_f64())
        })
    }
}
