//! Honest work, by name, for the benchmark of the border.

use std::collections::BTreeMap;

use crate::bindings::exports::sluicebox::module::pod_handler::{Phase, PodEvent, QosClass};
use crate::bindings::exports::sluicebox::module::sample_handler::{Reading, Tick};
use crate::bindings::exports::sluicebox::module::subjects::Subject;
use crate::bindings::sluicebox::module::types::{Entries, Entry, Message, PackedEnd, PackedMessages, Payload};
use crate::work::{self, Fields};

/// What the benchmark asks for; none when it is not the benchmark that asks.
pub(crate) fn pods(work: &str, size: usize, events: &[PodEvent]) -> Option<Entries> {
    match work {
        "emit-plain" => Some(Entries::Plain((0..size).map(sample).collect())),
        "emit-packed" => Some(Entries::Packed(sampled(size))),
        "work-none" => Some(Entries::Plain(Vec::new())),
        "work-plain" => Some(Entries::Plain(events.iter().map(plain).collect())),
        "work-packed" => Some(Entries::Packed(packed(events))),
        _ => None,
    }
}

/// What a line about a subject begins with, where the benchmark asks for it.
pub(crate) fn fragment(work: &str, subject: &Subject) -> Option<String> {
    if !work.starts_with("work-samples") {
        return None;
    }
    let attribute = |name: &str| {
        let found = subject.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let mut fragment = String::with_capacity(256);
    work::fragment(
        &mut fragment,
        [
            ("uid", &subject.uid),
            ("namespace", &subject.namespace),
            ("pod", attribute("pod-name")),
            ("container", &subject.name),
            ("qos", attribute("qos-class")),
            ("cgroup", attribute("cgroup")),
        ],
    );
    Some(fragment)
}

/// A line for each sample; with key and channel where that is asked for.
pub(crate) fn samples(work: &str, metrics: &[String], fragments: &BTreeMap<u32, String>, tick: &Tick) -> Option<Entries> {
    let addressed = match work {
        "work-samples" => false,
        "work-samples-addressed" => true,
        _ => return None,
    };
    let middles: Vec<String> = metrics.iter().map(|metric| work::middle(metric, tick.observed_at_unix_nanos)).collect();
    let mut text = String::with_capacity(288 * tick.samples.len());
    let mut ends = Vec::with_capacity(tick.samples.len());
    for samples in tick.samples.chunk_by(|one, other| one.subject == other.subject) {
        let subject = samples.first()?.subject;
        let fragment = fragments.get(&subject)?;
        let key = if addressed { subject.to_string() } else { String::new() };
        for sample in samples {
            let value = match &sample.reading {
                Reading::Counter(counter) => counter.increase.as_ref().map_or(0, |increase| increase.amount),
                Reading::Value(value) => *value,
                Reading::Unlimited => 0,
            };
            let channel_end = text.len() as u32;
            text.push_str(&key);
            let key_end = text.len() as u32;
            work::point(&mut text, fragment, middles.get(usize::from(sample.metric))?, value);
            ends.push(PackedEnd { channel_end, key_end, body_end: text.len() as u32 });
        }
    }
    let channel = addressed.then(|| "samples".to_owned());
    Some(Entries::Packed(PackedMessages { channel, headers: Vec::new(), text, ends }))
}

fn plain(event: &PodEvent) -> Entry {
    let mut line = String::with_capacity(640);
    work::line(&mut line, fields(event));
    let key = Some(event.pod.uid.clone());
    Entry::Message(Message { channel: None, key, headers: Vec::new(), body: Payload::Text(line) })
}

fn packed(events: &[PodEvent]) -> PackedMessages {
    let mut text = String::with_capacity(640 * events.len());
    let mut ends = Vec::with_capacity(events.len());
    for event in events {
        let channel_end = text.len() as u32;
        text.push_str(&event.pod.uid);
        let key_end = text.len() as u32;
        work::line(&mut text, fields(event));
        ends.push(PackedEnd { channel_end, key_end, body_end: text.len() as u32 });
    }
    PackedMessages { channel: None, headers: Vec::new(), text, ends }
}

/// Many small messages from nothing: what kinds of events will do that come as numbers.
fn sample(number: usize) -> Entry {
    let mut line = String::with_capacity(256);
    work::sample(&mut line, number);
    let body = Payload::Text(line);
    Entry::Message(Message { channel: None, key: None, headers: Vec::new(), body })
}

fn sampled(count: usize) -> PackedMessages {
    let mut text = String::with_capacity(256 * count);
    let mut ends = Vec::with_capacity(count);
    for number in 0..count {
        let begin = text.len() as u32;
        work::sample(&mut text, number);
        ends.push(PackedEnd { channel_end: begin, key_end: begin, body_end: text.len() as u32 });
    }
    PackedMessages { channel: None, headers: Vec::new(), text, ends }
}

fn fields(event: &PodEvent) -> Fields<'_, impl Iterator<Item = (&str, &str)>> {
    let pod = &event.pod;
    let app = pod.containers.first();
    Fields {
        texts: [
            ("uid", &pod.uid),
            ("namespace", &pod.namespace),
            ("name", &pod.name),
            ("node", pod.node_name.as_deref().unwrap_or_default()),
            ("phase", phase(pod.phase)),
            ("qosClass", qos_class(pod.qos_class)),
            ("hostIP", pod.host_ip.as_deref().unwrap_or_default()),
            ("podIP", pod.pod_ips.first().map(String::as_str).unwrap_or_default()),
            ("createdAt", pod.created_at.as_deref().unwrap_or_default()),
            ("startTime", pod.start_time.as_deref().unwrap_or_default()),
            ("container", app.map(|app| app.name.as_str()).unwrap_or_default()),
            ("image", app.map(|app| app.image.as_str()).unwrap_or_default()),
        ],
        labels: pod.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())),
    }
}

fn phase(phase: Option<Phase>) -> &'static str {
    match phase {
        Some(Phase::Pending) => "Pending",
        Some(Phase::Running) => "Running",
        Some(Phase::Succeeded) => "Succeeded",
        Some(Phase::Failed) => "Failed",
        Some(Phase::Unknown) => "Unknown",
        None => "",
    }
}

fn qos_class(class: Option<QosClass>) -> &'static str {
    match class {
        Some(QosClass::Guaranteed) => "Guaranteed",
        Some(QosClass::Burstable) => "Burstable",
        Some(QosClass::BestEffort) => "BestEffort",
        None => "",
    }
}
