//! Which cgroup has which name. Each name is told of one cgroup only: whoever adds up what pods use counts none of them twice. Pure.

use std::collections::HashMap;

use sluicebox_contract::{Subject, SubjectId, SubjectKind};

/// The names that are told.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<(SubjectKind, String), SubjectId>);

impl Claims {
    /// Whether another cgroup has it.
    pub(super) fn is_anothers(&self, subject: &Subject) -> bool {
        subject.kind != SubjectKind::Cgroup && self.0.get(&name(subject)).is_some_and(|holder| *holder != subject.id)
    }

    /// This one has it from now on. A path is no name.
    pub(super) fn take(&mut self, subject: &Subject) {
        if subject.kind != SubjectKind::Cgroup {
            self.0.insert(name(subject), subject.id);
        }
    }

    /// It is told no more. Says whether another one may have it now.
    pub(super) fn free(&mut self, subject: &Subject) -> bool {
        let name = name(subject);
        let is_its_own = self.0.get(&name) == Some(&subject.id);
        is_its_own && self.0.remove(&name).is_some()
    }
}

fn name(subject: &Subject) -> (SubjectKind, String) {
    (subject.kind, subject.uid.clone())
}
