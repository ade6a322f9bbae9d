//! The messages of a call: samples first, then as much of what was lost as there is room for.

use sluicebox_sdk::{Entries, Packed};

use crate::clock::Clock;
use crate::loss::Loss;
use crate::metrics::Fragments;
use crate::python;
use crate::settings::Key;

/// The messages so far.
pub(crate) struct Told {
    messages: Packed,
    key: Key,
    channel: usize,
    bytes: usize,
}

/// A call may return 8 MiB, unless the lane says otherwise: what was lost and does not fit waits for the next report.
const MOST_BYTES: usize = 6 << 20;
/// So many containers are told of in any case, so that none waits for ever.
const LEAST: usize = 64;

impl Told {
    pub(crate) fn new(topic: Option<&str>, key: Key) -> Self {
        let messages = topic.map_or_else(Packed::new, Packed::on);
        Self { messages, key, channel: topic.map_or(0, str::len), bytes: 0 }
    }

    /// What every message counts besides its text, where it goes.
    pub(crate) fn channel(&self) -> usize {
        self.channel
    }

    /// Makes room for so many messages of so many bytes.
    pub(crate) fn reserve(&mut self, messages: usize, bytes: usize) {
        self.messages = std::mem::take(&mut self.messages).with_room(messages, bytes);
    }

    pub(crate) fn push(&mut self, container_id: &str, body: impl FnOnce(&mut String)) {
        let key = if self.key == Key::ContainerId { container_id } else { "" };
        let bytes = &mut self.bytes;
        let channel = self.channel;
        self.messages.push(key, |text| {
            let begin = text.len();
            body(text);
            *bytes += channel + key.len() + text.len() - begin;
        });
    }

    /// Tells what was lost, as long as there is room for so many bytes besides.
    pub(crate) fn tell_loss(&mut self, loss: &mut Loss, metrics: &[Fragments; 2], clock: &mut Clock, besides: usize) {
        let mut containers = 0;
        while containers < LEAST || self.bytes + besides < MOST_BYTES {
            let Some(packets) = loss.next() else { break };
            let json = python::quoted(&packets.container_id);
            for (metric, percentage) in metrics.iter().zip(packets.percentages()) {
                if let Some(percentage) = percentage {
                    self.push(&packets.container_id, |text| metric.write_number(text, &json, percentage, clock));
                }
            }
            containers += 1;
        }
    }
}

impl From<Told> for Entries {
    fn from(told: Told) -> Self {
        told.messages.into()
    }
}
