//! The sink's own work: what is due is forgotten, acknowledged like everything else.

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;
use sluicebox_contract::Fault;
use tokio::time::Instant;
use tracing::warn;

use super::reaction::Reaction;
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
        if self.tombstones.one_is_alone() {
            return Ok(false);
        }
        loop {
            let due = self.tombstones.due(now);
            if due.is_empty() {
                break;
            }
            for name in due {
                if !self.hand_over_tombstone(name, false)? {
                    return Ok(false);
                }
            }
        }
        // What has come back for the sake of others goes last, when nothing else is on its way.
        let is_quiet = self.flight.sent() == 0 && self.tombstones.sent() == 0;
        if is_quiet && let Some(name) = self.tombstones.first_alone() {
            self.hand_over_tombstone(name, true)?;
        }
        Ok(self.tombstones.next(now).is_none_or(|at| at > now))
    }

    /// Says whether the client may take another.
    fn hand_over_tombstone(&mut self, name: Name, alone: bool) -> Result<bool, Fault> {
        let ticket = Ticket::Tombstone(self.tombstones.number()).packed();
        let config = Arc::clone(&self.makings.config);
        let Some(client) = self.seat.client() else {
            return Ok(false);
        };
        let sent = client.send(&Record::tombstone(&name, &config), ticket);
        self.full = sent == Err(RDKafkaErrorCode::QueueFull);
        match sent {
            Ok(()) => {
                self.doubts.try_again(ticket, &name.topic);
                self.tombstones.send(name, alone);
            }
            Err(RDKafkaErrorCode::QueueFull) => return Ok(false),
            // Here the client speaks of this one only.
            Err(code) => match self.react_to_tombstone(&name, code, true) {
                Reaction::Wait(fault) => return Err(fault),
                Reaction::Refuse(_) | Reaction::Alone | Reaction::Again => self.tombstones.keep(&name),
            },
        }
        Ok(true)
    }

    /// The client has done with a tombstone.
    pub(super) fn settle_tombstone(&mut self, number: usize, result: Result<(), RDKafkaErrorCode>) {
        let sent = self.tombstones.document(number).map(|(name, alone)| (name.clone(), alone));
        let (Some((name, alone)), Err(code)) = (sent, result) else {
            self.tombstones.settle(number);
            return;
        };
        match self.react_to_tombstone(&name, code, alone) {
            Reaction::Wait(fault) => {
                self.tombstones.put_back(number);
                self.tombstone_setback.get_or_insert(fault);
            }
            Reaction::Alone | Reaction::Again => self.tombstones.put_back_alone(number),
            Reaction::Refuse(_) => {
                self.tombstones.settle(number);
            }
        }
    }

    /// What is to become of a tombstone; if it can never be written, that is said here.
    fn react_to_tombstone(&mut self, name: &Name, code: RDKafkaErrorCode, alone: bool) -> Reaction {
        let config = Arc::clone(&self.makings.config);
        let reaction = self.reaction(&Record::tombstone(name, &config), code, alone);
        if let Reaction::Refuse(_) = reaction {
            let (sink, key, topic) = (&self.makings.sink, shown(&name.key, NAME), shown(&name.topic, NAME));
            warn!(%sink, key, topic, reason = %code, "a document cannot be forgotten");
        }
        reaction
    }
}
