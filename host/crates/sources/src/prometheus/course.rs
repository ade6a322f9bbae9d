//! How the queries have fared so far: what each was told of last, how much of what it missed is asked for at once, and whether it is late. Pure.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::plan::Asked;
use super::request::{Behind, Moments};
use crate::http::Trouble;

/// Ranges that are asked for at once to catch up, at most.
const MOST_RANGES: u32 = 32;
/// Where so many ranges were too much, more than half of them are not tried before so many answers have come.
const PATIENCE: u32 = 4;

/// How the queries of a configuration have fared. It outlives the source: where a collector works in terms, one is made for each, and goes
/// on from what the one before has told.
#[derive(Clone, Debug, Default)]
pub struct Courses {
    of: Arc<Mutex<BTreeMap<usize, Course>>>,
}

impl Courses {
    /// One query's, by its place in the list of all.
    pub(super) fn with<R>(&self, query: usize, change: impl FnOnce(&mut Course) -> R) -> R {
        change(self.of.lock().unwrap_or_else(PoisonError::into_inner).entry(query).or_default())
    }
}

/// How far back what was missed is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// At most so far.
    pub(super) catch_up: Duration,
    /// Where one of several collectors asks: how long nobody may have asked before this one did. What the others have told is not known, so
    /// that whoever begins reaches back as far as it may.
    pub(super) silence: Option<Duration>,
}

/// One query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    /// The last moment that was told, or the one after which this collector begins.
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
    /// What is asked for at a turn.
    pub(super) fn moments(&mut self, asked: &Asked, turn: i64, reach: Reach) -> Moments {
        let Reach { catch_up, silence } = reach;
        // Whoever asked before may have been silenced at the end of a cycle, and this one begins somewhere in its first.
        let untold = silence.map(|silence| silence.max(catch_up) + 2 * asked.period);
        // From the first turn on, so that nothing is left out when that one fails.
        let told = *self.told.get_or_insert_with(|| Moments::before(asked, turn, untold.unwrap_or_default()));
        Moments::of(
            asked,
            turn,
            Behind { told, catch_up: untold.map_or(catch_up, |untold| untold + asked.range), ranges: self.ranges },
        )
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

    const ALONE: Reach = Reach { catch_up: Duration::from_mins(5), silence: None };

    fn asked() -> Asked {
        let json = r#"{"url": "http://p", "period": "10s", "queries": {"q": {"query": "up", "kind": "range"}}}"#;
        let config: Config = serde_json::from_str(json).expect("the test's configuration parses");
        plan(&config, "n").0.remove(0)
    }

    #[test]
    fn a_part_that_was_told_is_not_asked_for_again() {
        let (asked, mut course) = (asked(), Course::default());
        let mut told = Vec::new();
        for turn in [1_000_000, 1_010_000, 1_020_000] {
            let moments = course.moments(&asked, turn, ALONE);
            told.extend((moments.start..=moments.end).step_by(10_000));
            course.take(moments, Some(&Trouble::Partial("a store is away".to_owned())));
        }
        assert_eq!(told, [1_000_000, 1_010_000, 1_020_000], "each moment once");
    }

    #[test]
    fn an_answer_that_is_too_large_is_asked_for_in_smaller_pieces_and_none_is_left_out() {
        let asked = asked();
        let (mut course, mut told, mut away) = (Course::default(), Vec::new(), true);
        for turn in (0..40).map(|turn| 1_000_000 + turn * 10_000) {
            let moments = course.moments(&asked, turn, ALONE);
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

    #[test]
    fn whoever_begins_reaches_back_as_far_as_others_may_have_left_out_though_the_first_turns_fail() {
        let asked = asked();
        for (catch_up, silence, first) in [(300, 20, 680_000), (10, 60, 920_000), (0, 60, 920_000)] {
            let reach = Reach { catch_up: Duration::from_secs(catch_up), silence: Some(Duration::from_secs(silence)) };
            let mut course = Course::default();
            let moments = course.moments(&asked, 1_000_000, reach);
            assert_eq!(moments.start, first, "{reach:?}");
            course.take(moments, Some(&Trouble::Connect("refused".to_owned())));
            let moments = course.moments(&asked, 1_010_000, reach);
            // What is older than may be caught up is left out; not what only this collector's first turn has cost.
            assert!(moments.start <= first + 10_000, "{moments:?}");
        }
    }

    #[test]
    fn the_first_turn_of_one_that_is_alone_is_made_up_for_as_well() {
        let (asked, mut course) = (asked(), Course::default());
        let moments = course.moments(&asked, 1_000_000, ALONE);
        assert_eq!((moments.start, moments.end), (1_000_000, 1_000_000));
        course.take(moments, Some(&Trouble::NoTime));
        let moments = course.moments(&asked, 1_010_000, ALONE);
        assert_eq!((moments.start, moments.end), (1_000_000, 1_010_000));
    }

    #[test]
    fn a_later_term_goes_on_from_what_an_earlier_one_has_told() {
        let (asked, courses) = (asked(), Courses::default());
        let reach = Reach { catch_up: Duration::from_mins(5), silence: Some(Duration::from_secs(20)) };
        let ask = |courses: &Courses, turn| courses.with(3, |course| course.moments(&asked, turn, reach));
        let moments = ask(&courses, 1_000_000);
        courses.with(3, |course| course.take(moments, None));
        let next_term = courses.clone();
        assert_eq!(ask(&next_term, 1_060_000).start, moments.end + 10_000);
        assert_eq!(ask(&next_term, 9_000_000).start, 9_000_000 - 330_000, "no further than may be caught up");
    }
}
