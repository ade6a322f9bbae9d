//! Messages of a preset that would have nowhere to go: its sink would refuse each of them.

use serde_json::Value;
use sluicebox_sinks::Config as Sink;

use super::{Check, Component, LanePlan, SinkPlan};
use crate::config::yaml::step;

/// Under which names a preset is told where its messages go.
const WORDS: [&str; 3] = ["channel", "topic", "file"];

/// Names the sinks of lanes that take none of the lane's messages. What a module of the user's makes is not known.
pub(super) fn find(check: &mut Check<'_>, lanes: &[LanePlan], sinks: &[SinkPlan]) {
    for lane in lanes {
        let Component::Preset(preset) = &lane.component else { continue };
        let Some(is_named) = messages(preset.name, &lane.settings) else { continue };
        for (index, name) in lane.to.iter().enumerate() {
            let sink = sinks.iter().find(|sink| sink.name == *name);
            let Some((cause, cure)) = sink.and_then(|sink| refusal(&sink.config, is_named)) else { continue };
            let path = format!("{}/to/{index}", step("/modules", &lane.name));
            check.problem(&path, format!("`{name}` would refuse every message of `{}`: {cause}", preset.name), cure);
        }
    }
}

/// Whether the messages of a preset name where they go; none where it makes no messages.
fn messages(preset: &str, settings: &str) -> Option<bool> {
    let settings: Value = serde_json::from_str(settings).unwrap_or_default();
    let set = |value: fn(&Value) -> bool| WORDS.iter().any(|word| settings.get(word).is_some_and(value));
    match preset {
        "galileo-events" | "telemd" => Some(true),
        "json-lines" | "service-map" => Some(set(|value| !value.is_null())),
        "pod-metrics" if settings.get("form").is_none_or(|form| form != "prometheus") => Some(set(|value| !value.is_null())),
        // It has a topic of its own, unless that is taken away.
        "mape-kafka" => Some(!set(Value::is_null)),
        _ => None,
    }
}

/// Why a sink takes no message, and what helps.
fn refusal(sink: &Sink, is_named: bool) -> Option<(&'static str, &'static str)> {
    match sink {
        Sink::Redis(config) if !is_named && config.channel.is_none() => Some((
            "they name no channel, and the sink has none",
            "give the sink a `channel`, or the module one: `settings: {channel: NAME}`",
        )),
        Sink::Kafka(config) if !is_named && config.topic.is_none() => Some((
            "they name no topic, and the sink has none",
            "give the sink a `topic`, or the module one: `settings: {channel: NAME}`",
        )),
        Sink::Files(config) if config.append.is_none() => {
            Some(("messages have no name to be kept under", "give the sink `append: {file: NAME}`, or name a sink of messages"))
        }
        Sink::ConfigMaps(_) => Some(("messages have no name to be kept under", "name a sink of messages, such as `kafka`")),
        Sink::Prometheus(_) => Some((
            "messages have no name to be kept under",
            "name a sink of messages, or a module that makes documents, such as `pod-metrics` with `form: prometheus`",
        )),
        Sink::Redis(_) | Sink::Kafka(_) | Sink::Files(_) | Sink::Stdout(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_messages_go_is_left_to_the_sink_unless_they_say_it() {
        assert_eq!(messages("json-lines", "{}"), Some(false));
        assert_eq!(messages("json-lines", r#"{"channel": null}"#), Some(false));
        assert_eq!(messages("service-map", r#"{"topic": "t"}"#), Some(true));
        assert_eq!(messages("pod-metrics", r#"{"form": "csv", "file": "f"}"#), Some(true));
        assert_eq!(messages("pod-metrics", r#"{"form": "prometheus"}"#), None);
        assert_eq!(messages("mape-kafka", "{}"), Some(true));
        assert_eq!(messages("mape-kafka", r#"{"topic": null}"#), Some(false));
        assert_eq!(messages("fluent-bit-meta", "{}"), None);
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
    fn messages_and_documents_that_have_a_place_are_let_by() {
        for (module, sink) in [
            ("json-lines, settings: {channel: c}", "redis: {url: \"redis://r:1\"}"),
            ("json-lines", "redis: {url: \"redis://r:1\", channel: c}"),
            ("galileo-events", "redis: {url: \"redis://r:1\"}"),
            ("pod-metrics, settings: {form: prometheus}", "prometheus: {listen: \"0.0.0.0:9091\"}"),
            ("fluent-bit-meta", "files: {directory: /tmp/x}"),
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
