//! How the queries have fared so far: what each was told of last, how much of what it missed is asked for at once, and whether it is late. Pure.

use std::time::Duration;

use super::plan::Asked;
use super::request::{Behind, Moments};
use crate::http::Trouble;

/// Ranges that are asked for at once to catch up, at most.
const MOST_RANGES: u32 = 8;
/// Where so many ranges were too much, more than half of them are not tried before so many answers have come.
const PATIENCE: u32 = 4;

/// One query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// The last moment that was told.
    told: Option<i64>,
    /// How many ranges are asked for at once. Fewer where more was too much, and more again with success.
    ranges: u32,
    /// Answers to be had before more are tried.
    patience: u32,
    /// Its last answer did not come in time: it lets the others go first.
    pub(super) is_late: bool,
}

impl Default for Course {
    fn default() -> Self {
        Self { told: None, ranges: MOST_RANGES, patience: 0, is_late: false }
    }
}

impl Course {
    /// What is asked for at a turn. `silence` is how long nobody may have asked before this collector did, where one of several asks.
    pub(super) fn moments(&self, asked: &Asked, turn: i64, catch_up: Duration, silence: Option<Duration>) -> Moments {
        // The one before may have been silenced at the end of a cycle, and this one begins somewhere in its first.
        let untold = silence.map_or(Duration::ZERO, |silence| silence + 2 * asked.period);
        Moments::of(asked, turn, Behind { told: self.told, catch_up, untold, ranges: self.ranges })
    }

    /// An answer was told, or why there is none.
    pub(super) fn take(&mut self, moments: Moments, trouble: Option<&Trouble>) {
        self.is_late = matches!(trouble, Some(Trouble::Late(_)));
        match trouble {
            // Its part was told, and the server gives no more of these moments however often it is asked.
            Some(Trouble::Partial(_)) => self.told = Some(moments.end),
            None => {
                self.told = Some(moments.end);
                if self.patience > 0 {
                    self.patience -= 1;
                } else {
                    self.ranges = (self.ranges * 2).min(MOST_RANGES);
                }
            }
            // Nobody was there to find it too much.
            Some(Trouble::NoTime | Trouble::Connect(_) | Trouble::Setup(_) | Trouble::File { .. }) => {}
            Some(Trouble::Status { status, .. }) if status.is_server_error() => {}
            Some(_) => {
                self.ranges = (self.ranges / 2).max(1);
                self.patience = PATIENCE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::plan::plan;
    use super::*;

    #[test]
    fn a_part_that_was_told_is_not_asked_for_again() {
        let json = r#"{"url": "http://p", "period": "10s", "queries": {"q": {"query": "up", "kind": "range"}}}"#;
        let config: Config = serde_json::from_str(json).expect("the test's configuration parses");
        let asked = plan(&config, "n").0.remove(0);
        let mut course = Course::default();
        let mut told = Vec::new();
        for turn in [1_000_000, 1_010_000, 1_020_000] {
            let moments = course.moments(&asked, turn, Duration::from_mins(5), None);
            told.extend((moments.start..=moments.end).step_by(10_000));
            course.take(moments, Some(&Trouble::Partial("a store is away".to_owned())));
        }
        assert_eq!(told, [1_000_000, 1_010_000, 1_020_000], "each moment once");
    }

    #[test]
    fn an_answer_that_is_too_large_is_asked_for_in_smaller_pieces_and_none_is_left_out() {
        let json = r#"{"url": "http://p", "period": "10s", "queries": {"q": {"query": "up", "kind": "range"}}}"#;
        let config: Config = serde_json::from_str(json).expect("the test's configuration parses");
        let asked = plan(&config, "n").0.remove(0);
        let (mut course, mut told, mut away) = (Course::default(), Vec::new(), true);
        for turn in (0..40).map(|turn| 1_000_000 + turn * 10_000) {
            let moments = course.moments(&asked, turn, Duration::from_mins(5), None);
            // Away for a while; then it stands no more than three moments at once.
            let count = (moments.end - moments.start) / moments.step + 1;
            assert!(count <= i64::from(MOST_RANGES));
            away = away && turn < 1_100_000;
            let trouble = if turn == 1_000_000 {
                None
            } else if away {
                Some(Trouble::Connect("refused".to_owned()))
            } else {
                (count > 3).then_some(Trouble::TooLong(1))
            };
            if trouble.is_none() {
                told.extend((moments.start..=moments.end).step_by(10_000));
            }
            course.take(moments, trouble.as_ref());
        }
        let expected: Vec<i64> = (0..40).map(|turn| 1_000_000 + turn * 10_000).take(told.len()).collect();
        assert_eq!(told, expected, "each moment once, in order");
        assert!(told.len() >= 36, "it has nearly caught up: {}", told.len());
    }
}
