//! What is known of the ends of connections: JSON as the collector that is replaced kept it under each address, rendered once.

use std::hash::{BuildHasher, BuildHasherDefault};

use sluicebox_sdk::{FastHasher, FastMap, Subject, SubjectId, SubjectKind, json};

/// What is told of an end of which nothing is known, or that is of no pod, service or node.
const NOTHING: &str = r#"{"kubernetes":{},"service":{},"node":{}}"#;

/// What is known of each subject that can stand at an end.
#[derive(Default)]
pub(crate) struct Ends(FastMap<SubjectId, Known>);

struct Known {
    json: String,
    hash: u64,
}

impl Ends {
    pub(crate) fn define(&mut self, subject: &Subject) {
        let json = render(subject);
        let hash = BuildHasherDefault::<FastHasher>::default().hash_one(&json);
        self.0.insert(subject.id, Known { json, hash });
    }

    pub(crate) fn forget(&mut self, subject: SubjectId) {
        self.0.remove(&subject);
    }

    pub(crate) fn json(&self, subject: SubjectId) -> &str {
        self.0.get(&subject).map_or(NOTHING, |known| &known.json)
    }

    /// Another number when other things are told of it.
    pub(crate) fn hash(&self, subject: SubjectId) -> u64 {
        self.0.get(&subject).map_or(0, |known| known.hash)
    }
}

fn render(subject: &Subject) -> String {
    let known = |name| subject.attribute(name).unwrap_or_default();
    let name = subject.name.as_str();
    let (mut kubernetes, mut service, mut node) = (Vec::new(), Vec::new(), Vec::new());
    match subject.kind {
        SubjectKind::Pod => kubernetes = vec![("name", name), ("uid", &subject.uid), ("image", known("image"))],
        SubjectKind::Container => {
            kubernetes = vec![("name", known("pod-name")), ("uid", known("pod-uid")), ("image", known("image"))];
        }
        SubjectKind::Service => service = vec![("name", name), ("type", known("service-type")), ("ports", known("ports"))],
        SubjectKind::Node => node = vec![("name", name), ("kernel", known("kernel-version"))],
        SubjectKind::Namespace | SubjectKind::Cgroup | SubjectKind::Outside | SubjectKind::Series => return NOTHING.to_owned(),
    }
    let mut out = String::new();
    json::object(&mut out, |object| {
        for (key, fields) in [("kubernetes", kubernetes), ("service", service), ("node", node)] {
            // What is not known is left out.
            object.field(key, |out| json::strings(out, fields.into_iter().filter(|(_, value)| !value.is_empty())));
        }
    });
    out
}
