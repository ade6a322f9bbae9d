//! Which container a series is about: found when the series is defined, and written for JSON once.

use std::rc::Rc;

use sluicebox_sdk::{FastMap, Subject, SubjectId};

use crate::python;

/// The containers of all series that are defined.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    labels: Vec<String>,
    /// Nothing is kept of those that are passed over.
    known: FastMap<SubjectId, Option<ContainerId>>,
}

/// The id of a container, as the label has it.
#[derive(Clone, Debug)]
pub(crate) struct ContainerId {
    pub(crate) text: Rc<str>,
    /// With its quotes.
    pub(crate) json: String,
}

impl Ids {
    /// The first of these labels counts that is there and not empty.
    pub(crate) fn of(labels: Vec<String>) -> Self {
        Self { labels, known: FastMap::default() }
    }

    pub(crate) fn define(&mut self, subject: &Subject) {
        let found = self.labels.iter().filter_map(|label| subject.attribute(label)).find(|text| !text.is_empty());
        let id = found.map(|text| ContainerId { text: text.into(), json: python::quoted(text) });
        self.known.insert(subject.id, id);
    }

    pub(crate) fn forget(&mut self, subject: SubjectId) {
        self.known.remove(&subject);
    }

    /// Whether it was ever defined.
    pub(crate) fn knows(&self, subject: SubjectId) -> bool {
        self.known.contains_key(&subject)
    }

    /// None for a series that is about no container.
    pub(crate) fn get(&self, subject: SubjectId) -> Option<&ContainerId> {
        self.known.get(&subject)?.as_ref()
    }
}
