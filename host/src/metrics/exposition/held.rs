//! What is held where, and what has become of each event that came to a lane.

use std::fmt::Error;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use sluicebox_contract::meter::{Counter, Gauge, LaneMeter, OutletMeter, QueueMeter};

use super::{Exposition, Labels, Read, count, counter, gauge, labelled};

impl Exposition {
    /// For each lane, whatever module is at work in it: what came and was divided is exactly what is held and what has any fate.
    pub(super) fn fates(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let rows: Vec<(Labels<'_>, &LaneMeter)> =
            self.lanes.iter().map(|row| (vec![("lane", row.name.as_str())], row.meter.as_ref())).collect();
        counter(encoder, &rows, "sluicebox_lane_offered_events", "Events that came to the lane", |meter| &meter.queue.offered)?;
        let help = "Events that became two because an event about many was divided";
        counter(encoder, &rows, "sluicebox_lane_divided_events", help, |meter| &meter.fates.divided)?;
        let fates: [(&str, Read<LaneMeter, Counter>); 8] = [
            ("shaped", |meter| &meter.fates.shaped),
            ("refused", |meter| &meter.fates.refused),
            ("dead-letter", |meter| &meter.fates.dead_letters),
            ("left-out", |meter| &meter.fates.left_out),
            ("missed", |meter| &meter.fates.missed),
            ("unshaped", |meter| &meter.fates.unshaped),
            ("overflow", |meter| &meter.queue.dropped),
            ("abandoned", |meter| &meter.queue.abandoned),
        ];
        let help = "What became of events: shaped; refused by the module; stopping it, and kept as dead letters or left out; missed while the lane waited; unshaped or abandoned when it ended; dropped because its queue was full";
        let mut metric = encoder.encode_descriptor("sluicebox_lane_fates", help, None, MetricType::Counter)?;
        for (labels, meter) in &rows {
            for (fate, read) in fates {
                count(&mut metric, &[labels.as_slice(), &[("fate", fate)]].concat(), read(meter))?;
            }
        }
        let places: [(&str, Read<LaneMeter, Gauge>); 2] =
            [("queue", |meter| &meter.queue.droppable), ("module", |meter| &meter.fates.in_work)];
        let help = "Events that wait, or are in work";
        let mut metric = encoder.encode_descriptor("sluicebox_lane_held_events", help, None, MetricType::Gauge)?;
        for (labels, meter) in &rows {
            for (place, read) in places {
                let labels = [labels.as_slice(), &[("place", place)]].concat();
                labelled(&mut metric, &labels, |metric| metric.encode_gauge(&read(meter).get()))?;
            }
        }
        let help = "Entries that a sink was not given because it had ended";
        counter(encoder, &rows, "sluicebox_lane_unwanted_entries", help, |meter| &meter.fates.unwanted_entries)
    }

    /// The bytes of all queues; what they may hold together is `memory.queues`.
    pub(super) fn queues(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let lanes: Vec<(Labels<'_>, &LaneMeter)> =
            self.lanes.iter().map(|row| (vec![("lane", row.name.as_str())], row.meter.as_ref())).collect();
        let sinks: Vec<(Labels<'_>, &OutletMeter)> =
            self.sinks.iter().map(|row| (vec![("sink", row.name.as_str())], row.meter.as_ref())).collect();
        let of_lanes = lanes.into_iter().map(|(labels, meter)| (labels, meter.queue.as_ref()));
        let of_sinks = sinks.into_iter().map(|(labels, meter)| (labels, meter.queue.as_ref()));
        let letters = self.dead_letters.iter().map(|row| (vec![("letters", "dead")], row.meter.queue.as_ref()));
        let rows: Vec<(Labels<'_>, &QueueMeter)> = of_lanes.chain(of_sinks).chain(letters).collect();
        let help = "Bytes that a queue holds, of what waits and of what was taken out and is in work, roughly";
        gauge(encoder, &rows, "sluicebox_queue_held_bytes", help, |meter| &meter.bytes_held)?;
        let help = "Of these, bytes in work";
        gauge(encoder, &rows, "sluicebox_queue_in_work_bytes", help, |meter| &meter.bytes_in_work)?;
        let help = "Bytes that a queue may hold, those in work included";
        gauge(encoder, &rows, "sluicebox_queue_most_bytes", help, |meter| &meter.most_bytes)
    }
}
