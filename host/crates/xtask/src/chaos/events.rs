//! What was told of each change of the cluster, as somebody hears it who listens all the time.
//!
//! Nobody but a subscriber has what was published, so nothing is expected of a seed in which the server that publishes was killed. Else, as
//! nothing of a cluster is lost that is still so: what each pod is like in the end was told; of each pod, news come in order; and between
//! two things that one run of the program has told, nothing is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use serde_json::Value;
use sluicebox_testkit::servers::{RedisServer, Subscription};
use tokio::task::JoinSet;

use super::clock::now_milliseconds;
use super::stream::time;

/// A change of the cluster, by its number.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) at: i64,
}

/// From when on a run has known the whole cluster, and when it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Whether a run may leave something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gaps {
    Never,
    /// Where the API server has begun anew it has forgotten its history: then what is there is listed, as it is, and what was before that is not
    /// known.
    OutOfDate,
}

#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    /// When each has come, in milliseconds since 1970.
    times: Vec<i64>,
    /// Why nothing more is heard.
    deaf: bool,
}

/// Who listens.
#[derive(Clone, Default)]
pub(super) struct Listener(Arc<Mutex<Heard>>);

impl Listener {
    pub(super) async fn start(redis: &RedisServer, channel: &str, tasks: &mut JoinSet<()>) -> Result<Self> {
        let listener = Self::default();
        let subscription = redis.subscribe(channel).await?;
        tasks.spawn(listener.clone().listen(subscription));
        Ok(listener)
    }

    async fn listen(self, mut subscription: Subscription) {
        loop {
            let next = subscription.next().await;
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Ok((_, line)) = next else {
                heard.deaf = true;
                return;
            };
            heard.lines.push(line);
            heard.times.push(now_milliseconds());
        }
    }

    /// What was heard, whether it was all or not.
    pub(super) fn so_far(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.clone()
    }

    /// When each line was heard that was.
    pub(super) fn times(&self) -> Vec<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).times.clone()
    }

    /// What was heard; none where it was not all.
    pub(super) fn heard(&self) -> Option<Vec<String>> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!heard.deaf).then(|| heard.lines.clone())
    }
}

/// A line about a pod.
struct Told {
    at: i64,
    name: String,
    number: u64,
}

/// What is wrong with what was heard, given all changes that put a pod, and the number of the last one of each pod that is there.
pub(super) fn faults(
    lines: &[String],
    changes: &BTreeMap<u64, Change>,
    there: &BTreeMap<String, u64>,
    spans: &[Span],
    gaps: Gaps,
) -> Vec<String> {
    let mut faults = Vec::new();
    let told: Vec<Told> = lines.iter().filter_map(|line| parse(line)).collect();
    let (mut newest, mut seen): (BTreeMap<&str, u64>, BTreeSet<u64>) = Default::default();
    for line in &told {
        if changes.get(&line.number).is_none_or(|change| change.name != line.name) {
            faults.push(format!("change {} of {} never was", line.number, line.name));
        }
        let newest = newest.entry(&line.name).or_default();
        if seen.insert(line.number) && line.number < *newest {
            faults.push(format!("change {} of {} was told for the first time behind {newest}", line.number, line.name));
        }
        *newest = line.number.max(*newest);
    }
    for (name, number) in there.iter().filter(|(_, number)| !seen.contains(number)) {
        faults.push(format!("change {number} of {name}, which is its last, was not told"));
    }
    let is_out_of_date = |number: u64, change: &Change| {
        let mut later = changes.range(number + 1..).filter(|(_, later)| later.name == change.name);
        later.any(|(later, _)| seen.contains(later)) || !there.contains_key(&change.name)
    };
    for (run, span) in spans.iter().enumerate() {
        let is_now = |at: i64| (span.from..span.to).contains(&at);
        let told = told.iter().filter(|line| is_now(line.at)).map(|line| line.number);
        let Some(last) = told.filter(|number| changes.get(number).is_some_and(|change| is_now(change.at))).max() else {
            continue;
        };
        let missing: Vec<u64> = changes
            .range(..last)
            .filter(|(number, change)| is_now(change.at) && !seen.contains(number))
            .filter(|(number, change)| gaps == Gaps::Never || !is_out_of_date(**number, change))
            .map(|(number, _)| *number)
            .collect();
        if !missing.is_empty() {
            faults.push(format!("run {run} has told change {last}, and not those before it: {missing:?}"));
        }
    }
    faults
}

/// The longest time from a change until it was heard for the first time.
pub(super) fn slowest(lines: &[String], times: &[i64], changes: &BTreeMap<u64, Change>) -> i64 {
    let mut seen = BTreeSet::new();
    let told = lines.iter().zip(times).filter_map(|(line, at)| Some((parse(line)?.number, at)));
    let first = told.filter(|(number, _)| seen.insert(*number));
    first.filter_map(|(number, at)| Some(at - changes.get(&number)?.at)).max().unwrap_or(0)
}

/// When each address was told of, in milliseconds since 1970.
pub(super) fn times(lines: &[String]) -> BTreeMap<String, Vec<i64>> {
    let mut times: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for line in lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let address = line.pointer("/object/status/podIP").and_then(Value::as_str);
        let at = line.get("time").and_then(Value::as_str).and_then(time);
        if let (Some(address), Some(at)) = (address, at) {
            times.entry(address.to_owned()).or_default().push(at);
        }
    }
    times
}

fn parse(line: &str) -> Option<Told> {
    let line: Value = serde_json::from_str(line).ok()?;
    let number = line.pointer("/object/metadata/annotations/number")?.as_str()?.parse().ok()?;
    Some(Told { at: time(line.get("time")?.as_str()?)?, name: line.get("name")?.as_str()?.to_owned(), number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, number: u64, second: u64) -> String {
        format!(
            r#"{{"time":"1970-01-01T00:00:{second:02}.000000000Z","kind":"pod","name":"{name}","object":{{"metadata":{{"annotations":{{"number":"{number}"}}}}}}}}"#
        )
    }

    /// Four changes of two pods, one each second from the first on.
    fn check(lines: &[String], spans: &[Span]) -> Vec<String> {
        check_with(lines, spans, Gaps::Never)
    }

    fn check_with(lines: &[String], spans: &[Span], gaps: Gaps) -> Vec<String> {
        let names = [(1, "a"), (2, "b"), (3, "a"), (4, "a")];
        let changes =
            names.map(|(number, name)| (number, Change { name: name.to_owned(), at: i64::try_from(number).unwrap() * 1000 }));
        let there = BTreeMap::from([("a".to_owned(), 4), ("b".to_owned(), 2)]);
        faults(lines, &changes.into(), &there, spans, gaps)
    }

    #[test]
    fn what_a_run_has_left_out_is_told() {
        let whole = [Span { from: 0, to: 60_000 }];
        let lines =
            |numbers: &[(u64, &str)]| numbers.iter().map(|(number, name)| line(name, *number, *number)).collect::<Vec<_>>();
        assert_eq!(check(&lines(&[(1, "a"), (2, "b"), (3, "a"), (4, "a"), (3, "a"), (4, "a")]), &whole), Vec::<String>::new());
        assert_eq!(
            check(&lines(&[(1, "a"), (2, "b"), (4, "a")]), &whole),
            ["run 0 has told change 4, and not those before it: [3]"]
        );
        // 3 is of no use to anybody who knows 4, but what there is of b is.
        assert_eq!(check_with(&lines(&[(1, "a"), (2, "b"), (4, "a")]), &whole, Gaps::OutOfDate), Vec::<String>::new());
        assert_eq!(check_with(&lines(&[(1, "a"), (4, "a")]), &whole, Gaps::OutOfDate).len(), 2);
        // The second run had not begun to listen when that was changed.
        let two = [Span { from: 0, to: 2500 }, Span { from: 3500, to: 60_000 }];
        assert_eq!(check(&lines(&[(1, "a"), (2, "b"), (4, "a")]), &two), Vec::<String>::new());
        assert_eq!(check(&lines(&[(1, "a"), (2, "b"), (3, "a")]), &two), ["change 4 of a, which is its last, was not told"]);
        let back = lines(&[(2, "b"), (3, "a"), (1, "a"), (4, "a")]);
        assert_eq!(check(&back, &two), ["change 1 of a was told for the first time behind 3"]);
        assert_eq!(check(&lines(&[(1, "a"), (2, "b"), (2, "a"), (4, "a")]), &two), ["change 2 of a never was"]);
    }
}
