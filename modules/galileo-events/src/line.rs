//! One event as one line: time, name and JSON, with one space between. Readers part it at the first two spaces.

use std::fmt::Write;

use sluicebox_sdk::{Entry, Message, Phase, Pod, QosClass};

use crate::settings::Settings;

/// The message about an event that was observed at this moment. All messages about a pod bear its uid as their key.
pub(crate) fn message(settings: &Settings, unix_nanos: u64, event: &str, pod: &Pod, json: impl FnOnce(&mut String)) -> Entry {
    let mut line = String::with_capacity(512);
    let _ = write!(line, "{:.7} pod/{event} ", seconds(unix_nanos));
    json(&mut line);
    Message::new(line).on(settings.channel.as_str()).keyed(pod.uid.as_str()).into()
}

// A double holds about a quarter of a microsecond of today's time. Readers expect exactly this rounding.
#[allow(clippy::cast_precision_loss, reason = "the loss is part of the format")]
fn seconds(unix_nanos: u64) -> f64 {
    unix_nanos as f64 / 1e9
}

/// `status.phase`, empty while there is none.
pub(crate) fn phase(pod: &Pod) -> &'static str {
    match pod.phase {
        None => "",
        Some(Phase::Pending) => "Pending",
        Some(Phase::Running) => "Running",
        Some(Phase::Succeeded) => "Succeeded",
        Some(Phase::Failed) => "Failed",
        Some(Phase::Unknown) => "Unknown",
    }
}

/// `status.qosClass`, empty while there is none.
pub(crate) fn qos_class(pod: &Pod) -> &'static str {
    match pod.qos_class {
        None => "",
        Some(QosClass::Guaranteed) => "Guaranteed",
        Some(QosClass::Burstable) => "Burstable",
        Some(QosClass::BestEffort) => "BestEffort",
    }
}

/// `status.podIP`, empty while there is none.
pub(crate) fn pod_ip(pod: &Pod) -> &str {
    pod.pod_ips.first().map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unix_nanos: u64, expected: &str) {
        assert_eq!(format!("{:.7}", seconds(unix_nanos)), expected);
    }

    #[test]
    fn times_are_rounded_as_doubles() {
        check(1_631_201_700_087_136_507, "1631201700.0871365");
        check(1_700_000_000_123_456_789, "1700000000.1234567");
    }

    #[test]
    fn a_whole_second_has_seven_zeros() {
        check(1_700_000_000_000_000_000, "1700000000.0000000");
        check(0, "0.0000000");
    }

    #[test]
    fn the_end_of_a_second_rounds_into_the_next() {
        check(1_700_000_000_999_999_999, "1700000001.0000000");
    }
}
