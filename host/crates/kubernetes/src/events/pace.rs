//! Decides which reports are sent, which count up an event that is there, and which are left out. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Report;

/// So many are sent at once.
const BURST: u32 = 10;
/// After them, one each so often.
const PERIOD: Duration = Duration::from_secs(10);
/// So many events are remembered.
const MOST_KNOWN: usize = 64;
/// For so long an event is remembered that did not happen again. Servers keep them for an hour.
const REMEMBERED: Duration = Duration::from_hours(1);

/// What is to be done with a report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is a new event.
    Create,
    /// The event of this name has happened so many times now.
    Count { name: String, count: i32 },
    /// There were too many.
    LeaveOut,
}

/// What was sent, and how much more may be.
pub(super) struct Pace {
    /// When all of what was sent would have been sent, had it come evenly.
    even: Instant,
    /// The one that was longest without repetition is the first.
    known: VecDeque<Known>,
    left_out: u64,
    /// The last one that was given away.
    number: u64,
}

/// An event that the server has.
struct Known {
    report: Report,
    name: String,
    /// With those that were left out.
    count: i32,
    /// When the server was last told.
    told: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { even: now, known: VecDeque::new(), left_out: 0, number: 0 }
    }

    /// Decides, and counts a request that is to be made.
    pub(super) fn next(&mut self, report: &Report, now: Instant) -> Step {
        self.known.retain(|known| now.saturating_duration_since(known.told) < REMEMBERED);
        let ahead = self.even.saturating_duration_since(now);
        let known = self.known.iter_mut().find(|known| known.report == *report);
        if ahead > PERIOD * (BURST - 1) {
            self.left_out = self.left_out.saturating_add(1);
            if let Some(known) = known {
                known.count = known.count.saturating_add(1);
            }
            return Step::LeaveOut;
        }
        self.even = now + ahead + PERIOD;
        match known {
            None => Step::Create,
            Some(known) => Step::Count { name: known.name.clone(), count: known.count.saturating_add(1) },
        }
    }

    /// The server has a new event.
    pub(super) fn created(&mut self, report: &Report, name: String, now: Instant) {
        // Two may have said the same at once.
        self.known.retain(|known| known.report != *report);
        if self.known.len() >= MOST_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(Known { report: report.clone(), name, count: 1, told: now });
    }

    /// The server has counted up an event.
    pub(super) fn counted(&mut self, name: &str, now: Instant) {
        let place = self.known.iter().position(|known| known.name == name);
        if let Some(mut known) = place.and_then(|place| self.known.remove(place)) {
            known.count = known.count.saturating_add(1);
            known.told = now;
            self.known.push_back(known);
        }
    }

    /// The server does not have it any more.
    pub(super) fn forget(&mut self, name: &str) {
        self.known.retain(|known| known.name != name);
    }

    /// The time in nanoseconds, or the next number that was not given away yet.
    pub(super) fn number(&mut self, nanoseconds: i128) -> u64 {
        self.number = u64::try_from(nanoseconds).unwrap_or_default().max(self.number.wrapping_add(1));
        self.number
    }

    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn report(message: &(impl ToString + ?Sized)) -> Report {
        Report { reason: "Tested", message: message.to_string(), warning: true }
    }

    fn count(name: &str, count: i32) -> Step {
        Step::Count { name: name.to_owned(), count }
    }

    /// A pace that is far from its bound, and the time.
    fn pace() -> (Pace, Instant) {
        let now = Instant::now();
        (Pace::new(now), now)
    }

    #[test]
    fn ten_are_sent_at_once_and_then_one_each_ten_seconds() {
        let (mut pace, now) = pace();
        let mut sent = |seconds: u32, reports: u32| {
            let steps = (0..reports).map(|number| pace.next(&report(&number), now + SECOND * seconds));
            steps.filter(|step| *step == Step::Create).count()
        };
        assert_eq!(sent(0, 15), 10);
        assert_eq!(sent(9, 5), 0);
        assert_eq!(sent(10, 5), 1);
        assert_eq!(sent(35, 5), 2);
        assert_eq!(sent(39, 5), 0);
        assert_eq!(sent(40, 5), 1);
        assert_eq!(sent(1000, 15), 10, "rest is not saved up");
        assert_eq!(pace.left_out(), 5 + 5 + 4 + 3 + 5 + 4 + 5);
    }

    #[test]
    fn what_failed_takes_its_turn_as_well() {
        let (mut pace, now) = pace();
        let steps: Vec<_> = (0..12).map(|_| pace.next(&report("away"), now)).collect();
        assert_eq!(steps.iter().filter(|step| **step == Step::Create).count(), 10);
    }

    #[test]
    fn the_same_again_counts_up_with_what_was_left_out() {
        let (mut pace, now) = pace();
        assert_eq!(pace.next(&report("a"), now), Step::Create);
        pace.created(&report("a"), "a.1".to_owned(), now);
        assert_eq!(pace.next(&report("a"), now), count("a.1", 2));
        // It did not get through.
        assert_eq!(pace.next(&report("a"), now), count("a.1", 2));
        pace.counted("a.1", now);
        assert_eq!(pace.next(&Report { warning: false, ..report("a") }, now), Step::Create);
        assert_eq!(pace.next(&Report { reason: "Other", ..report("a") }, now), Step::Create);
        while pace.next(&report("b"), now) != Step::LeaveOut {}
        for _ in 0..5 {
            assert_eq!(pace.next(&report("a"), now), Step::LeaveOut);
        }
        assert_eq!(pace.next(&report("a"), now + PERIOD), count("a.1", 8));
    }

    #[test]
    fn after_an_hour_without_it_the_same_is_a_new_event() {
        let (mut pace, now) = pace();
        pace.created(&report("a"), "a.1".to_owned(), now);
        let later = now + SECOND * 3599;
        assert_eq!(pace.next(&report("a"), later), count("a.1", 2));
        pace.counted("a.1", later);
        assert_eq!(pace.next(&report("a"), later + SECOND * 3599), count("a.1", 3));
        assert_eq!(pace.next(&report("a"), later + SECOND * 3600), Step::Create);
    }

    #[test]
    fn what_the_server_has_forgotten_is_a_new_event() {
        let (mut pace, now) = pace();
        pace.created(&report("a"), "a.1".to_owned(), now);
        pace.forget("a.1");
        assert_eq!(pace.next(&report("a"), now), Step::Create);
    }

    #[test]
    fn of_many_the_last_ones_are_remembered() {
        let (mut pace, now) = pace();
        for number in 0..1000 {
            pace.created(&report(&number), format!("a.{number}"), now);
            pace.counted("a.0", now);
        }
        assert_eq!(pace.known.len(), MOST_KNOWN);
        assert_eq!(pace.next(&report(&0), now), count("a.0", 1002), "what repeats stays");
        assert_eq!(pace.next(&report(&999), now), count("a.999", 2));
        assert_eq!(pace.next(&report(&936), now), Step::Create);
    }

    #[test]
    fn two_that_say_the_same_at_once_are_remembered_as_one() {
        let (mut pace, now) = pace();
        pace.created(&report("a"), "a.1".to_owned(), now);
        pace.created(&report("a"), "a.2".to_owned(), now);
        assert_eq!(pace.known.len(), 1);
    }

    #[test]
    fn no_number_is_given_away_twice() {
        let (mut pace, _) = pace();
        let numbers = [5, 5, 3, 9, -1, 10].map(|nanoseconds| pace.number(nanoseconds));
        assert_eq!(numbers, [5, 6, 7, 9, 10, 11]);
    }
}
