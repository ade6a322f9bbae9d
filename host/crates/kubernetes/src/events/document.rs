//! What stands in an event. Pure.

use serde_json::{Value, json};
use sluicebox_contract::text::push_harmless;

use super::{About, Report};

/// Who reports.
const COMPONENT: &str = "sluicebox";
/// The API's bound on the bytes of a message.
const LONGEST_MESSAGE: usize = 1024;
/// The API's bound on the bytes of a name.
const LONGEST_NAME: usize = 253;
/// The API's bound on the bytes of who reports.
const LONGEST_INSTANCE: usize = 128;
/// The end of a text that was cut.
const CUT: &str = "…";

/// An event that has happened once.
pub(super) fn event(about: &About, report: &Report, name: &str, time: &str) -> Value {
    let (node, instance, object) = match about {
        About::Pod { node, namespace, name, uid } => {
            let mut object = json!({"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name});
            if let (Some(uid), Some(object)) = (uid, object.as_object_mut()) {
                object.insert("uid".to_owned(), uid.as_str().into());
            }
            (node, name, object)
        }
        // The kubelet takes the name for the uid, and `kubectl describe node` asks for both.
        About::Node { name } => (name, name, json!({"apiVersion": "v1", "kind": "Node", "name": name, "uid": name})),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": about.namespace()},
        "involvedObject": object,
        "reason": report.reason,
        "message": report.message,
        "type": if report.warning { "Warning" } else { "Normal" },
        "source": {"component": COMPONENT, "host": node},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
        "reportingComponent": COMPONENT,
        "reportingInstance": beginning(instance, LONGEST_INSTANCE),
    })
}

/// What changes in an event that has happened again.
pub(super) fn repetition(count: i32, time: &str) -> Value {
    json!({"count": count, "lastTimestamp": time})
}

/// The name of an event: its object's name and a number that no other event of the object has.
pub(super) fn name(about: &About, number: u64) -> String {
    let (About::Pod { name, .. } | About::Node { name }) = about;
    let number = format!("{number:016x}");
    let name = beginning(name, LONGEST_NAME - 1 - number.len());
    // A label does not end so.
    format!("{}.{number}", name.trim_end_matches(['-', '.']))
}

/// A text on one line, without anything that a terminal would obey, cut to what the API bears.
pub(super) fn message(text: &str) -> String {
    let mut message = String::new();
    let mut kept = 0;
    for character in text.chars() {
        push_harmless(&mut message, character);
        if message.len() > LONGEST_MESSAGE {
            message.truncate(kept);
            message.push_str(CUT);
            break;
        }
        if message.len() <= LONGEST_MESSAGE - CUT.len() {
            kept = message.len();
        }
    }
    message
}

fn beginning(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::is_object_name;

    fn node(name: &str) -> About {
        About::Node { name: name.to_owned() }
    }

    #[test]
    fn a_message_of_1024_bytes_stays_whole() {
        let text = "x".repeat(1024);
        assert_eq!(message(&text), text);
        let text = "ü".repeat(512);
        assert_eq!(message(&text), text);
    }

    #[test]
    fn a_longer_message_is_cut_between_characters() {
        assert_eq!(message(&"x".repeat(1025)), format!("{}…", "x".repeat(1021)));
        // 1021 is in the middle of a character.
        assert_eq!(message(&"ü".repeat(513)), format!("{}…", "ü".repeat(510)));
        assert_eq!(message(&"x".repeat(1 << 20)).len(), 1024);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_never_cut_in_two() {
        assert_eq!(message("a\n\u{1b}[31mb\u{202e}\u{200b}\0"), r"a\n\u{1b}[31mb\u{202e}\u{200b}\u{0}");
        for before in 1000..1030 {
            let cut = message(&format!("{}\u{1b}{}", "x".repeat(before), "y".repeat(40)));
            let rest = cut.trim_start_matches('x').trim_end_matches('…').trim_end_matches('y');
            assert!(rest.is_empty() || rest == r"\u{1b}", "{before}: {rest}");
            assert!(cut.len() <= 1024 && cut.ends_with('…'));
        }
    }

    #[test]
    fn names_are_names_whatever_the_object_is_called() {
        assert_eq!(name(&node("n1"), 0x18c2), "n1.00000000000018c2");
        for object in ["a".repeat(253), format!("{}-.{}", "a".repeat(234), "b".repeat(17)), "a.b".to_owned()] {
            let name = name(&node(&object), u64::MAX);
            assert!(is_object_name(&name) && name.split('.').all(|label| !label.ends_with('-')), "{name}");
        }
    }

    #[test]
    fn who_reports_is_cut_to_what_the_api_bears() {
        let report = Report { reason: "Tested", message: String::new(), warning: false };
        let event = event(&node(&"a".repeat(253)), &report, "name", "time");
        assert_eq!(event["reportingInstance"], "a".repeat(128));
        assert_eq!(event["source"]["host"], "a".repeat(253));
    }
}
