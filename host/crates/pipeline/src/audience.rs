//! The lanes that one source feeds, where others can join while it runs: they are told what exists and then hear what the others hear.
//!
//! For sources that cannot well be had twice, and whose events need nothing but their subjects to be understood.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use sluicebox_contract::{Notice, Subject, SubjectId};

use crate::fanout::Branch;
use crate::queue::Valve;

/// The way to join a source. Does not keep it running.
#[derive(Clone)]
pub struct Audience(Arc<Mutex<State>>);

struct State {
    /// Those that have joined and are told what exists with the source's next notice.
    joining: Vec<Branch>,
    /// Those that are there, and some that have gone. A valve does not keep a queue open.
    valves: Vec<Valve<Notice>>,
    /// How many have joined so far.
    joined: u64,
    /// The source ends: nobody can join any more.
    ended: bool,
}

impl Audience {
    pub(crate) fn new(branches: &[Branch]) -> Self {
        let valves = branches.iter().map(|branch| branch.queue.valve()).collect();
        Self(Arc::new(Mutex::new(State { joining: Vec::new(), valves, joined: 0, ended: false })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a lane; says whether the source is there to feed it.
    pub(crate) fn join(&self, branch: Branch) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        state.valves.retain(|valve| !valve.is_closed());
        state.valves.push(branch.queue.valve());
        state.joining.push(branch);
        state.joined += 1;
        true
    }

    pub(crate) fn take_joining(&self) -> Vec<Branch> {
        std::mem::take(&mut self.lock().joining)
    }

    /// None of those that it has fed is there any more: lets nobody join from now on, unless somebody has. Says whether that is so.
    pub(crate) fn end_unless_joined(&self) -> bool {
        let mut state = self.lock();
        state.ended |= state.joining.is_empty();
        state.ended
    }

    /// Ready when none of the lanes takes anything any more; none can join from then on.
    pub(crate) async fn deserted(&self) {
        loop {
            let (valves, joined) = {
                let state = self.lock();
                (state.valves.clone(), state.joined)
            };
            join_all(valves.iter().map(Valve::closed)).await;
            let mut state = self.lock();
            if state.joined == joined {
                state.ended = true;
                return;
            }
        }
    }

    /// The source has ended. Those that it has told nothing are let go.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.joining.clear();
    }
}

/// What a lane that joins is told first.
#[derive(Default)]
pub(crate) struct Known {
    subjects: BTreeMap<SubjectId, Arc<Subject>>,
    listed: bool,
}

impl Known {
    pub(crate) fn learn(&mut self, notice: &Notice) {
        match notice {
            Notice::Defined(subject) => drop(self.subjects.insert(subject.id, Arc::clone(subject))),
            Notice::Forgotten(subject) => drop(self.subjects.remove(subject)),
            Notice::Listed => self.listed = true,
            Notice::Event(_) | Notice::Tracked(..) => {}
        }
    }

    pub(crate) fn notices(&self) -> Vec<Notice> {
        let listed = self.listed.then_some(Notice::Listed);
        self.subjects.values().cloned().map(Notice::Defined).chain(listed).collect()
    }
}
