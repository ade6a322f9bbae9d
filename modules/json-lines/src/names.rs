//! What subjects are called, rendered once and not with every line.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sluicebox_sdk::{Subject, SubjectId, SubjectKind};

use crate::Fields;

/// What is needed to write about subjects.
pub(crate) struct Names {
    fields: Fields,
    subjects: BTreeMap<SubjectId, Known>,
}

/// How a subject is written.
pub(crate) struct Known {
    /// What keeps lines about it in order: its uid, or its name where it has none.
    pub(crate) key: String,
    fields: Map<String, Value>,
    /// The same as text, without the braces around it: `"subject":"container",...`.
    pub(crate) text: String,
}

impl Names {
    pub(crate) fn new(fields: Fields) -> Self {
        Self { fields, subjects: BTreeMap::new() }
    }

    pub(crate) fn define(&mut self, subjects: &[Subject]) {
        for subject in subjects {
            // A cgroup has no uid; its name is its path.
            let key = if subject.uid.is_empty() { &subject.name } else { &subject.uid };
            let fields = fields(subject, self.fields);
            let text = Value::from(fields.clone()).to_string();
            let text = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or_default().to_owned();
            self.subjects.insert(subject.id, Known { key: key.clone(), fields, text });
        }
    }

    pub(crate) fn forget(&mut self, subjects: &[SubjectId]) {
        for subject in subjects {
            self.subjects.remove(subject);
        }
    }

    pub(crate) fn get(&self, subject: SubjectId) -> Option<&Known> {
        self.subjects.get(&subject)
    }

    /// Empty for one that is not known.
    pub(crate) fn key(&self, subject: SubjectId) -> &str {
        self.get(subject).map_or("", |known| known.key.as_str())
    }

    pub(crate) fn fields(&self, subject: SubjectId) -> Option<&Map<String, Value>> {
        self.get(subject).map(|known| &known.fields)
    }
}

fn fields(subject: &Subject, wanted: Fields) -> Map<String, Value> {
    let mut fields = Map::new();
    let attributes: Map<_, _> =
        subject.attributes.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    if subject.kind == SubjectKind::Series {
        // Its labels are all that it is.
        if !subject.name.is_empty() {
            fields.insert("name".to_owned(), subject.name.as_str().into());
        }
        fields.insert("labels".to_owned(), attributes.into());
        return fields;
    }
    let mut put = |name: &str, value: &str| {
        if !value.is_empty() {
            fields.insert(name.to_owned(), value.into());
        }
    };
    put("subject", kind(subject.kind));
    put("namespace", &subject.namespace);
    put("pod", subject.attribute("pod-name").unwrap_or_default());
    put("name", &subject.name);
    if wanted == Fields::Full {
        put("uid", &subject.uid);
        if !attributes.is_empty() {
            fields.insert("attributes".to_owned(), attributes.into());
        }
    }
    fields
}

fn kind(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Pod => "pod",
        SubjectKind::Namespace => "namespace",
        SubjectKind::Node => "node",
        SubjectKind::Container => "container",
        SubjectKind::Cgroup => "cgroup",
        SubjectKind::Service => "service",
        SubjectKind::Outside => "outside",
        SubjectKind::Series => "series",
    }
}
