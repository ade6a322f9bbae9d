//! What a changed configuration asks for, compared with what runs. Pure.

use serde_json::Value;

use crate::plan::LanePlan;

/// Parts of the configuration that are named one by one.
const NAMED: [&str; 2] = ["sources", "sinks"];
/// What can change while the program runs.
const LIVE: [&str; 2] = ["modules", "trust"];

/// The changed parts that wait for a restart, such as `sinks.events` and `log`. Both are whole configurations as JSON.
pub(super) fn needs_restart(started: &Value, now: &Value) -> Vec<String> {
    let mut changed = Vec::new();
    for name in keys(started, now) {
        let (before, after) = (started.get(&name), now.get(&name));
        if LIVE.contains(&name.as_str()) || before == after {
            continue;
        }
        if !NAMED.contains(&name.as_str()) {
            changed.push(name);
            continue;
        }
        let (before, after) = (before.unwrap_or(&Value::Null), after.unwrap_or(&Value::Null));
        let parts = keys(before, after).into_iter().filter(|part| before.get(part) != after.get(part));
        changed.extend(parts.map(|part| format!("{name}.{part}")));
    }
    changed
}

fn keys(one: &Value, other: &Value) -> Vec<String> {
    let mut keys: Vec<String> =
        [one, other].into_iter().filter_map(Value::as_object).flat_map(|fields| fields.keys().cloned()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Whether a lane must begin anew, because other sources feed it, its scope is another one or other sinks take what it makes: then it is told everything that
/// exists, as after a restart.
pub(super) fn begins_anew(running: &LanePlan, wanted: &LanePlan) -> bool {
    let same = |one: &[String], other: &[String]| one.len() == other.len() && one.iter().all(|name| other.contains(name));
    running.scope != wanted.scope || !same(&running.from, &wanted.from) || !same(&running.to, &wanted.to)
}

/// Whether nothing but the queue may differ.
pub(super) fn is_same(running: &LanePlan, wanted: &LanePlan) -> bool {
    !begins_anew(running, wanted)
        && running.component == wanted.component
        && running.settings == wanted.settings
        && running.limits == wanted.limits
        && running.batch == wanted.batch
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(started: &Value, now: &Value, expected: &[&str]) {
        assert_eq!(needs_restart(started, now), expected);
    }

    #[test]
    fn modules_need_no_restart() {
        check(&json!({"modules": {"a": 1}}), &json!({"modules": {"b": 2}}), &[]);
        check(&json!({}), &json!({"modules": {"b": 2}}), &[]);
    }

    #[test]
    fn whom_modules_are_trusted_from_needs_no_restart() {
        check(&json!({"trust": {"signed-by": "a"}}), &json!({"trust": {"signed-by": ["b"]}}), &[]);
    }

    #[test]
    fn sinks_and_sources_are_named_one_by_one() {
        let started = json!({"sinks": {"a": {"stdout": {}}, "b": {"files": {"directory": "/x"}}}, "sources": {"pods": {}}});
        let now = json!({"sinks": {"b": {"files": {"directory": "/y"}}, "c": {}}, "sources": {"pods": null}});
        check(&started, &now, &["sinks.a", "sinks.b", "sinks.c", "sources.pods"]);
    }

    #[test]
    fn other_parts_are_named_whole() {
        check(&json!({"log": {"level": "info"}}), &json!({"log": {"level": "debug"}, "node-name": "n"}), &["log", "node-name"]);
    }

    #[test]
    fn a_lease_is_had_for_a_whole_run() {
        check(&json!({}), &json!({"lease": {"duration": "30s"}}), &["lease"]);
    }

    #[test]
    fn what_is_taken_back_waits_for_nothing() {
        let started = json!({"sinks": {"a": {}}, "log": {}});
        check(&started, &started, &[]);
    }
}
