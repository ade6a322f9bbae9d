//! Tries a new module out, elsewhere than in its lane: start, subjects, the last real batch, its state; what it makes is thrown away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluicebox_contract::{Class, Event, Fault, Shaper, Subject};

use crate::order::Snapshot;
use crate::revive::SUBJECTS;

/// Brings a module to the point where it can take its lane over: started, told all subjects, and found to work. Gives what it was
/// told. Ends within `patience` and one call more, whatever the module does.
pub fn rehearse<S: Shaper>(shaper: &mut S, snapshot: &Snapshot, patience: Duration) -> Result<Vec<Arc<Subject>>, Fault> {
    let deadline = Deadline { end: Instant::now() + patience, patience };
    let told = tell_all(shaper, snapshot, &deadline)?;
    play(shaper, &snapshot.batch, &deadline)?;
    deadline.check()?;
    let saved = shaper.save()?;
    // What it has done in the rehearsal it shall not remember.
    begin(shaper, &told, &deadline)?;
    if let Some(saved) = saved {
        deadline.check()?;
        shaper.restore(&saved)?;
        begin(shaper, &told, &deadline)?;
    }
    Ok(told)
}

/// What the present module does not stand, the next one may; if not, it is no worse.
fn tell_all<S: Shaper>(shaper: &mut S, snapshot: &Snapshot, deadline: &Deadline) -> Result<Vec<Arc<Subject>>, Fault> {
    if !snapshot.shunned.is_empty() {
        deadline.check()?;
        shaper.renew()?;
        let mut all = [snapshot.subjects.as_slice(), &snapshot.shunned].concat();
        all.sort_by_key(|subject| subject.id);
        if tell(shaper, &all, deadline).is_ok() {
            return Ok(all);
        }
    }
    begin(shaper, &snapshot.subjects, deadline)?;
    Ok(snapshot.subjects.clone())
}

/// A fresh instance that has been told these subjects.
fn begin<S: Shaper>(shaper: &mut S, subjects: &[Arc<Subject>], deadline: &Deadline) -> Result<(), Fault> {
    deadline.check()?;
    shaper.renew()?;
    tell(shaper, subjects, deadline)
}

fn tell<S: Shaper>(shaper: &mut S, subjects: &[Arc<Subject>], deadline: &Deadline) -> Result<(), Fault> {
    for part in subjects.chunks(SUBJECTS) {
        deadline.check()?;
        shaper.define(part)?;
    }
    Ok(())
}

/// A module may refuse some of what its predecessor has shaped, but not all of it.
fn play<S: Shaper>(shaper: &mut S, batch: &[Event], deadline: &Deadline) -> Result<(), Fault> {
    if batch.is_empty() {
        return Ok(());
    }
    deadline.check()?;
    let Err(refusal) = shaper.shape(batch) else { return Ok(()) };
    if refusal.class != Class::Skip {
        return Err(refusal);
    }
    for event in batch {
        deadline.check()?;
        match shaper.shape(std::slice::from_ref(event)) {
            Ok(_) => return Ok(()),
            Err(fault) if fault.class == Class::Skip => {}
            Err(fault) => return Err(fault),
        }
    }
    Err(refusal)
}

struct Deadline {
    end: Instant,
    patience: Duration,
}

impl Deadline {
    fn check(&self) -> Result<(), Fault> {
        if Instant::now() < self.end {
            return Ok(());
        }
        Err(Fault::retry("cannot finish the rehearsal", format!("it took longer than {:?}", self.patience))
            .hint("each call was within its deadline, but there were too many slow ones"))
    }
}
