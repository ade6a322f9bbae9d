//! What sinks and their stores count. What was handed over and what was in the store at the start is written, refused, dropped or held.

use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use sluicebox_contract::meter::{OutletMeter, StoreMeter};

use super::{Exposition, Labels, Read, count, counter, durations, each, gauge, number};

/// Why an entry was dropped, and how often; none where the sink has no store.
type Dropped = (&'static str, fn(&OutletMeter) -> u64);

impl Exposition {
    pub(super) fn sinks(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &OutletMeter)> =
            self.sinks.iter().map(|row| (vec![("sink", row.name.as_str())], row.meter.as_ref())).collect();
        counter(encoder, &rows, "sluicebox_sink_entries", "Entries handed over by modules", |meter| &meter.accepted)?;
        counter(encoder, &rows, "sluicebox_sink_written", "Entries written", |meter| &meter.written)?;
        counter(encoder, &rows, "sluicebox_sink_refused", "Entries that the sink refused for good", |meter| &meter.refused)?;
        dropped(encoder, &rows)?;
        let help = "Entries that are neither written nor refused nor dropped yet, in memory and in the store";
        let metric = encoder.encode_descriptor("sluicebox_sink_held_entries", help, None, MetricType::Gauge)?;
        each(metric, &rows, |metric, meter| metric.encode_gauge(&meter.held()))?;
        counter(encoder, &rows, "sluicebox_sink_retries", "Tries that failed and were made again", |meter| &meter.retries)?;
        gauge(encoder, &rows, "sluicebox_sink_ready", "1 unless the last write failed", |meter| &meter.ready)?;
        let help = "1 while so many tries in a row have failed that only single entries are tried";
        gauge(encoder, &rows, "sluicebox_sink_circuit_open", help, |meter| &meter.circuit_open)?;
        gauge(encoder, &rows, "sluicebox_sink_queue_length", "Batches of entries that wait", |meter| &meter.queue.length)?;
        gauge(encoder, &rows, "sluicebox_sink_queue_bytes", "Bytes that they take, roughly", |meter| &meter.queue.bytes)?;
        durations(encoder, &rows, "sluicebox_sink_write", "Time of one write", |meter| &meter.writes)?;
        let help = "Time from an event's observation to its entries being written";
        durations(encoder, &rows, "sluicebox_sink_delay", help, |meter| &meter.delay)
    }

    /// Sinks that have a store.
    pub(super) fn stores(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let stores = self.sinks.iter().filter_map(|row| Some((row, row.meter.store.get()?)));
        let rows: Vec<(Labels<'_>, &StoreMeter)> =
            stores.map(|(row, store)| (vec![("sink", row.name.as_str())], store.as_ref())).collect();
        if rows.is_empty() {
            return Ok(());
        }
        gauge(encoder, &rows, "sluicebox_sink_store_entries", "Entries that wait in the store", |meter| &meter.entries)?;
        gauge(encoder, &rows, "sluicebox_sink_store_bytes", "Bytes that the store takes", |meter| &meter.bytes)?;
        let counters: [(&str, &str, Read<StoreMeter, _>); 3] = [
            ("recovered_entries", "Entries that were in the store at the start", |meter| &meter.recovered),
            ("stored_entries", "Entries put into the store", |meter| &meter.stored),
            ("failures", "Times that the disk refused something", |meter| &meter.failures),
        ];
        for (name, help, read) in counters {
            counter(encoder, &rows, &format!("sluicebox_sink_store_{name}"), help, read)?;
        }
        Ok(())
    }
}

fn dropped(encoder: &mut DescriptorEncoder<'_>, rows: &[(Labels<'_>, &OutletMeter)]) -> Result<(), Error> {
    const IN_MEMORY: [Dropped; 2] =
        [("overflow", |meter| meter.queue.dropped.get()), ("sink-ended", |meter| meter.undelivered.get())];
    const IN_STORE: [(&str, Read<StoreMeter, sluicebox_contract::meter::Counter>); 3] = [
        ("store-overflow", |meter| &meter.dropped),
        ("store-too-large", |meter| &meter.too_large),
        ("store-damaged", |meter| &meter.damaged),
    ];
    let help = "Entries that are not written: dropped from a full queue, made after the sink had ended, dropped from a full store, larger than a quarter of the store while the sink did not take them, not to be read any more";
    let mut metric = encoder.encode_descriptor("sluicebox_sink_dropped_entries", help, None, MetricType::Counter)?;
    for (labels, meter) in rows {
        let with = |reason| labels.iter().copied().chain([("reason", reason)]).collect::<Labels<'_>>();
        for (reason, read) in IN_MEMORY {
            number(&mut metric, &with(reason), read(meter))?;
        }
        for (reason, read) in meter.store.get().into_iter().flat_map(|store| IN_STORE.map(|(reason, read)| (reason, read(store))))
        {
            count(&mut metric, &with(reason), read)?;
        }
    }
    Ok(())
}
