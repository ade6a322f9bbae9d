//! Puts a fresh instance in place of a dead one, and has a lane rest whose module fails again and again.

use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::{Class, Fault, Shaper, Subject};
use tracing::{debug, error, warn};

use crate::lane::{GivenUp, Lane};
use crate::outlet::is_worth_a_line;

/// Subjects told in one call.
pub(crate) const SUBJECTS: usize = 1024;
/// How often a module that does not start is tried when the host stops.
const LAST_STARTS: u32 = 3;
/// A call that ends badly after so long has kept others waiting.
const SLOW: Duration = Duration::from_millis(20);

impl<S: Shaper> Lane<S> {
    /// A fresh instance in place of one that has died in a call with so many events, after so long.
    pub(crate) fn replace(&mut self, fault: &Fault, event: &str, events: usize, took: Duration) -> Result<(), GivenUp> {
        self.bury_instance(fault);
        let too_much = self.trouble.fault(events, took);
        let (lane, module) = (Arc::clone(&self.origin.lane), &self.origin.module);
        let so_far = self.meter.traps.get();
        if is_worth_a_line(so_far) {
            warn!(%lane, %module, event, events, so_far, %fault, "module stopped; a fresh instance takes its place");
        }
        if too_much {
            if self.rest() {
                return Ok(());
            }
        } else if took >= SLOW && self.queue.is_blocked() {
            // Others have waited for this call, and would for the next.
            let missed = self.make_room();
            error!(%lane, events = missed, "events left out: the module ran into its deadline and its queue is full");
        }
        self.revive()
    }

    /// Counts a death, and remembers its cause.
    pub(crate) fn bury_instance(&mut self, fault: &Fault) {
        self.meter.traps.increment();
        self.meter.last_fault.set(fault.to_string());
        self.meter.ready.set(0);
        self.alive = false;
    }

    /// Starts an instance and tells it all subjects; tries until that works. When the host stops, only a few times more.
    pub(crate) fn revive(&mut self) -> Result<(), GivenUp> {
        let mut last_starts = 0;
        loop {
            let Err(fault) = self.begin() else { return Ok(()) };
            self.bury_instance(&fault);
            self.trouble.bad_start();
            let (lane, module) = (&self.origin.lane, &self.origin.module);
            error!(%lane, %module, %fault, "module does not start; the lane rests and tries again");
            if self.queue.is_closed() {
                last_starts += 1;
                if last_starts >= LAST_STARTS {
                    return Err(GivenUp);
                }
            }
            if self.rest() {
                return Ok(());
            }
        }
    }

    fn begin(&mut self) -> Result<(), Fault> {
        let mut shunned = 0;
        loop {
            self.shaper.renew()?;
            let subjects: Vec<_> = self.subjects.values().cloned().collect();
            let failed = subjects.chunks(SUBJECTS).find_map(|part| self.shaper.define(part).err().map(|fault| (part, fault)));
            let Some((part, fault)) = failed else {
                if !self.hand_over() {
                    // It has died of what its predecessor left; the next one begins without it.
                    continue;
                }
                self.meter.instances.increment();
                self.meter.ready.set(1);
                self.meter.memory_bytes.set(bytes(self.shaper.memory_bytes()));
                self.alive = true;
                self.age.calls = 0;
                debug!(lane = %self.origin.lane, subjects = subjects.len(), "instance started");
                return Ok(());
            };
            // One bad subject is left out; a module that stands none of them is a module that does not start.
            shunned += 1;
            if shunned > self.settings.patience.events {
                return Err(fault);
            }
            self.shun(part, &fault)?;
        }
    }

    /// Gives a started instance what its predecessor has saved; says whether it lives.
    fn hand_over(&mut self) -> bool {
        let Some(saved) = self.carried.take() else { return true };
        let Err(fault) = self.shaper.restore(&saved) else { return true };
        let (lane, module, so_far) = (&self.origin.lane, &self.origin.module, self.meter.recycles.get());
        if is_worth_a_line(so_far) {
            warn!(%lane, %module, so_far, %fault, "the module's state is lost: the fresh instance does not take what the one before has saved");
        }
        let lives = fault.class == Class::Skip;
        if !lives {
            self.meter.traps.increment();
        }
        lives
    }

    /// Finds the subject among these that stops the module, by halves on fresh instances, and leaves it out from now on.
    fn shun(&mut self, subjects: &[Arc<Subject>], fault: &Fault) -> Result<(), Fault> {
        let mut suspects = subjects;
        while suspects.len() > 1 {
            let (left, right) = suspects.split_at(suspects.len() / 2);
            self.shaper.renew()?;
            suspects = if self.shaper.define(left).is_err() { left } else { right };
        }
        for subject in suspects {
            self.meter.traps.increment();
            self.subjects.remove(&subject.id);
            self.shunned.insert(subject.id, Arc::clone(subject));
            let (lane, module) = (&self.origin.lane, &self.origin.module);
            warn!(%lane, %module, subject = subject.id.0, name = %subject.name, %fault, "subject left out: it stops the module when it is defined");
        }
        Ok(())
    }
}

pub(crate) fn bytes(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
