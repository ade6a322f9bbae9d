//! What has become of what a sink was given that may drop, compared with what another sink has of the same. Pure.
//!
//! Both sinks are fed by the same module with the same events, and the other one loses nothing. So in a program that was never ended, what is
//! missing here is what the metrics count as dropped, to the last entry. What may be missing follows from the policy: the store holds what
//! a sink that is away is given for a while, and whether that is the first of it or the last is what the policy says.

use std::collections::BTreeSet;

use super::stream::Line;

/// How long what was given before may be under way, in milliseconds.
const UNDER_WAY: i64 = 400;
/// What a store of the smallest size holds at least of what is given, in milliseconds: it has seven eighths of a MiB at least, and is given less than
/// that in half a second.
const HELD: i64 = 450;

/// What is dropped when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drops {
    Oldest,
    Newest,
}

/// What is known of a sink that may drop.
#[derive(Clone, Debug)]
pub(super) struct Spilled {
    pub(super) drops: Drops,
    pub(super) has_store: bool,
    /// As the metrics of the last run say.
    pub(super) dropped: u64,
    /// From when on the last run has lived, in milliseconds since 1970, and whether it was the only one.
    pub(super) began: i64,
    pub(super) is_only_run: bool,
    /// When the sink was away.
    pub(super) outages: Vec<(i64, i64)>,
}

/// What is wrong with what came out `here`, given all that came out of the other sink, and when each of those was given.
pub(super) fn faults(spilled: &Spilled, here: &[Line], there: &[Line], given: impl Fn(&Line) -> Option<i64>) -> Vec<String> {
    let mut faults = Vec::new();
    let here: BTreeSet<&Line> = here.iter().collect();
    let there: BTreeSet<&Line> = there.iter().collect();
    if let Some(line) = here.iter().find(|line| !there.contains(*line)) {
        faults.push(format!("{line:?} has come out here and not there"));
    }
    let missing: Vec<&Line> = there.iter().filter(|line| !here.contains(*line)).copied().collect();
    // Of earlier runs it is not known to the last entry what they have counted.
    let of_now = missing.iter().filter(|line| given(line).is_some_and(|at| at >= spilled.began)).count() as u64;
    if of_now > spilled.dropped || spilled.is_only_run && of_now != spilled.dropped {
        faults.push(format!("{of_now} entries are missing, and {} were counted as dropped", spilled.dropped));
    }
    if spilled.is_only_run && spilled.has_store {
        let newest = there.iter().filter_map(|line| given(line)).max().unwrap_or(i64::MAX);
        let wrongly = |line: &&&Line| given(line).is_some_and(|at| !spilled.may_miss(at, newest));
        if let Some(line) = missing.iter().find(wrongly) {
            let outages = &spilled.outages;
            faults.push(format!(
                "{line:?}, given at {:?}, was not to be dropped: {:?} of {outages:?}",
                given(line),
                spilled.drops
            ));
        }
    }
    faults
}

impl Spilled {
    /// Whether what was given then may have been dropped.
    fn may_miss(&self, at: i64, newest: i64) -> bool {
        self.outages.iter().any(|(from, _)| match self.drops {
            // What was there before has made room for what came last, until the sink was tried again after the outage.
            Drops::Oldest => (from - UNDER_WAY..newest - HELD).contains(&at),
            // Until there is room again, which takes a moment longer than the outage.
            Drops::Newest => (from + HELD..).contains(&at),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::Item;
    use super::*;

    /// Lines that are given one each 100 ms from 1000 on.
    fn lines(numbers: impl IntoIterator<Item = usize>) -> Vec<Line> {
        numbers.into_iter().map(|number| Line::Value(Item { target: 0, number, series: 0 })).collect()
    }

    fn check(drops: Drops, dropped: u64, here: impl IntoIterator<Item = usize>) -> Vec<String> {
        let spilled = Spilled { drops, has_store: true, dropped, began: 1000, is_only_run: true, outages: vec![(2000, 4000)] };
        let given = |line: &Line| match line {
            Line::Value(item) => Some(1000 + 100 * i64::try_from(item.number).unwrap()),
            _ => None,
        };
        faults(&spilled, &lines(here), &lines(0..50), given)
    }

    #[test]
    fn what_is_missing_is_what_was_counted_and_what_the_policy_says() {
        assert_eq!(check(Drops::Oldest, 0, 0..50), Vec::<String>::new());
        assert_eq!(check(Drops::Oldest, 10, (0..12).chain(22..50)), Vec::<String>::new());
        assert_eq!(check(Drops::Newest, 10, (0..20).chain(30..50)), Vec::<String>::new());
        assert_eq!(check(Drops::Oldest, 9, (0..12).chain(22..50)), ["10 entries are missing, and 9 were counted as dropped"]);
        assert_eq!(check(Drops::Oldest, 0, 0..51).len(), 1, "nobody has given that");
        assert_eq!(check(Drops::Oldest, 1, (0..47).chain(48..50)).len(), 1, "the last that was given is kept");
        assert_eq!(check(Drops::Newest, 1, (0..12).chain(13..50)).len(), 1, "the first that was given is kept");
    }
}
