//! Obeys orders between two batches: puts a successor of the module in place; and replaces an instance as planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::{Class, Fault, Shaper, Subject, SubjectId};
use tracing::{info, warn};

use crate::lane::{Age, GivenUp, Lane};
use crate::order::{Order, Snapshot, StateMove, Successor, Swapped};
use crate::outlet::{Origin, is_worth_a_line};
use crate::replay::Reshaped;
use crate::revive::{SUBJECTS, bytes};
use crate::trouble::Trouble;

/// An instance lives at least so long before its memory is a reason to replace it: a module that needs so much needs it again.
const RECYCLE_PAUSE: Duration = Duration::from_mins(1);

impl<S: Shaper> Lane<S> {
    pub(crate) fn obey(&mut self, order: Order<S>) -> Result<(), GivenUp> {
        match order {
            Order::Look(reply) => drop(reply.send(self.snapshot())),
            Order::Tap(tap) => self.open_tap(tap),
            // Whoever has given up waiting does not get what he asked for.
            Order::Swap(_, claim, _) if !claim.claim() => {}
            Order::Swap(successor, _, reply) => {
                let swapped = self.swap(*successor);
                drop(reply.send(swapped));
                if !self.alive {
                    return self.revive();
                }
            }
            Order::Replay(_, reply) if reply.is_closed() => {}
            Order::Replay(again, reply) => {
                let (answer, result) = self.reshape(*again);
                drop(reply.send(answer));
                return result;
            }
        }
        Ok(())
    }

    /// Says whether a successor was put in place.
    pub(crate) fn obey_while_resting(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Replay(_, reply) => {
                    drop(reply.send(Reshaped::NotTried("the lane rests because its module fails again and again".to_owned())));
                }
                // A dead instance has nothing to save, so nothing of it can fail.
                order => drop(self.obey_dead(order)),
            }
            if self.alive {
                return true;
            }
        }
        false
    }

    fn obey_dead(&mut self, order: Order<S>) -> Option<()> {
        match order {
            Order::Swap(successor, claim, reply) if claim.claim() => {
                let swapped = self.swap(*successor);
                reply.send(swapped).ok()
            }
            Order::Look(reply) => reply.send(self.snapshot()).ok(),
            Order::Tap(tap) => {
                self.open_tap(tap);
                None
            }
            Order::Swap(..) | Order::Replay(..) => None,
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let all = !self.shaper.handlers().subjects;
        // Nobody is given an event about a subject that he was not told of, and a successor is not told of one that is gone.
        let batch =
            self.last.iter().filter_map(|event| event.only(|subject| all || self.subjects.contains_key(&subject))).collect();
        Snapshot { subjects: self.subjects.values().cloned().collect(), shunned: self.shunned.values().cloned().collect(), batch }
    }

    /// Puts the successor in place. With a fault everything stays as it was.
    fn swap(&mut self, successor: Successor<S>) -> Result<Swapped<S>, Fault> {
        let begin = Instant::now();
        let Successor { mut shaper, told, module, settings, meter } = successor;
        let shunned = self.catch_up(&mut shaper, &told)?;
        let state = self.move_state(&mut shaper)?;
        for (id, subject) in std::mem::take(&mut self.shunned) {
            if shunned.contains(&id) {
                self.shunned.insert(id, subject);
            } else {
                self.subjects.insert(id, subject);
            }
        }
        let old = std::mem::replace(&mut self.shaper, shaper);
        self.origin = Arc::new(Origin { lane: Arc::clone(&self.origin.lane), module, again: false, replay: None });
        for gauge in [&self.meter.ready, &self.meter.resting, &self.meter.memory_bytes] {
            gauge.set(0);
        }
        self.meter = meter;
        self.meter.instances.increment();
        self.meter.ready.set(1);
        self.meter.memory_bytes.set(bytes(self.shaper.memory_bytes()));
        self.settings = settings;
        self.account.succeed(settings.share);
        self.trouble = Trouble::new(settings.patience);
        self.suspects.clear();
        self.unbearable.clear();
        self.backoff.reset();
        self.age = Age::default();
        self.carried = None;
        self.alive = true;
        Ok(Swapped { old, pause: begin.elapsed(), state })
    }

    /// Tells the successor what has changed since it was told; gives the subjects that it was not told on purpose.
    fn catch_up(&self, shaper: &mut S, told: &[Arc<Subject>]) -> Result<BTreeSet<SubjectId>, Fault> {
        let told: BTreeMap<SubjectId, &Arc<Subject>> = told.iter().map(|subject| (subject.id, subject)).collect();
        let come: Vec<Arc<Subject>> = self.subjects.values().filter(|subject| !told.contains_key(&subject.id)).cloned().collect();
        let exists = |id: &SubjectId| self.subjects.contains_key(id) || self.shunned.contains_key(id);
        let gone: Vec<SubjectId> = told.keys().copied().filter(|id| !exists(id)).collect();
        for part in come.chunks(SUBJECTS) {
            shaper.define(part)?;
        }
        for part in gone.chunks(SUBJECTS) {
            shaper.forget(part)?;
        }
        Ok(self.shunned.keys().copied().filter(|id| !told.contains_key(id)).collect())
    }

    fn move_state(&mut self, shaper: &mut S) -> Result<StateMove, Fault> {
        if !self.alive {
            return self.move_carried(shaper);
        }
        match self.shaper.save() {
            Ok(None) => Ok(StateMove::None),
            Ok(Some(_)) if !shaper.takes_state() => Ok(StateMove::Dropped),
            Ok(Some(saved)) => shaper.restore(&saved).map(|()| StateMove::Moved),
            Err(fault) if fault.class == Class::Skip => {
                let cause = format!("the version that runs does not save its state: {}", fault.cause);
                let hint = "to do without the state, take the lane out of the configuration and put it in again";
                Err(Fault::skip("cannot swap", cause).hint(hint))
            }
            Err(fault) => {
                self.meter.traps.increment();
                let (lane, module) = (&self.origin.lane, &self.origin.module);
                warn!(%lane, %module, %fault, "the module's state is lost: it stopped when it was to save it");
                self.alive = false;
                Ok(StateMove::Lost)
            }
        }
    }

    /// An instance that was replaced as planned has saved its state; when no other has started since, the successor gets it. That it
    /// refuses it is no reason to go on with a module that does not start.
    fn move_carried(&self, shaper: &mut S) -> Result<StateMove, Fault> {
        let Some(saved) = &self.carried else { return Ok(StateMove::None) };
        if !shaper.takes_state() {
            return Ok(StateMove::Dropped);
        }
        match shaper.restore(saved) {
            Ok(()) => Ok(StateMove::Moved),
            Err(fault) if fault.class == Class::Skip => {
                let (lane, module) = (&self.origin.lane, &self.origin.module);
                warn!(%lane, %module, %fault, "the module's state is lost: its successor does not take it");
                Ok(StateMove::Lost)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Puts a fresh instance in place of one that has made enough calls or holds too much memory.
    pub(crate) fn recycle_if_due(&mut self) -> Result<(), GivenUp> {
        let memory = self.shaper.memory_bytes();
        self.meter.memory_bytes.set(bytes(memory));
        let worn = self.settings.recycle_after_calls.is_some_and(|most| self.age.calls >= most);
        let large = self.settings.recycle_above_bytes.is_some_and(|most| memory > most);
        let lately = self.age.recycled.is_some_and(|time| time.elapsed() < RECYCLE_PAUSE);
        if !self.alive || !(worn || large && !lately) {
            return Ok(());
        }
        self.age.recycled = Some(Instant::now());
        match self.shaper.save() {
            Ok(saved) => self.carried = saved,
            Err(fault) if fault.class == Class::Skip => {
                self.unsaved += 1;
                if is_worth_a_line(self.unsaved) {
                    let (lane, module, so_far) = (&self.origin.lane, &self.origin.module, self.unsaved);
                    warn!(%lane, %module, so_far, %fault, "instance not replaced as planned: it does not save its state");
                }
                self.age.calls = 0;
                return Ok(());
            }
            Err(fault) => return self.replace(&fault, "state", 0, Duration::ZERO),
        }
        let (lane, module, calls) = (&self.origin.lane, &self.origin.module, self.age.calls);
        if large {
            info!(%lane, %module, calls, memory, "instance replaced as planned: it holds much memory");
        }
        self.meter.recycles.increment();
        self.meter.ready.set(0);
        self.alive = false;
        self.revive()
    }
}
