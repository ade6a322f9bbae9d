//! Whatever stands in a Lease, whoever has written it.

use std::time::Duration;

use serde_json::Value;
use sluicebox_testkit::fuzz::Fuzz;

use super::Config;
use super::record::Record;

const LEASE: &str = r#"{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"a","namespace":"n","resourceVersion":"7","labels":{"x":"y"}},"spec":{"holderIdentity":"a","leaseDurationSeconds":15,"acquireTime":"2024-01-02T03:04:05.000000Z","renewTime":"2024-01-02T03:04:05.000000Z","leaseTransitions":4}}"#;

#[test]
fn a_record_is_read_or_refused_and_what_is_not_ours_stays_in_it() {
    Fuzz::of([LEASE, r#"{"metadata":{"resourceVersion":"1"},"spec":null}"#])
        .words(["\"spec\":", "\"leaseTransitions\":", "2147483647"])
        .run(|input, _| {
            let record = match Record::read(input) {
                Ok(record) => record,
                Err(words) => return assert!((1..1000).contains(&words.len()), "{words}"),
            };
            let own = Duration::from_secs(15);
            let patience = record.patience(own);
            assert!(patience > Duration::ZERO && patience <= Duration::from_mins(5), "{patience:?}");
            assert!(record.shown_holder().is_none_or(|holder| holder.len() < 2000 && !holder.contains(char::is_control)));
            let terms = Config::default().terms();
            let before: Value = serde_json::from_slice(input).unwrap();
            for (next, holder) in [
                (record.renewed(&terms, "now"), None),
                (record.taken("b", &terms, "now"), Some("b")),
                (record.released("now"), None),
            ] {
                assert_eq!(next["metadata"], before["metadata"]);
                assert!(holder.is_none_or(|holder| next["spec"]["holderIdentity"] == holder));
                let transitions = next["spec"]["leaseTransitions"].as_i64();
                assert!(holder.is_none() || transitions.is_some_and(|count| (1..=i64::from(i32::MAX)).contains(&count)));
                Record::read(next.to_string().as_bytes()).expect("what is written can be read");
            }
        });
}
