//! Topics that entries have named and that are not to be had: since when, and whether that is for good. Pure.
//!
//! A broker that has just started, or a topic that is deleted and made again, looks for a moment like a topic that does not exist.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// One more topic at a time than this is not waited for.
const MOST: usize = 1_000;

/// The topics in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    since: HashMap<String, Instant>,
    /// Entries that are with the client and would lift the doubt on their topic, by their number.
    trials: HashMap<usize, String>,
}

impl Doubts {
    /// The topic is not to be had, again or for the first time; says whether that has been so for this time, which makes it one that does
    /// not exist. That verdict stays until an entry for it is written.
    pub(super) fn is_over(&mut self, topic: &str, timeout: Duration, now: Instant) -> bool {
        if let Some(since) = self.since.get(topic) {
            return now.saturating_duration_since(*since) >= timeout;
        }
        if self.since.len() >= MOST {
            // Whoever is judged can be judged once more, whoever waits must not begin anew.
            self.since.retain(|_, since| now.saturating_duration_since(*since) < timeout);
        }
        if timeout.is_zero() || self.since.len() >= MOST {
            return true;
        }
        self.since.insert(topic.to_owned(), now);
        false
    }

    /// An entry for the topic is with the client, under this number.
    pub(super) fn try_again(&mut self, number: usize, topic: &str) {
        if self.since.contains_key(topic) {
            self.trials.insert(number, topic.to_owned());
        }
    }

    /// The client has done with the entry of this number.
    pub(super) fn settle(&mut self, number: usize, is_written: bool) {
        if let Some(topic) = self.trials.remove(&number).filter(|_| is_written) {
            self.since.remove(&topic);
        }
    }

    /// The client has ended and taken with it what it had.
    pub(super) fn lose(&mut self) {
        self.trials.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    #[test]
    fn a_topic_is_given_up_when_its_time_is_over_and_is_trusted_again_when_something_is_written() {
        let begin = Instant::now();
        let mut doubts = Doubts::default();
        let is_over = |doubts: &mut Doubts, seconds| doubts.is_over("t", TIMEOUT, begin + Duration::from_secs(seconds));
        for (seconds, over) in [(0, false), (9, false), (10, true), (11, true), (3_600, true)] {
            assert_eq!(is_over(&mut doubts, seconds), over, "{seconds}");
        }
        doubts.try_again(1, "t");
        doubts.try_again(2, "t");
        doubts.settle(1, false);
        assert!(is_over(&mut doubts, 3_601));
        doubts.settle(2, true);
        assert!(!is_over(&mut doubts, 3_602));
        doubts.try_again(3, "t");
        doubts.lose();
        doubts.settle(3, true);
        assert!(is_over(&mut doubts, 3_700));
    }

    #[test]
    fn only_topics_in_doubt_are_kept_count_of() {
        let mut doubts = Doubts::default();
        doubts.try_again(1, "t");
        assert!(doubts.trials.is_empty());
        assert!(doubts.is_over("t", Duration::ZERO, Instant::now()) && doubts.since.is_empty());
    }

    #[test]
    fn ever_new_topics_neither_fill_the_memory_nor_begin_their_time_anew() {
        let begin = Instant::now();
        let mut doubts = Doubts::default();
        let mut over =
            |from: usize, to: usize, now| (from..to).filter(|number| doubts.is_over(&number.to_string(), TIMEOUT, now)).count();
        assert_eq!(over(0, MOST, begin), 0);
        assert_eq!(over(MOST, 3 * MOST, begin), 2 * MOST, "there is no room for them");
        assert_eq!(over(0, MOST, begin + TIMEOUT), MOST);
        assert_eq!(over(MOST, MOST + 1, begin + TIMEOUT), 0, "those that are judged make room");
    }
}
