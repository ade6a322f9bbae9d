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
    /// What a message counts besides its text.
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

    /// Makes room for so many messages with so many samples and so many bytes of ids.
    pub(crate) fn reserve(&mut self, [messages, samples, ids]: [usize; 3], fragments: &Fragments) {
        let packed = std::mem::take(&mut self.messages);
        self.messages = packed.with_room(messages, fragments.room(messages, samples) + ids);
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

    pub(crate) fn tell_loss(&mut self, loss: &mut Loss, metrics: &[Fragments; 2], clock: &mut Clock) {
        let mut containers = 0;
        while containers < LEAST || self.bytes < MOST_BYTES {
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
