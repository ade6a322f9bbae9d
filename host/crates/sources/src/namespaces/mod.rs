//! Namespaces, as the API's own JSON.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::meter::SourceMeter;
use sluicebox_contract::quantity::ByteSize;
use sluicebox_contract::{Fault, Feed, ObjectKind, Remembered, Source, SubjectIds};

use crate::kubernetes::Api;
use crate::watch::{Bounds, Follow, Forms, Target, check_sizes, length, names};
use crate::{AtStart, Attributes, Problem};

/// How namespaces are watched, and how much is remembered of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// How many namespaces a page of a list holds at most.
    pub page_size: u32,
    /// How many bytes a page of a list has at most. When one has more, smaller pages are asked for.
    pub max_page_bytes: ByteSize,
    /// How many bytes an event of a watch has at most. A longer one is left out and counted.
    pub max_object_bytes: ByteSize,
    /// How many namespaces are remembered at most, so that what vanished unseen is noticed.
    pub max_cached_objects: usize,
    /// How many bytes they take at most, roughly.
    pub max_cached_bytes: ByteSize,
    /// What is told at the start of namespaces that were told of before, where a state directory keeps what was announced: with `reconcile` what has
    /// come, changed and gone since, and nothing twice that was written; with `replay` everything that is there, as if for the first time.
    /// What is kept takes as many bytes on the disk as `max-cached-bytes` says, at most. A source that works on one of several collectors (see
    /// `lease`) always replays: another one may have announced meanwhile.
    pub at_start: AtStart,
    /// Fields that are told with the subject of each, whichever form its events have: a name of one's own, and where the field stands in
    /// the API's JSON, as a JSON Pointer, such as `app: /metadata/labels/app` or `zone: /metadata/labels/topology.kubernetes.io~1zone`,
    /// where `~1` is a slash. At most 32; a value of more than 4 KiB is left out and counted.
    pub attributes: Attributes,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            page_size: 250,
            max_page_bytes: ByteSize(32 << 20),
            max_object_bytes: ByteSize(4 << 20),
            max_cached_objects: 20_000,
            max_cached_bytes: ByteSize(16 << 20),
            at_start: AtStart::default(),
            attributes: Attributes::default(),
        }
    }
}

impl Config {
    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = check_sizes(self.page_size, self.max_page_bytes, self.max_object_bytes, self.max_cached_bytes);
        problems.extend(self.attributes.problems("attributes"));
        problems
    }
}

/// The source.
pub struct Namespaces {
    follow: Follow,
}

impl Namespaces {
    /// Watches all namespaces as `config` says.
    pub fn new(config: &Config, api: Api, ids: Arc<SubjectIds>, meter: Arc<SourceMeter>) -> Self {
        let (source, path) = names(ObjectKind::Namespace);
        Self {
            follow: Follow {
                api,
                target: Target {
                    kind: ObjectKind::Namespace,
                    source,
                    path,
                    field_selector: None,
                    first_from_cache: true,
                    page_size: config.page_size,
                    max_page_bytes: length(config.max_page_bytes),
                    max_object_bytes: length(config.max_object_bytes),
                },
                bounds: Bounds { objects: config.max_cached_objects, bytes: length(config.max_cached_bytes) },
                forms: Forms { typed: None, json: true, keep_json: false, attributes: config.attributes.clone() },
                refresh: None,
                ids,
                meter,
                remembered: None,
            },
        }
    }
}

impl Namespaces {
    /// Begins with what was announced before, and has it known what is announced.
    #[must_use]
    pub fn remembering(mut self, remembered: Option<Remembered>) -> Self {
        self.follow.remembered = remembered;
        self
    }
}

impl Source for Namespaces {
    async fn run(self, feed: impl Feed, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), Fault> {
        self.follow.run(feed, stop).await
    }
}
