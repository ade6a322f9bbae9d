//! Questions to the query API, as the parameters that stand for them. Pure.
//!
//! The API is described at <https://prometheus.io/docs/prometheus/latest/querying/api/>.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::config::Kind;
use super::plan::Asked;

/// All but what is never in need of it (RFC 3986, 2.3), and slashes.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// No Prometheus tells more moments of a series than this at once.
pub(super) const MOST_MOMENTS: i64 = 11_000;

/// The moments that are asked for, milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moments {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) step: i64,
}

/// What is asked for at a turn, besides what is asked for at each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// The last moment that was told before.
    pub(super) told: i64,
    /// What was missed since is asked for no further back than this.
    pub(super) catch_up: Duration,
    /// So many ranges are asked for at once, at most: however long an outage was, no answer is much larger than the others.
    pub(super) ranges: u32,
}

impl Moments {
    /// The moment before the first one of a turn at which nothing was told yet; so much before may have been left untold by somebody else.
    pub(super) fn before(asked: &Asked, turn: i64, untold: Duration) -> i64 {
        let step = millis(asked.step).max(1);
        let end = turn.saturating_sub(millis(asked.offset));
        let usual = end.saturating_sub(step.saturating_mul(Self::steps(asked) - 1));
        usual.saturating_sub(millis(untold) / step * step).saturating_sub(step)
    }

    /// How many moments the range of one turn has.
    fn steps(asked: &Asked) -> i64 {
        // The first moment is one step after the range begins: the moment before was told at the turn before.
        (millis(asked.range) / millis(asked.step).max(1)).max(1)
    }

    /// Those of a turn. What was missed is asked for first, and the rest at the next turns.
    pub(super) fn of(asked: &Asked, turn: i64, behind: Behind) -> Self {
        let end = turn.saturating_sub(millis(asked.offset));
        if asked.kind == Kind::Instant {
            return Self { start: end, end, step: 0 };
        }
        let step = millis(asked.step).max(1);
        let steps = Self::steps(asked);
        let usual = end.saturating_sub(step.saturating_mul(steps - 1));
        let next = behind.told.saturating_add(step);
        let start = if next > usual {
            // What was told by a clock that was ahead is told again.
            usual
        } else {
            let oldest = end.saturating_sub(millis(behind.catch_up));
            let lost = oldest.saturating_sub(next).max(0);
            // Moments keep their distances from each other.
            let lost_steps = lost / step + i64::from(lost % step != 0);
            next.saturating_add(lost_steps.saturating_mul(step)).min(usual)
        };
        let most = steps.saturating_mul(i64::from(behind.ranges.max(1)));
        let count = (end.saturating_sub(start) / step).saturating_add(1).min(most).min(MOST_MOMENTS);
        // The last one that there is, which the next turn goes on from.
        Self { start, end: start.saturating_add((count - 1).saturating_mul(step)), step }
    }
}

/// The last part of the path.
pub(super) fn path(kind: Kind) -> &'static str {
    match kind {
        Kind::Instant => "api/v1/query",
        Kind::Range => "api/v1/query_range",
    }
}

/// The parameters of a query, as they stand behind `?` or in a body.
pub(super) fn parameters(asked: &Asked, moments: Moments, besides: &BTreeMap<String, String>) -> String {
    let mut text = format!("query={}", escaped(&asked.text));
    // Writing to a string cannot fail.
    let _ = match asked.kind {
        Kind::Instant => write!(text, "&time={}", seconds(moments.end)),
        Kind::Range => {
            let (start, end, step) = (seconds(moments.start), seconds(moments.end), seconds(moments.step));
            write!(text, "&start={start}&end={end}&step={step}")
        }
    };
    let _ = write!(text, "&timeout={}ms", asked.timeout.as_millis());
    for (name, value) in besides {
        let _ = write!(text, "&{}={}", escaped(name), escaped(value));
    }
    text
}

/// As a part of an address.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

fn seconds(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::plan::plan;
    use super::*;

    fn asked(fields: &str) -> Asked {
        let json = format!(r#"{{"url": "http://p", "queries": {{"q": {{"query": "sum(up{{a=\"b\"}}) > 0"{fields}}}}}}}"#);
        let config: Config = serde_json::from_str(&json).expect("the test's configuration parses");
        assert_eq!(config.problems(), []);
        plan(&config, "n").0.remove(0)
    }

    #[test]
    fn one_moment_is_asked_for() {
        let asked = asked(r#", "offset": "1500ms""#);
        let moments = Moments::of(&asked, 1_545_289_170_000, behind(0));
        assert_eq!(moments, Moments { start: 1_545_289_168_500, end: 1_545_289_168_500, step: 0 });
        assert_eq!(
            parameters(&asked, moments, &BTreeMap::from([("dedup".to_owned(), "a&b".to_owned())])),
            "query=sum%28up%7Ba%3D%22b%22%7D%29%20%3E%200&time=1545289168.500&timeout=10000ms&dedup=a%26b"
        );
    }

    fn behind(told: i64) -> Behind {
        Behind { told, catch_up: Duration::from_mins(5), ranges: 100 }
    }

    /// The first turn of somebody who has told nothing.
    fn first(asked: &Asked, turn: i64, untold: u64) -> Behind {
        behind(Moments::before(asked, turn, Duration::from_secs(untold)))
    }

    #[test]
    fn a_range_begins_one_step_after_the_moment_that_was_told_last() {
        let asked = asked(r#", "kind": "range", "period": "60s", "step": "20s""#);
        let moments = |turn, told: Option<i64>| {
            let behind = told.map_or_else(|| first(&asked, turn, 0), behind);
            let Moments { start, end, step } = Moments::of(&asked, turn, behind);
            assert_eq!(step, 20_000);
            (start, end)
        };
        assert_eq!(moments(600_000, None), (560_000, 600_000));
        assert_eq!(moments(600_000, Some(540_000)), (560_000, 600_000), "all went well");
        assert_eq!(moments(600_000, Some(480_000)), (500_000, 600_000), "one turn was missed");
        assert_eq!(moments(600_000, Some(0)), (300_000, 600_000), "more was missed than is caught up");
        assert_eq!(moments(600_000, Some(5_000)), (305_000, 585_000), "the distances stay");
        assert_eq!(moments(600_000, Some(900_000)), (560_000, 600_000), "the clock was set back");
    }

    #[test]
    fn moments_keep_their_distance_where_the_step_does_not_divide_the_period() {
        let asked = asked(r#", "kind": "range", "period": "5s", "step": "2s""#);
        let mut told = Moments::before(&asked, 10_000, Duration::ZERO);
        let mut all = Vec::new();
        for turn in [10_000, 15_000, 20_000, 25_000] {
            let Moments { start, end, step } = Moments::of(&asked, turn, behind(told));
            all.extend((start..=end).step_by(usize::try_from(step).unwrap()));
            told = end;
        }
        assert_eq!(all, [8_000, 10_000, 12_000, 14_000, 16_000, 18_000, 20_000, 22_000, 24_000]);
    }

    #[test]
    fn what_was_missed_is_asked_for_in_pieces_and_none_is_left_out() {
        let asked = asked(r#", "kind": "range", "period": "20s", "step": "10s""#);
        let mut told = 100_000;
        let mut pieces = Vec::new();
        for turn in [300_000, 320_000, 340_000] {
            let Moments { start, end, .. } = Moments::of(&asked, turn, Behind { ranges: 8, ..behind(told) });
            pieces.push((start, end));
            told = end;
        }
        assert_eq!(pieces, [(110_000, 260_000), (270_000, 320_000), (330_000, 340_000)]);
    }

    #[test]
    fn who_takes_over_reaches_back() {
        let asked = asked(r#", "kind": "range", "period": "40s", "step": "20s""#);
        let Moments { start, end, .. } = Moments::of(&asked, 600_000, first(&asked, 600_000, 55));
        assert_eq!((start, end), (540_000, 600_000));
        let Moments { start, end, .. } = Moments::of(&asked, 600_000, Behind { ranges: 1, ..first(&asked, 600_000, 55) });
        assert_eq!((start, end), (540_000, 560_000));
    }

    #[test]
    fn no_more_moments_are_asked_for_than_a_prometheus_tells() {
        let asked = asked(r#", "kind": "range", "period": "30s", "step": "30ms""#);
        let turn = 600_000_000;
        for behind in [first(&asked, turn, 420), behind(turn - 400_000)] {
            let Moments { start, end, step } = Moments::of(&asked, turn, behind);
            let count = (end - start) / step + 1;
            assert!(count <= MOST_MOMENTS, "{behind:?}: {count}");
        }
        let behind = Behind { catch_up: Duration::from_mins(7), ..first(&asked, turn, 420) };
        let Moments { start, end, step } = Moments::of(&asked, turn, behind);
        assert_eq!((end - start) / step + 1, MOST_MOMENTS, "the rest follows at the next turns");
    }

    #[test]
    fn nothing_is_caught_up_when_nothing_may_be() {
        let asked = asked(r#", "kind": "range", "period": "20s""#);
        let moments = Moments::of(&asked, 600_000, Behind { catch_up: Duration::ZERO, ..behind(100_000) });
        assert_eq!((moments.start, moments.end), (600_000, 600_000));
    }

    #[test]
    fn a_range_that_is_shorter_than_a_step_is_one_moment() {
        let asked = asked(r#", "kind": "range", "step": "1m", "range": "10s""#);
        let moments = Moments::of(&asked, -20_000, first(&asked, -20_000, 0));
        assert_eq!(
            parameters(&asked, moments, &BTreeMap::new()).split_once('&').unwrap().1,
            "start=-20.000&end=-20.000&step=60.000&timeout=10000ms"
        );
    }
}
