//! What stands in a Lease, read with suspicion and written with everything that was there and is not ours. Pure.

use sluicebox_contract::text::in_few_words;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::config::{LONGEST, Terms};

/// Longer names of holders are cut where they are shown.
const LONGEST_HOLDER: usize = 120;

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// `metadata.resourceVersion`: another one with each write, whatever the clock of whoever writes says.
    pub(super) version: String,
    /// Who holds it. None when nobody does.
    pub(super) holder: Option<String>,
    /// What its `leaseDurationSeconds` says.
    seconds: Option<i64>,
    object: Value,
}

impl Record {
    /// Reads an answer of the API server. The error says what is wrong with it: without a version nothing could be told apart.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let object: Value = serde_json::from_slice(bytes).map_err(|error| format!("it is no JSON: {}", in_few_words(error)))?;
        let version = object.pointer("/metadata/resourceVersion").and_then(Value::as_str).filter(|version| !version.is_empty());
        let version = version.ok_or("it has no `metadata.resourceVersion`")?.to_owned();
        let spec = object.get("spec");
        let holder = spec.and_then(|spec| spec.get("holderIdentity")).and_then(Value::as_str);
        let holder = holder.filter(|holder| !holder.is_empty()).map(ToOwned::to_owned);
        let seconds = spec.and_then(|spec| spec.get("leaseDurationSeconds")).and_then(Value::as_i64);
        Ok(Self { version, holder, seconds, object })
    }

    /// How long the record must stay unchanged before its holder counts as gone: what it says, or `own` when that is no duration. Nobody
    /// can make us wait longer than the longest lease that may be configured.
    pub(super) fn patience(&self, own: Duration) -> Duration {
        match self.seconds.map(u64::try_from) {
            Some(Ok(seconds)) if seconds > 0 => Duration::from_secs(seconds).min(LONGEST),
            _ => own,
        }
    }

    /// What its holder says of a duration, where that is more than anybody waits for.
    pub(super) fn too_long(&self) -> Option<i64> {
        self.seconds.filter(|seconds| u64::try_from(*seconds).is_ok_and(|seconds| Duration::from_secs(seconds) > LONGEST))
    }

    /// The holder as it may be shown: it is anybody's text.
    pub(super) fn shown_holder(&self) -> Option<String> {
        let clean = |holder: &String| -> String {
            holder.chars().take(LONGEST_HOLDER).map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
        };
        self.holder.as_ref().map(clean)
    }

    /// The Lease renewed by its holder.
    pub(super) fn renewed(&self, terms: &Terms, wall: &str) -> Value {
        self.with(json!({"leaseDurationSeconds": terms.seconds(), "renewTime": wall}))
    }

    /// The Lease in the hands of another holder.
    pub(super) fn taken(&self, identity: &str, terms: &Terms, wall: &str) -> Value {
        let before = self.object.pointer("/spec/leaseTransitions").and_then(Value::as_i64);
        let before = before.and_then(|count| i32::try_from(count).ok()).filter(|count| *count >= 0).unwrap_or(0);
        let mut fields = held(identity, terms, wall);
        fields.insert("leaseTransitions".to_owned(), before.saturating_add(1).into());
        self.with(Value::Object(fields))
    }

    /// The Lease in nobody's hands.
    pub(super) fn released(&self, wall: &str) -> Value {
        // As client-go leaves it: not without a duration, which somebody else may want to see.
        self.with(json!({"holderIdentity": null, "leaseDurationSeconds": 1, "renewTime": wall}))
    }

    /// The object with some fields of its spec replaced. Labels and whatever else somebody has put there stay; the version stays, too, so
    /// that the server refuses what was decided about an older one.
    fn with(&self, fields: Value) -> Value {
        let mut object = self.object.clone();
        let Value::Object(fields) = fields else { return object };
        if let Some(object) = object.as_object_mut() {
            let spec = object.entry("spec").or_insert(Value::Null);
            if !spec.is_object() {
                *spec = Value::Object(Map::new());
            }
            if let Some(spec) = spec.as_object_mut() {
                for (name, value) in fields {
                    if value.is_null() {
                        spec.shift_remove(&name);
                    } else {
                        spec.insert(name, value);
                    }
                }
            }
        }
        object
    }
}

/// A Lease that is not there yet, held from the beginning.
pub(super) fn new(namespace: &str, name: &str, identity: &str, terms: &Terms, wall: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace},
        "spec": held(identity, terms, wall),
    })
}

fn held(identity: &str, terms: &Terms, wall: &str) -> Map<String, Value> {
    let fields = [
        ("holderIdentity", identity.into()),
        ("leaseDurationSeconds", terms.seconds().into()),
        ("acquireTime", wall.into()),
        ("renewTime", wall.into()),
        ("leaseTransitions", 0.into()),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Config;

    const OWN: Duration = Duration::from_secs(15);

    fn record(spec: &Value) -> Record {
        let object = json!({"metadata": {"name": "a", "resourceVersion": "7", "labels": {"x": "y"}}, "spec": spec});
        Record::read(object.to_string().as_bytes()).expect("a record")
    }

    #[test]
    fn odd_records_are_read_without_harm() {
        let seconds = |value: Value| record(&json!({"holderIdentity": "a", "leaseDurationSeconds": value})).patience(OWN);
        assert_eq!(seconds(30.into()), Duration::from_secs(30));
        for odd in [json!(0), json!(-1), json!(i64::MIN), json!(null), json!("30"), json!(1.5), json!([])] {
            assert_eq!(seconds(odd.clone()), OWN, "{odd}");
        }
        for huge in [json!(301), json!(i64::from(i32::MAX)), json!(i64::MAX)] {
            assert_eq!(seconds(huge.clone()), LONGEST, "{huge}");
        }
        assert_eq!(seconds(json!(u64::MAX)), OWN, "what is no number of the API's is none");
        for nobody in [json!(null), json!({}), json!([]), json!("x"), json!({"holderIdentity": ""}), json!({"holderIdentity": 7})]
        {
            assert_eq!(record(&nobody).holder, None, "{nobody}");
        }
    }

    #[test]
    fn what_has_no_version_is_no_record() {
        for text in ["", "<html>", "{}", "[]", "null", r#"{"metadata": {"resourceVersion": ""}}"#, r#"{"metadata": 3}"#] {
            assert!(Record::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_ours_stays() {
        let terms = Config::default().terms();
        let before = record(&json!({"holderIdentity": "a", "acquireTime": "then", "leaseTransitions": 4, "strategy": "s"}));
        let renewed = before.renewed(&terms, "now");
        let spec = json!({
            "holderIdentity": "a", "acquireTime": "then", "leaseTransitions": 4, "strategy": "s", "leaseDurationSeconds": 15,
            "renewTime": "now"
        });
        assert_eq!((&renewed["spec"], &renewed["metadata"]), (&spec, &before.object["metadata"]));
        let taken = before.taken("b", &terms, "now");
        let spec = json!({
            "holderIdentity": "b", "acquireTime": "now", "leaseTransitions": 5, "strategy": "s", "leaseDurationSeconds": 15,
            "renewTime": "now"
        });
        assert_eq!(taken["spec"], spec);
        assert_eq!(before.released("now")["spec"].get("holderIdentity"), None);
    }

    #[test]
    fn a_count_of_transitions_that_is_none_begins_anew() {
        let terms = Config::default().terms();
        let count = |value: Value| {
            record(&json!({"leaseTransitions": value})).taken("b", &terms, "now")["spec"]["leaseTransitions"].clone()
        };
        assert_eq!([count(json!(-5)), count(json!("x")), count(json!(i64::MAX))], [json!(1), json!(1), json!(1)]);
        assert_eq!(count(json!(i32::MAX)), json!(i32::MAX));
        assert_eq!(record(&json!("no object")).taken("b", &terms, "now")["spec"]["holderIdentity"], "b");
    }

    #[test]
    fn a_hostile_name_is_shown_harmless() {
        let record = record(&json!({"holderIdentity": format!("a\u{1b}[31m\n{}", "x".repeat(10_000))}));
        let shown = record.shown_holder().expect("a holder");
        assert!(shown.chars().count() == LONGEST_HOLDER && !shown.contains(char::is_control), "{shown:?}");
    }
}
