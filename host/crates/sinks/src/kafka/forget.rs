//! The sink's own work: what is due is forgotten, acknowledged like everything else.

use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::Fault;
use tokio::time::Instant;
use tracing::warn;

use super::reaction::{self, Reaction, Sent};
use super::record::{Name, Record};
use super::{Kafka, Patience, Ticket};
use crate::shown::{NAME, shown};

impl Kafka {
    /// Until everything that is due now has been forgotten.
    pub(super) async fn forget_due(&mut self) -> Result<(), Fault> {
        self.prepare().await?;
        self.tombstone_setback = None;
        let mut patience = Patience::new();
        loop {
            let all = self.hand_over_tombstones()?;
            if all && self.tombstones.sent() == 0 {
                return Ok(());
            }
            self.hear(&mut patience).await?;
            if let Some(fault) = self.tombstone_setback.take() {
                return Err(fault);
            }
        }
    }

    /// Hands over what is due; says whether that was all.
    pub(super) fn hand_over_tombstones(&mut self) -> Result<bool, Fault> {
        let now = Instant::now();
        loop {
            let due = self.tombstones.due(now);
            if due.is_empty() {
                return Ok(self.tombstones.next(now).is_none_or(|at| at > now));
            }
            for name in due {
                let ticket = Ticket::Tombstone(self.tombstones.number()).packed();
                let Some(client) = self.seat.client() else {
                    return Ok(false);
                };
                let sent = client.send(&Record::tombstone(&name), ticket);
                self.full = sent == Err(RDKafkaErrorCode::QueueFull);
                match sent {
                    Ok(()) => self.tombstones.send(name),
                    Err(RDKafkaErrorCode::QueueFull) => return Ok(false),
                    Err(code) => {
                        if let Some(fault) = self.react_to_tombstone(&name, code) {
                            return Err(fault);
                        }
                        self.tombstones.keep(&name);
                    }
                }
            }
        }
    }

    /// The client has done with a tombstone.
    pub(super) fn settle_tombstone(&mut self, number: usize, result: Result<(), RDKafkaErrorCode>) {
        let name = self.tombstones.document(number).cloned();
        if let (Some(name), Err(code)) = (name, result)
            && let Some(fault) = self.react_to_tombstone(&name, code)
        {
            self.tombstones.put_back(number);
            self.tombstone_setback.get_or_insert(fault);
            return;
        }
        self.tombstones.settle(number);
    }

    /// The fault if the tombstone can be written later; if never, that is said here.
    fn react_to_tombstone(&self, name: &Name, code: RDKafkaErrorCode) -> Option<Fault> {
        let names_topic = self.makings.config.topic.as_ref() != Some(&name.topic);
        match reaction::to_error(code, Sent { topic: &name.topic, names_topic, alone: true }, &self.address) {
            Reaction::Wait(fault) => Some(fault),
            // Alone it is already.
            Reaction::Refuse(_) | Reaction::Alone => {
                let (sink, key, topic) = (&self.makings.sink, shown(&name.key, NAME), shown(&name.topic, NAME));
                warn!(%sink, key, topic, reason = %code, "a document cannot be forgotten");
                None
            }
        }
    }
}
