//! The configuration of the program in one seed. Pure.

use std::fmt::Write as _;
use std::path::Path;

use super::pages::TARGETS;
use super::plan::{MapsPlan, Plan, SpillPlan, StorePlan, Trouble};
use super::servers::TOPIC;
use super::spill::Drops;

/// Every sink.
pub(super) fn sinks(plan: &Plan) -> Vec<&'static str> {
    let mut sinks = vec!["broker", "lines", "meta", "redis"];
    sinks.extend(plan.maps.map(|_| "maps"));
    sinks.extend(plan.spill.map(|_| "spill"));
    sinks
}

/// The `ConfigMap` of documents; the names of further ones begin so.
pub(super) const MAP: &str = "pods";

/// Where everything is.
pub(super) struct Places<'a> {
    /// How the API server is reached, in the words of the configuration.
    pub(super) kubernetes: String,
    pub(super) node: &'a str,
    pub(super) namespace: &'a str,
    pub(super) pages: String,
    pub(super) broker: String,
    pub(super) redis: String,
    pub(super) state: &'a Path,
    pub(super) output: &'a Path,
    /// Of the sink that may drop.
    pub(super) spill: &'a Path,
    pub(super) cache: &'a Path,
}

/// The channel of the events of a seed, and the hash of its documents.
pub(super) fn own(what: &str, seed: u64) -> String {
    format!("{what}-{seed}")
}

/// Stands where the number of the run does.
pub(super) const RUN: &str = "RUN-NUMBER";

/// Whoever asks for a page says which run of the program he is.
pub(super) fn text(plan: &Plan, places: &Places<'_>) -> String {
    let mut text = format!(
        "node-name: {}\n\
         kubernetes: {{{}, connect-timeout: 1s, request-timeout: 2s, watch-idle-timeout: 5s}}\n\
         admin: {{listen: \"127.0.0.1:0\"}}\nlog: {{format: json}}\nshutdown-grace: 4s\n\
         cache-directory: {}\nstate-directory: {}\nsources:\n  pods: {{at-start: {}{}}}\n  scrape:\n    targets:\n",
        places.node,
        places.kubernetes,
        places.cache.display(),
        places.state.display(),
        if plan.reconciles { "reconcile" } else { "replay" },
        if plan.expires.is_some() { ", refresh: 1s" } else { "" },
    );
    let mut line = |words: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{words}");
    };
    let seed = plan.seed;
    for target in TARGETS {
        line(format_args!(
            "      s{seed}{target}: {{url: \"http://{}/{target}/{RUN}\", period: {}ms}}",
            places.pages, plan.period
        ));
    }
    line(format_args!("modules:"));
    let unchanged = if plan.expires.is_some() { ", unchanged: put" } else { "" };
    line(format_args!(
        "  samples: {{use: json-lines, from: [scrape], settings: {{channel: {TOPIC}}}, when-full: wait, to: [broker]}}"
    ));
    line(format_args!("  copies: {{use: json-lines, from: [scrape], when-full: wait, to: [lines]}}"));
    line(format_args!("  meta: {{use: fluent-bit-meta, settings: {{retention: 300ms}}, to: [meta]}}"));
    line(format_args!(
        "  metadata: {{use: pod-metadata, from: [pods], settings: {{retention: 0s, collection: {}{unchanged}}}, to: [redis]}}",
        own("metadata", seed)
    ));
    line(format_args!(
        "  events: {{use: json-lines, from: [pods], settings: {{channel: {}}}, to: [redis]}}",
        own("events", seed)
    ));
    if plan.maps.is_some() {
        line(format_args!(
            "  mapped: {{use: pod-metadata, from: [pods], settings: {{retention: 0s, collection: null{unchanged}}}, to: [maps]}}"
        ));
    }
    if plan.spill.is_some() {
        line(format_args!("  spilled: {{use: json-lines, from: [scrape], when-full: wait, to: [spill]}}"));
    }
    let output = places.output.display();
    // What is written is not lost with the disk.
    let survives = plan.has(|trouble| trouble == Trouble::ReadOnlyOutput);
    let kafka = format!(
        "kafka: {{brokers: [\"{}\"], message-timeout: 2s, linger: 1ms, extra: {{\"reconnect.backoff.ms\": \"20\", \"reconnect.backoff.max.ms\": \"200\"}}}}",
        places.broker
    );
    let expires = plan.expires.map(|after| format!(", expire-after: {after}ms")).unwrap_or_default();
    let redis = format!("redis: {{url: \"redis://{}\", connect-timeout: 1s, write-timeout: 1s{expires}}}", places.redis);
    line(format_args!("sinks:\n  broker: {{{kafka}{}}}", store(Some(plan.broker))));
    line(format_args!(
        "  lines: {{files: {{directory: \"{output}/lines\", append: {{file: lines.jsonl, sync: {}}}}}{}}}",
        if survives { "each-write" } else { "never" },
        store(Some(plan.lines))
    ));
    line(format_args!(
        "  meta: {{files: {{directory: \"{output}/meta\", sync: {survives}, remove-unclaimed: {{suffix: .meta, after: 300ms}}}}{}}}",
        store(plan.meta)
    ));
    line(format_args!("  redis: {{{redis}{}}}", store(plan.redis)));
    if let Some(MapsPlan { store: own, shards, period }) = plan.maps {
        let maps = format!("{{namespace: {}, name: {MAP}, period: {period}ms, shards: {shards}{expires}}}", places.namespace);
        line(format_args!("  maps: {{config-maps: {maps}{}}}", store(own)));
    }
    if let Some(SpillPlan { drops, store: own, items }) = plan.spill {
        let policy = if drops == Drops::Oldest { "drop-oldest" } else { "drop-newest" };
        let files = format!("files: {{directory: \"{}/lines\", append: {{file: lines.jsonl}}}}", places.spill.display());
        let queue = if own.is_none() { format!(", queue: {{items: {items}}}") } else { String::new() };
        line(format_args!("  spill: {{{files}, when-full: {policy}{queue}{}}}", store(own)));
    }
    text
}

fn store(plan: Option<StorePlan>) -> String {
    let Some(StorePlan { always, sync, mebibytes }) = plan else { return String::new() };
    let takes = if always { "always" } else { "overflow" };
    format!(", write-deadline: 5s, store: {{takes: {takes}, sync: {sync}, bytes: {mebibytes}MiB}}")
}
