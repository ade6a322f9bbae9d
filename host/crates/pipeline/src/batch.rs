//! What of a batch of notices can be given to a module in one call.

use std::sync::Arc;

use sluicebox_contract::{Event, Notice, Subject, SubjectId};

/// Notices that can be given in one call.
pub(crate) enum Run {
    None,
    Defined(Vec<Arc<Subject>>),
    Forgotten(Vec<SubjectId>),
    Events(Vec<Event>),
    Listed,
}

impl Run {
    /// Takes in `next`, a run of one; gives it back if it is of another kind.
    pub(crate) fn join(&mut self, next: Self) -> Option<Self> {
        match (self, next) {
            (Self::Defined(run), Self::Defined(mut next)) => {
                run.append(&mut next);
            }
            (Self::Forgotten(run), Self::Forgotten(mut next)) => {
                run.append(&mut next);
            }
            (Self::Events(run), Self::Events(mut next)) if same_kind(run.first(), next.first()) => {
                run.append(&mut next);
            }
            (_, next) => return Some(next),
        }
        None
    }
}

pub(crate) fn events_in(notices: &[Notice]) -> u64 {
    notices.iter().filter(|notice| matches!(notice, Notice::Event(_))).count() as u64
}

fn same_kind(one: Option<&Event>, other: Option<&Event>) -> bool {
    one.map(std::mem::discriminant) == other.map(std::mem::discriminant)
}

pub(crate) fn kind(event: &Event) -> &'static str {
    match event {
        Event::Pod(_) => "pod",
        Event::Object(_) => "object",
    }
}
