//! Pods as `<namespace>_<pod>.meta` files, and namespaces as `<namespace>.namespace_meta` files, for Fluent Bit's kubernetes filter.
//!
//! A file holds the object as the API sent it: nothing is dropped, added or sorted. The order of keys matters to the reader, which
//! would otherwise give a container the image of its neighbour.

mod retention;
mod waiting;

use std::collections::HashMap;

use serde::Deserialize;
use sluicebox_sdk::{
    Change, Context, Document, Entries, Entry, Forget, Module, ObjectEvent, ObjectKind, Objects, Subject, SubjectId, SubjectKind,
    Subjects,
};

pub use retention::Retention;

/// The module.
pub struct FluentBitMeta {
    settings: Settings,
    /// Whose file a name is: the latest subject that has it. A pod that was made again under its name owns the file, and the news,
    /// which may come late, that its predecessor is gone must not take it away.
    owners: HashMap<String, SubjectId>,
}

/// What the operator can set.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
    /// How long a file stays after its pod has gone.
    pub retention: Retention,
    /// Whether namespaces become files, too.
    pub namespaces: bool,
    /// Whether a pod is wrapped as the kubelet's list, which the reader needs when its `Use_Kubelet` is on.
    pub use_kubelet: bool,
    /// Whether a pod's first file waits until every container has an image id, for readers that never look twice.
    pub wait_for_image_ids: bool,
}

impl Module for FluentBitMeta {
    type Settings = Settings;

    fn start(settings: Settings, context: &Context) -> Result<Self, String> {
        if settings.namespaces && !context.sources.iter().any(|source| source == "namespaces") {
            return Err(
                "setting `namespaces`: the lane is not fed with namespaces: add `namespaces: {}` to the `sources` of the \
                        configuration, or set it to false"
                    .to_owned(),
            );
        }
        Ok(Self { settings, owners: HashMap::new() })
    }
}

impl Subjects for FluentBitMeta {
    fn define(&mut self, subjects: Vec<Subject>) {
        for subject in subjects {
            let name = kind(subject.kind).and_then(|kind| self.file_name(kind, &subject.namespace, &subject.name));
            if let Some(name) = name {
                // Ids grow: of two that bear a name, the larger one came later, in whichever order they are told.
                self.owners.entry(name).and_modify(|owner| *owner = subject.id.max(*owner)).or_insert(subject.id);
            }
        }
    }

    fn forget(&mut self, subjects: &[SubjectId]) {
        self.owners.retain(|_, owner| !subjects.contains(owner));
    }
}

impl Objects for FluentBitMeta {
    fn objects(&mut self, events: Vec<ObjectEvent>) -> Result<Entries, String> {
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            if let Some(name) = self.file_name(event.kind, &event.namespace, &event.name) {
                entries.extend(self.entry(name, event)?);
            }
        }
        Ok(entries.into())
    }
}

sluicebox_sdk::export!(FluentBitMeta: objects, subjects);

impl FluentBitMeta {
    // None for what becomes no file.
    fn file_name(&self, kind: ObjectKind, namespace: &str, name: &str) -> Option<String> {
        match kind {
            ObjectKind::Pod => Some(format!("{namespace}_{name}.meta")),
            ObjectKind::Namespace => self.settings.namespaces.then(|| format!("{name}.namespace_meta")),
            ObjectKind::Node | ObjectKind::Service => None,
        }
    }

    fn entry(&self, name: String, event: ObjectEvent) -> Result<Option<Entry>, String> {
        if event.change == Change::Deleted {
            let owned = self.owners.get(&name).is_none_or(|owner| *owner == event.subject);
            return Ok(owned.then(|| Forget::new(name).after(self.settings.retention.0.0).into()));
        }
        let Some(mut json) = event.json else {
            return Ok(None);
        };
        let pod = event.kind == ObjectKind::Pod;
        if pod && self.settings.wait_for_image_ids && !waiting::has_image_ids(&json, &name)? {
            return Ok(None);
        }
        if pod && self.settings.use_kubelet {
            json.insert_str(0, "{\"items\":[");
            json.push_str("]}");
        }
        json.push('\n');
        Ok(Some(Document::new(name, json).into()))
    }
}

/// What is no object of the API has no file.
fn kind(kind: SubjectKind) -> Option<ObjectKind> {
    match kind {
        SubjectKind::Pod => Some(ObjectKind::Pod),
        SubjectKind::Namespace => Some(ObjectKind::Namespace),
        SubjectKind::Node => Some(ObjectKind::Node),
        SubjectKind::Container | SubjectKind::Cgroup | SubjectKind::Outside | SubjectKind::Series => None,
        SubjectKind::Service => Some(ObjectKind::Service),
    }
}
