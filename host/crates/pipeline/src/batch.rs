//! What of a batch of notices can be given to a module in one call.

use std::sync::Arc;

use sluicebox_contract::{Event, Notice, Receipt, Subject, SubjectId};

/// A batch in the order in which it is told: subjects that come first, subjects that go last, so that they do not divide the events.
/// Nothing is said too early by that: a subject is defined before its first event and forgotten after its last one.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) defined: Vec<Arc<Subject>>,
    pub(crate) runs: Vec<Run>,
    pub(crate) forgotten: Vec<SubjectId>,
}

/// A part of a batch that is dealt with at once.
pub(crate) enum Run {
    /// Events of one kind, and the receipts of those that have one.
    Events(Vec<Event>, Vec<(SubjectId, Receipt)>),
    Listed,
}

impl Batch {
    pub(crate) fn new(notices: Vec<Notice>) -> Self {
        let mut batch = Self::default();
        for notice in notices {
            match notice {
                Notice::Defined(subject) => batch.defined.push(subject),
                Notice::Forgotten(subject) => batch.forgotten.push(subject),
                Notice::Listed => batch.runs.push(Run::Listed),
                Notice::Event(event) => batch.push(event, None),
                Notice::Tracked(event, receipt) => batch.push(event, Some(receipt)),
            }
        }
        batch
    }

    fn push(&mut self, event: Event, receipt: Option<Receipt>) {
        let receipt = event.subject().zip(receipt);
        match self.runs.last_mut() {
            Some(Run::Events(run, receipts)) if run.first().is_some_and(|first| same_kind(first, &event)) => {
                run.push(event);
                receipts.extend(receipt);
            }
            _ => self.runs.push(Run::Events(vec![event], receipt.into_iter().collect())),
        }
    }
}

pub(crate) fn events_in(notices: &[Notice]) -> u64 {
    notices.iter().filter(|notice| notice.event().is_some()).count() as u64
}

/// Whether both can be handed over in one call. What is about many subjects is a call of its own.
fn same_kind(one: &Event, other: &Event) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other) && !one.is_about_many()
}

#[cfg(test)]
mod tests {
    use sluicebox_contract::{Change, ObjectEvent, ObjectKind, SubjectKind, UnixNanos};

    use super::*;

    fn subject(id: u32) -> Notice {
        let (uid, namespace, name) = (String::new(), String::new(), String::new());
        Notice::Defined(Arc::new(Subject {
            id: SubjectId(id),
            kind: SubjectKind::Node,
            uid,
            namespace,
            name,
            attributes: Vec::new(),
        }))
    }

    fn event(id: u32) -> Notice {
        Notice::Event(Event::Object(ObjectEvent {
            subject: SubjectId(id),
            kind: ObjectKind::Node,
            change: Change::Added,
            observed_at: UnixNanos(1),
            uid: "u".into(),
            namespace: "".into(),
            name: "n".into(),
            json: None,
        }))
    }

    #[test]
    fn subjects_do_not_divide_the_events_of_a_list() {
        let notices =
            vec![subject(1), event(1), subject(2), event(2), Notice::Forgotten(SubjectId(1)), event(2), Notice::Listed, event(2)];
        let Batch { defined, runs, forgotten } = Batch::new(notices);
        assert_eq!((defined.len(), forgotten), (2, vec![SubjectId(1)]));
        let lengths: Vec<usize> = runs
            .iter()
            .map(|run| match run {
                Run::Events(events, _) => events.len(),
                Run::Listed => 0,
            })
            .collect();
        assert_eq!(lengths, [3, 0, 1]);
    }
}
