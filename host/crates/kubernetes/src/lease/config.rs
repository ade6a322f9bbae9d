//! What the user writes about the lease, and the mistakes that can be seen in it without trying.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_contract::Problem;
use sluicebox_contract::quantity::TimeSpan;

use crate::is_object_name;

/// The shortest lease, and the shortest pause between two tries.
const SHORTEST: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// What a holder that stops has under way is over after this.
const LEAST_GAP: Duration = Duration::from_secs(1);
/// The longest lease. Whatever a record of somebody else says, nobody waits for longer.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// How one of several collectors is chosen for what has `scope: cluster`: by a Lease of `coordination.k8s.io/v1`, which one of them holds
/// and renews. Nobody's clock is trusted: each counts by its own. Needs the right to get, create and update leases in the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is a choice. `false` is for one collector alone: it works at once, asks for no lease and needs no right to one; two
    /// of them would tell everything twice.
    pub enabled: bool,
    /// The name of the Lease. Collectors that name the same one choose among each other.
    pub name: String,
    /// Its namespace. Without it that of the pod (`POD_NAMESPACE`, else that of its service account), else that of the kubeconfig's
    /// context, else `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// How long the others wait when the holder is silent: they begin that long after they have last seen the Lease change. `1s` to `5m`;
    /// counted in whole seconds.
    pub duration: TimeSpan,
    /// How long the holder works after it has sent its last renewal that succeeded. It must be shorter than `duration` by a second, or by
    /// a fifth of it where that is less: what is between them is the time in which nobody works, so that two never do.
    pub renew_deadline: TimeSpan,
    /// Time between two renewals of the holder, and between two looks of the others. Shorter than `renew-deadline`; a little less each
    /// time, so that collectors do not ask at once.
    pub retry_period: TimeSpan,
    /// What the others do while one holds the Lease.
    pub standby: Standby,
}

/// What a collector does while another one holds the Lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standby {
    /// It looks on: it watches pods, services, namespaces and nodes as the holder does, and keeps what has happened in the last seconds. When its
    /// term begins it tells that first, so that what went while nobody worked is told, too.
    #[default]
    LookOn,
    /// It asks for nothing but the Lease. What goes while nobody works goes unseen. For many collectors, which would all watch the whole
    /// cluster.
    Idle,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            name: "sluicebox".to_owned(),
            namespace: None,
            duration: TimeSpan(Duration::from_secs(15)),
            renew_deadline: TimeSpan(Duration::from_secs(10)),
            retry_period: TimeSpan(Duration::from_secs(2)),
            standby: Standby::LookOn,
        }
    }
}

/// The shortest time between the end of the holder's work and the beginning of another's, for a lease of this duration. Where a second
/// is much of the lease, a fifth of it does.
fn least_gap(duration: Duration) -> Duration {
    LEAST_GAP.min(duration / 5)
}

impl Config {
    /// Every mistake that can be seen without trying.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let names = [("name", Some(&self.name)), ("namespace", self.namespace.as_ref())];
        for (field, name) in names.into_iter().filter_map(|(field, name)| Some((field, name?))) {
            if !is_object_name(name) {
                let cause = format!("`{name}` is no Kubernetes name");
                problems.push(Problem::new(field, cause, "write lower-case letters, digits, `-` and `.`"));
            }
        }
        if let Some(namespace) = self.namespace.as_ref().filter(|namespace| namespace.contains('.') || namespace.len() > 63) {
            let cause = format!("`{namespace}` is no name of a namespace");
            problems.push(Problem::new("namespace", cause, "write up to 63 lower-case letters, digits and `-`"));
        }
        let Self { duration, renew_deadline, retry_period, .. } = self;
        if duration.0 < SHORTEST || duration.0 > LONGEST {
            problems.push(Problem::new("duration", format!("{duration} is out of range"), "write a time from 1s to 5m"));
        }
        if renew_deadline.0 >= duration.0 {
            let cause = format!("{renew_deadline} is not shorter than `duration`, which is {duration}: two would work at once");
            problems.push(Problem::new("renew-deadline", cause, "give two thirds of `duration`"));
        } else if duration.0 >= SHORTEST && duration.0.saturating_sub(renew_deadline.0) < least_gap(duration.0) {
            let least = TimeSpan(least_gap(duration.0));
            let cause = format!(
                "{renew_deadline} is less than {least} shorter than `duration`, which is {duration}: what the holder has begun would not end in time"
            );
            problems.push(Problem::new("renew-deadline", cause, "give two thirds of `duration`"));
        }
        if retry_period.0 < SHORTEST_PAUSE {
            problems.push(Problem::new("retry-period", format!("{retry_period} is too often"), "write at least 100ms"));
        }
        if retry_period.0 >= renew_deadline.0 {
            let cause =
                format!("{retry_period} is not shorter than `renew-deadline`, which is {renew_deadline}: it could not be kept");
            problems.push(Problem::new("retry-period", cause, "give a fifth of `renew-deadline`"));
        } else if retry_period.0 * 2 > renew_deadline.0 {
            let cause = format!(
                "{retry_period} does not fit twice into `renew-deadline`, which is {renew_deadline}: one slow answer would lose the lease"
            );
            problems.push(Problem::new("retry-period", cause, "give a fifth of `renew-deadline`"));
        }
        problems
    }

    pub(super) fn terms(&self) -> Terms {
        Terms { duration: self.duration.0, renew_deadline: self.renew_deadline.0, retry_period: self.retry_period.0 }
    }
}

/// The times of an election.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) duration: Duration,
    pub(super) renew_deadline: Duration,
    pub(super) retry_period: Duration,
}

impl Terms {
    /// The duration as it stands in the record: what is begun of a second is a whole one, so that others never wait for less.
    pub(super) fn seconds(&self) -> i64 {
        let begun = u64::from(self.duration.subsec_nanos() > 0);
        i64::try_from(self.duration.as_secs().saturating_add(begun)).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: &str) -> Vec<String> {
        let config: Config = serde_json::from_str(json).expect("the test's configuration parses");
        config.problems().into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
    }

    #[test]
    fn the_default_has_no_problems() {
        assert_eq!(problems("{}"), Vec::<String>::new());
        assert_eq!(problems(r#"{"enabled": false, "namespace": "watch"}"#), Vec::<String>::new());
        assert_eq!(problems(r#"{"duration": "11s"}"#), Vec::<String>::new());
    }

    #[test]
    fn times_that_do_not_fit_are_named() {
        for (json, expected) in [
            (
                r#"{"duration": "10s"}"#,
                "renew-deadline: 10s is not shorter than `duration`, which is 10s: two would work at once",
            ),
            (
                r#"{"duration": "10500ms"}"#,
                "renew-deadline: 10s is less than 1s shorter than `duration`, which is 10s500ms: what the holder has begun would not end in time",
            ),
            (
                r#"{"duration": "2s", "renew-deadline": "1700ms", "retry-period": "200ms"}"#,
                "renew-deadline: 1s700ms is less than 400ms shorter than `duration`, which is 2s: what the holder has begun would not end in time",
            ),
            (r#"{"duration": "6m"}"#, "duration: 6m is out of range"),
            (r#"{"duration": "900ms", "renew-deadline": "500ms", "retry-period": "100ms"}"#, "duration: 900ms is out of range"),
            (r#"{"retry-period": "50ms"}"#, "retry-period: 50ms is too often"),
            (r#"{"namespace": "a.b"}"#, "namespace: `a.b` is no name of a namespace"),
            (
                r#"{"retry-period": "6s"}"#,
                "retry-period: 6s does not fit twice into `renew-deadline`, which is 10s: one slow answer would lose the lease",
            ),
            (
                r#"{"retry-period": "10s"}"#,
                "retry-period: 10s is not shorter than `renew-deadline`, which is 10s: it could not be kept",
            ),
            (r#"{"name": "Not/a name"}"#, "name: `Not/a name` is no Kubernetes name"),
            (r#"{"namespace": ""}"#, "namespace: `` is no Kubernetes name"),
        ] {
            assert_eq!(problems(json), [expected], "{json}");
        }
    }

    #[test]
    fn a_second_that_is_begun_counts_whole() {
        let seconds =
            |millis| Config { duration: TimeSpan(Duration::from_millis(millis)), ..Config::default() }.terms().seconds();
        assert_eq!([seconds(3000), seconds(3001), seconds(1500)], [3, 4, 2]);
    }
}
