//! The settings of the config-maps sink.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::{ByteSize, Problem, TimeSpan};
use sluicebox_kubernetes::is_object_name;

use super::place;

/// Of more, the API server stores no `ConfigMap`: 1 MiB, with room for what it adds.
const LARGEST_BUDGET: u64 = 900 << 10;
/// Less than that is of no use.
const SMALLEST_BUDGET: u64 = 256;
/// So many `ConfigMap`s one sink writes to, at most.
pub(super) const MOST_MAPS: usize = 64;
/// The API server is not asked more often.
const SHORTEST_PERIOD: Duration = Duration::from_millis(100);

/// Keeps each document as a key of a `ConfigMap`: the document's collection is the `ConfigMap`'s name, its name the key, its body the
/// value. Many nodes may write to the same `ConfigMap`s: each owns the keys that it puts, changes no others and removes no others. Where
/// two put the same key, the later one has it.
///
/// Names of keys consist of letters, digits, `-`, `_` and `.`, have at most 253 bytes and do not begin with `..`; bodies are UTF-8
/// text. Whatever is different is refused, and so are messages, as they have no name. A document to be forgotten later is remembered in
/// memory only. The keys of an earlier run are known by the field manager, `sluicebox/<owner>/<sink>`: they are taken over, and removed
/// when they are not put again, after `expire-after` where that is set, else when everything that was there at the start has been
/// written. That is done for the `ConfigMap` named here, and for others as soon as a document names them.
///
/// Server-side apply is used (Kubernetes 1.18 and later). Rights needed, in the namespace: `get`, `create` and `patch` for the
/// resource `configmaps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
#[schemars(rename = "ConfigMapsSink")]
pub struct Config {
    /// The namespace of the `ConfigMap`s. It must be there.
    pub namespace: String,
    /// The `ConfigMap` of documents that name no collection; without it they are refused. Created where missing, even before there are
    /// documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Each `ConfigMap` is written at most once in so long; the first time at once. What changes meanwhile is written together. One bears
    /// some 25 writers of 100 changing keys each every `5s`, or 50 of them every `30s` (measured with an API server that had two busy cores, on
    /// which 50 every `20s` ran out of time): where there are more, use a longer `period`, or `shards`.
    pub period: TimeSpan,
    /// The bytes of all keys and values in one `ConfigMap`, whoever has put them. At most 900KiB. Where more is to be written, the
    /// documents of this sink that were not put for longest make room; what does not fit even then is refused. Above the half of it, each
    /// write is for one version of the `ConfigMap`, and takes more requests the more others write to it.
    pub budget: ByteSize,
    /// Over how many `ConfigMap`s a collection is spread: those of the names `<name>`, `<name>-1`, `<name>-2` and so on. A key belongs to
    /// the one of the number that FNV-1a (64 bits) of its bytes leaves when it is divided by `shards`, zero being `<name>`. Each
    /// of them is smaller then, and a write to it cheaper: for when there is more than one bears (see `period`).
    pub shards: u32,
    /// A document that has not been put again for so long is forgotten. Without it, none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expire_after: Option<TimeSpan>,
    /// How old the last look at a `ConfigMap` may be: then it is read anew, and what somebody has removed is written again.
    pub resync: TimeSpan,
    /// Keys of other owners who have not touched the `ConfigMap` for so long, as their nodes are gone for good, are removed by anybody
    /// who still writes to it. Owners that live touch it three times as often. Give it to all of them. Without it, nobody's are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abandoned_after: Option<TimeSpan>,
    /// Who writes, as far as keys are owned: no two programs that run at once may be the same, else each removes the keys of the other,
    /// which is warned of. Without it, the name of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            namespace: "default".to_owned(),
            name: None,
            period: TimeSpan(Duration::from_secs(5)),
            budget: ByteSize(512 << 10),
            shards: 1,
            expire_after: None,
            resync: TimeSpan(Duration::from_mins(1)),
            abandoned_after: None,
            owner: None,
        }
    }
}

impl Config {
    /// The settings for a `ConfigMap`, all others as by default.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), ..Self::default() }
    }

    /// The `ConfigMap`s of documents that name no collection.
    pub fn names(&self) -> Vec<String> {
        let shards = self.shards.min(u32::try_from(MOST_MAPS).unwrap_or(u32::MAX));
        let name = self.name.as_deref();
        name.into_iter().flat_map(|name| (0..shards).map(move |shard| place::map_name(name, shard))).collect()
    }

    /// After how long without a write one is made as a sign of life.
    pub(super) fn touch_after(&self) -> Option<Duration> {
        self.abandoned_after.map(|after| after.0 / 3)
    }

    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut add = |field: &str, cause: String, cure: &str| problems.push(Problem::new(field, cause, cure));
        if !is_object_name(&self.namespace) || self.namespace.len() > 63 || self.namespace.contains('.') {
            let cause = format!("`{}` is not the name of a namespace", self.namespace);
            add("namespace", cause, "use at most 63 small letters, digits and `-`");
        }
        let longest = self.name.as_ref().map(|name| place::map_name(name, self.shards.saturating_sub(1)));
        if let Some(name) = longest.filter(|name| !is_object_name(name)) {
            let cause = format!("`{name}` cannot be the name of a ConfigMap");
            add(
                "name",
                cause,
                "use at most 253 small letters, digits, `-` and `.`, beginning and ending with a letter or a digit",
            );
        }
        if self.shards == 0 || self.shards as usize > MOST_MAPS {
            add("shards", format!("{} is not between 1 and {MOST_MAPS}", self.shards), "leave it out for 1");
        }
        if self.budget.0 < SMALLEST_BUDGET || self.budget.0 > LARGEST_BUDGET {
            let cause = format!("{} is not between 256B and 900KiB, and the API server stores no ConfigMap of more", self.budget);
            add("budget", cause, "leave it out for 512KiB; `shards` has the documents in several ConfigMaps");
        }
        if self.owner.as_ref().is_some_and(|owner| !place::is_owner(owner)) {
            add("owner", "not a usable name".to_owned(), "use 1 to 253 letters, digits, `-`, `_` and `.`");
        }
        let spans = [
            ("period", Some(self.period), SHORTEST_PERIOD, "leave it out for 5s"),
            ("expire-after", self.expire_after, Duration::from_secs(1), "give at least `1s`, or leave it out for never"),
            ("resync", Some(self.resync), Duration::from_secs(1), "leave it out for 1m"),
            ("abandoned-after", self.abandoned_after, Duration::from_mins(1), "give at least `1m`, or leave it out for never"),
        ];
        for (field, span, least, cure) in spans {
            if let Some(span) = span.filter(|span| span.0 < least) {
                add(field, format!("{span} is shorter than {}", TimeSpan(least)), cure);
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("readable");
        config.problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn nothing_must_be_said() {
        let config: Config = serde_json::from_str("{}").expect("enough");
        assert_eq!((&config, config.problems()), (&Config::default(), Vec::new()));
        assert_eq!(
            serde_json::to_string(&config).expect("a config"),
            r#"{"namespace":"default","period":"5s","budget":"512KiB","shards":1,"resync":"1m"}"#
        );
        assert!(serde_json::from_str::<Config>(r#"{"shard":2}"#).is_err());
    }

    #[test]
    fn every_mistake_is_named() {
        assert_eq!(
            problems(
                r#"{"namespace":"a.b","name":"A","shards":65,"budget":"1MiB","owner":"a/b","period":"0s","expire-after":"1ms",
                "resync":"0s","abandoned-after":"1s"}"#
            ),
            [
                "namespace: `a.b` is not the name of a namespace",
                "name: `A-64` cannot be the name of a ConfigMap",
                "shards: 65 is not between 1 and 64",
                "budget: 1MiB is not between 256B and 900KiB, and the API server stores no ConfigMap of more",
                "owner: not a usable name",
                "period: 0s is shorter than 100ms",
                "expire-after: 1ms is shorter than 1s",
                "resync: 0s is shorter than 1s",
                "abandoned-after: 1s is shorter than 1m",
            ]
        );
    }
}
