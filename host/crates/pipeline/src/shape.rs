//! How a lane has its module shape events: those that it does not stand are found by halves and left out, the others are shaped.

use std::sync::Arc;
use std::time::Instant;

use sluicebox_contract::{Class, DeadLetter, Event, Fault, Held, Shaper, Subject, SubjectId, UnixNanos};
use tracing::{error, warn};

use crate::lane::{GivenUp, Lane};
use crate::outlet::is_worth_a_line;

/// Events kept of the last batch, by their weight in bytes.
pub(crate) const LAST_BYTES: usize = 256 << 10;
/// A subject whose samples have stopped the module so often in a row is left out from then on: its next samples come with the next tick.
const LAST_CHANCES: u32 = 3;
/// So many subjects are left out for their samples at most, the newest.
const MOST_LEFT_OUT: usize = 1024;
/// So many samples are handed over in one call at most: more would make more entries and bytes than a call may return.
const SAMPLES: usize = 16_384;
/// Likewise of connections, and of pods in an inventory.
const OTHERS: usize = 4_096;

impl<S: Shaper> Lane<S> {
    /// Shapes a batch, and keeps a part of it for rehearsals.
    pub(crate) fn shape_all(&mut self, events: Vec<Event>) -> Result<(), GivenUp> {
        self.tell_tap(&events, false);
        let traps = self.meter.traps.get();
        match events.as_slice() {
            [event] if is_too_much(event) => self.shape_in_parts(&events)?,
            events => self.shape(events)?,
        }
        // What has stopped this module is not kept: a successor shall not have to stand more than it.
        if self.meter.traps.get() == traps {
            let last = self.at_most(events, LAST_BYTES);
            if !last.is_empty() {
                self.last = last;
            }
        }
        Ok(())
    }

    /// As many of these events as weigh so much, without those that are not given to the module. Of a tick that alone is heavier a part.
    fn at_most(&self, events: Vec<Event>, bytes: usize) -> Vec<Event> {
        let mut kept = Vec::new();
        let mut left = bytes;
        for event in events {
            let Some(mut event) = event.only(|subject| !self.leaves_out(subject)) else { break };
            while event.weight() > left {
                let Some((half, _)) = event.halves() else { return kept };
                event = half;
            }
            left -= event.weight();
            kept.push(event);
        }
        kept
    }

    /// Shapes an event that says very much, what it says of some subjects in each call.
    fn shape_in_parts(&mut self, events: &[Event]) -> Result<(), GivenUp> {
        let halves = events.first().filter(|whole| is_too_much(whole)).and_then(Event::halves);
        let Some((left, right)) = halves else { return self.shape(events) };
        self.count_part();
        self.shape_in_parts(&[left])?;
        self.shape_in_parts(&[right])
    }

    /// Shapes events; after a fault each half again, until the guilty event is alone and is left out. A tick is halved as a batch is.
    fn shape(&mut self, events: &[Event]) -> Result<(), GivenUp> {
        let Some(first) = events.first() else { return Ok(()) };
        let leaves_out = !self.shunned.is_empty() || !self.unbearable.is_empty();
        if leaves_out && events.iter().any(|event| self.is_about_left_out(event)) {
            return self.shape_the_others(events);
        }
        let begin = Instant::now();
        self.age.calls += 1;
        let fault = match self.shaper.shape(events) {
            Ok(entries) => {
                self.meter.calls.observe(begin.elapsed());
                self.succeed();
                self.settle(events.len() as u64, |fates| &fates.shaped);
                self.acquit(first);
                self.emit(&self.origin, entries, first.observed_at());
                return Ok(());
            }
            Err(fault) => fault,
        };
        if fault.class == Class::Skip {
            self.succeed();
        } else {
            let origin = Arc::clone(&self.origin);
            let took = begin.elapsed();
            self.replace(&fault, first.kind(), events.iter().map(Event::parts).sum(), took)?;
            if !Arc::ptr_eq(&origin, &self.origin) {
                // Another module has taken over while the lane rested, which these need not stop.
                return self.shape(events);
            }
        }
        if let [event] = events {
            let Some((left, right)) = event.halves() else {
                self.leave_out(event, &fault);
                return Ok(());
            };
            self.count_part();
            self.shape(&[left])?;
            return self.shape(&[right]);
        }
        let (left, right) = events.split_at(events.len() / 2);
        self.shape(left)?;
        self.shape(right)
    }

    /// A tick that is divided counts as an event more.
    fn count_part(&mut self) {
        self.fates.divided.increment();
        self.take_in(1);
    }

    /// Whether a subject, or its samples, stop the module.
    pub(crate) fn leaves_out(&self, subject: SubjectId) -> bool {
        self.shunned.contains_key(&subject) || self.unbearable.contains(&subject)
    }

    fn is_about_left_out(&self, event: &Event) -> bool {
        event.names(|subject| self.leaves_out(subject))
    }

    /// Shapes what is not about subjects that are left out. Events about them become dead letters; their samples do not, as the next ones
    /// come soon.
    fn shape_the_others(&mut self, events: &[Event]) -> Result<(), GivenUp> {
        let mut others = Vec::with_capacity(events.len());
        for event in events {
            let is_about_left_out = self.is_about_left_out(event);
            let rest = event.only(|subject| !self.leaves_out(subject));
            if is_about_left_out {
                if rest.is_some() {
                    self.count_part();
                }
                let reason = || "its subject stops the module when it is defined".to_owned();
                let kept = !event.is_about_many() && self.bury(event, reason());
                self.settle(1, if kept { |fates| &fates.dead_letters } else { |fates| &fates.left_out });
                self.meter.deadly.increment();
                self.incomplete |= self.unlisted > 0;
            }
            others.extend(rest);
        }
        self.shape(&others)
    }

    fn leave_out(&mut self, event: &Event, fault: &Fault) {
        self.incomplete |= self.unlisted > 0;
        if fault.class == Class::Skip {
            self.meter.refused.increment();
            self.settle(1, |fates| &fates.refused);
        } else {
            self.meter.deadly.increment();
            let kept = self.bury(event, fault.to_string());
            self.settle(1, if kept { |fates| &fates.dead_letters } else { |fates| &fates.left_out });
            self.suspect(event);
        }
        self.complaints += 1;
        if is_worth_a_line(self.complaints) {
            let (lane, module) = (&self.origin.lane, &self.origin.module);
            let (subject, so_far) = (event.subject().map_or(0, |subject| subject.0), self.complaints);
            let name = self.about(event).map_or("?", |subject| subject.name.as_str());
            if fault.class == Class::Skip {
                warn!(%lane, %module, subject, name, event = event.kind(), so_far, %fault, "module refused an event");
            } else {
                error!(%lane, %module, subject, name, event = event.kind(), so_far, %fault, "event left out: it stops the module even when it is alone");
            }
        }
    }

    /// What an event says of this subject has stopped the module: when that goes on, it is left out without another try.
    fn suspect(&mut self, event: &Event) {
        let Some(id) = event.subject().filter(|_| event.is_about_many()) else { return };
        let times = self.suspects.entry(id).or_default();
        *times += 1;
        if *times >= LAST_CHANCES {
            let (lane, module) = (&self.origin.lane, &self.origin.module);
            let name = self.subjects.get(&id).map_or("", |subject| &subject.name);
            warn!(%lane, %module, subject = id.0, name, "subject left out: what is told of it stops the module each time");
            self.suspects.remove(&id);
            self.unbearable.insert(id);
        }
        // A module that is not told of subjects is not told when they go either.
        if self.suspects.len() > MOST_LEFT_OUT {
            self.suspects.pop_first();
        }
        if self.unbearable.len() > MOST_LEFT_OUT {
            self.unbearable.pop_first();
        }
    }

    /// What was shaped stops the module no more.
    fn acquit(&mut self, event: &Event) {
        if event.is_about_many() && !self.suspects.is_empty() {
            event.names(|subject| {
                self.suspects.remove(&subject);
                false
            });
        }
    }

    /// Keeps an event that stops the module, for whoever mends it; says whether dead letters are kept at all.
    fn bury(&self, event: &Event, reason: String) -> bool {
        let Some(letterbox) = &self.letterbox else {
            // Whoever mends the module is told of it at the next start.
            if let Some(subject) = event.subject() {
                self.in_hand.lose(subject);
            }
            return false;
        };
        letterbox.post_blocking(DeadLetter {
            at: UnixNanos::now(),
            lane: self.origin.lane.to_string(),
            module: self.origin.module.clone(),
            reason,
            replays: 0,
            held: Held::Event { subject: self.about(event).cloned(), event: event.clone() },
        });
        true
    }

    /// What the event is about, as far as the lane was told.
    fn about(&self, event: &Event) -> Option<&Subject> {
        let id = event.subject()?;
        self.subjects.get(&id).or_else(|| self.shunned.get(&id)).map(AsRef::as_ref)
    }
}

/// Whether it says more than one call may be given.
fn is_too_much(event: &Event) -> bool {
    event.items() > if matches!(event, Event::Tick(_)) { SAMPLES } else { OTHERS }
}
