//! Entries of a preset that would have nowhere to go: its sink would refuse each of them.

use serde_json::Value;
use sluicebox_sinks::{Config as Sink, kafka};

use super::{Check, Component, LanePlan, SinkPlan};
use crate::config::yaml::step;

/// Under which names a preset is told where its messages go.
const WORDS: [&str; 3] = ["channel", "topic", "file"];

/// Stands for a topic that a preset has chosen well.
const OWN: &str = "a topic of its own";

/// What a preset makes, and where it says that it goes.
#[derive(Debug, PartialEq)]
enum Entries {
    /// On this channel.
    Messages(Option<String>),
    /// Into this collection.
    Documents(Option<String>),
}

/// Names the sinks of lanes that take none of the lane's entries. What a module of the user's makes is not known.
pub(super) fn find(check: &mut Check<'_>, lanes: &[LanePlan], sinks: &[SinkPlan]) {
    for lane in lanes {
        let Component::Preset(preset) = &lane.component else { continue };
        let Some(entries) = entries(preset.name, &lane.settings) else { continue };
        for (index, name) in lane.to.iter().enumerate() {
            let sink = sinks.iter().find(|sink| sink.name == *name);
            let Some((cause, cure)) = sink.and_then(|sink| refusal(&sink.config, &entries)) else { continue };
            let path = format!("{}/to/{index}", step("/modules", &lane.name));
            let what = if matches!(entries, Entries::Messages(_)) { "message" } else { "document" };
            check.problem(&path, format!("`{name}` would refuse every {what} of `{}`: {cause}", preset.name), cure);
        }
    }
}

/// What a preset makes, as far as it is of one kind.
fn entries(preset: &str, settings: &str) -> Option<Entries> {
    let settings: Value = serde_json::from_str(settings).unwrap_or_default();
    // One that is `null` takes away what counts by default.
    let set = |words: &[&str], default: Option<&str>| {
        let said = words.iter().find_map(|word| settings.get(word));
        said.map_or_else(|| default.map(str::to_owned), |said| said.as_str().map(str::to_owned))
    };
    let is_page = settings.get("form").is_some_and(|form| form == "prometheus");
    Some(match preset {
        "galileo-events" => Entries::Messages(set(&WORDS, Some("galileo/events"))),
        "telemd" => Entries::Messages(Some("telem/…".to_owned())),
        "mape-kafka" => Entries::Messages(set(&WORDS, Some(OWN))),
        "pod-metrics" if is_page => Entries::Documents(None),
        "json-lines" | "service-map" | "pod-metrics" => Entries::Messages(set(&WORDS, None)),
        "fluent-bit-meta" => Entries::Documents(None),
        "connection-transactions" => Entries::Documents(set(&["collection"], Some("transactions"))),
        "pod-metadata" => Entries::Documents(set(&["collection"], Some("metadata"))),
        _ => return None,
    })
}

/// Why a sink takes none, and what helps.
fn refusal(sink: &Sink, entries: &Entries) -> Option<(String, &'static str)> {
    let (cause, cure) = match (entries, sink) {
        (Entries::Messages(None), Sink::Redis(config)) if config.channel.is_none() => (
            "they name no channel, and the sink has none",
            "give the sink a `channel`, or the module one: `settings: {channel: NAME}`",
        ),
        (Entries::Messages(None), Sink::Kafka(config)) if config.topic.is_none() => (
            "they name no topic, and the sink has none",
            "give the sink a `topic`, or the module one: `settings: {channel: NAME}`",
        ),
        (Entries::Messages(Some(channel)), Sink::Kafka(_)) => return foreign(channel),
        (Entries::Messages(_), Sink::Files(config)) if config.append.is_none() => {
            ("messages have no name to be kept under", "give the sink `append: {file: NAME}`, or name a sink of messages")
        }
        (Entries::Messages(_), Sink::ConfigMaps(_)) => {
            ("messages have no name to be kept under", "name a sink of messages, such as `kafka`")
        }
        (Entries::Messages(_), Sink::Prometheus(_)) => (
            "messages have no name to be kept under",
            "name a sink of messages, or a module that makes documents, such as `pod-metrics` with `form: prometheus`",
        ),
        (Entries::Documents(None), Sink::Redis(config)) if config.hash.is_none() => {
            ("they name no collection, and the sink has no `hash`", "give the sink a `hash`, in which they are kept")
        }
        (Entries::Documents(None), Sink::Kafka(config)) if config.topic.is_none() => {
            ("they name no collection, and the sink has no `topic`", "give the sink a `topic`")
        }
        (Entries::Documents(None), Sink::ConfigMaps(config)) if config.name.is_none() => {
            ("they name no collection, and the sink has no `name`", "give the sink a `name`, that of its `ConfigMap`")
        }
        _ => return None,
    };
    Some((cause.to_owned(), cure))
}

/// Of a channel that is one of Redis and can be no topic.
fn foreign(channel: &str) -> Option<(String, &'static str)> {
    (channel != OWN).then_some(())?;
    let cause = kafka::check_topic(channel).err()?;
    Some((cause, "name a sink of `redis`, or where the module has the setting a topic: `settings: {channel: NAME}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_entries_go_is_left_to_the_sink_unless_they_say_it() {
        let messages = |channel: &str| Some(Entries::Messages(Some(channel.to_owned())));
        assert_eq!(entries("json-lines", "{}"), Some(Entries::Messages(None)));
        assert_eq!(entries("json-lines", r#"{"channel": null}"#), Some(Entries::Messages(None)));
        assert_eq!(entries("service-map", r#"{"topic": "t"}"#), messages("t"));
        assert_eq!(entries("pod-metrics", r#"{"form": "csv", "file": "f"}"#), messages("f"));
        assert_eq!(entries("pod-metrics", r#"{"form": "prometheus"}"#), Some(Entries::Documents(None)));
        assert_eq!(entries("mape-kafka", "{}"), messages(OWN));
        assert_eq!(entries("mape-kafka", r#"{"topic": null}"#), Some(Entries::Messages(None)));
        assert_eq!(entries("galileo-events", r#"{"channel": "c"}"#), messages("c"));
        assert_eq!(entries("pod-metadata", "{}"), Some(Entries::Documents(Some("metadata".to_owned()))));
        assert_eq!(entries("pod-metadata", r#"{"collection": null}"#), Some(Entries::Documents(None)));
    }

    fn complaints(modules: &str, sink: &str) -> Vec<String> {
        let text = format!(
            "node-name: n1\nsources: {{pods: {{}}, cgroups: {{}}}}\nmodules: {{{modules}}}\nsinks: {{t: {{stdout: {{}}}}, out: {{{sink}}}}}\n"
        );
        crate::config::load::check(&text, &|_| None).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn messages_that_a_sink_would_refuse_are_named_with_what_helps() {
        let lines = "lines: {use: json-lines, to: [t, out]}";
        let redis = complaints(lines, "redis: {url: \"redis://r:1\"}");
        assert_eq!(
            redis,
            [
                "line 3: `modules.lines.to.1`: `out` would refuse every message of `json-lines`: they name no channel, and the sink has none\n  \
              hint: give the sink a `channel`, or the module one: `settings: {channel: NAME}`"
            ]
        );
        for (sink, cure) in [
            ("kafka: {brokers: [\"k:9092\"]}", "give the sink a `topic`"),
            ("files: {directory: /tmp/x}", "give the sink `append: {file: NAME}`"),
            ("config-maps: {namespace: d}", "name a sink of messages"),
            ("prometheus: {listen: \"0.0.0.0:9091\"}", "or a module that makes documents"),
        ] {
            let said = complaints(lines, sink);
            assert!(said.len() == 1 && said.concat().contains(cure), "{sink}: {said:?}");
        }
    }

    #[test]
    fn documents_without_a_place_and_channels_that_are_no_topics_are_named() {
        for (module, sink, cause) in [
            ("galileo-events", "kafka: {brokers: [\"k:9092\"], topic: t}", "the topic `galileo/events` has a character"),
            ("galileo-events, settings: {channel: a b}", "kafka: {brokers: [\"k:9092\"]}", "`a b`"),
            ("telemd", "kafka: {brokers: [\"k:9092\"]}", "no topic may have"),
            ("fluent-bit-meta", "redis: {url: \"redis://r:1\"}", "has no `hash`"),
            ("fluent-bit-meta", "kafka: {brokers: [\"k:9092\"]}", "has no `topic`"),
            ("pod-metrics, settings: {form: prometheus}", "config-maps: {namespace: d}", "has no `name`"),
        ] {
            let said = complaints(&format!("a: {{use: {module}, to: [t, out]}}"), sink);
            assert!(said.len() == 1 && said[0].contains(cause), "{module} to {sink}: {said:?}");
        }
    }

    #[test]
    fn messages_and_documents_that_have_a_place_are_let_by() {
        for (module, sink) in [
            ("json-lines, settings: {channel: c}", "redis: {url: \"redis://r:1\"}"),
            ("json-lines", "redis: {url: \"redis://r:1\", channel: c}"),
            ("galileo-events", "redis: {url: \"redis://r:1\"}"),
            ("pod-metrics, settings: {form: prometheus}", "prometheus: {listen: \"0.0.0.0:9091\"}"),
            ("fluent-bit-meta", "files: {directory: /tmp/x}"),
            ("fluent-bit-meta", "redis: {url: \"redis://r:1\", hash: h}"),
            ("galileo-events, settings: {channel: c}", "kafka: {brokers: [\"k:9092\"]}"),
            ("mape-kafka", "kafka: {brokers: [\"k:9092\"]}"),
            ("pod-metadata", "config-maps: {namespace: d}"),
            ("json-lines", "files: {directory: /tmp/x, append: {file: f}}"),
            ("./own.wasm", "redis: {url: \"redis://r:1\"}"),
        ] {
            assert_eq!(
                complaints(&format!("a: {{use: {module}, to: [t, out]}}"), sink),
                Vec::<String>::new(),
                "{module} to {sink}"
            );
        }
    }
}
