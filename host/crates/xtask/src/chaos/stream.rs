//! What must have come out of a stream of samples, and in which order, given what was handed in. Pure.
//!
//! A run is one life of the program's process. Of the entries that a run has taken in, those that were accepted come out, whatever
//! happens to the process, the servers and the wires. What was taken in and not accepted is what was in memory only when the process was
//! killed, and that is the newest: so of each run a beginning comes out, without a hole, and it is at least as long as what the
//! program had said to be written or in its store. Entries may come out twice; those that come out for the first time are in order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::pages::TARGETS;

/// A value of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Item {
    pub(super) target: usize,
    /// The number of the page.
    pub(super) number: usize,
    pub(super) series: usize,
}

/// A line that has come out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Line {
    Value(Item),
    /// Whether a page could be read, in milliseconds since 1970.
    Up {
        at: i64,
        target: usize,
        is_up: bool,
    },
    /// Why it could not.
    Failure {
        at: i64,
        target: String,
    },
}

/// What is known of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RunFacts {
    /// Milliseconds since 1970.
    pub(super) began: i64,
    /// So many of its entries at least were accepted.
    pub(super) safe: u64,
    /// So many at most, where that is known.
    pub(super) most: Option<u64>,
    pub(super) end: End,
}

/// How a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// It has not: all that it was given comes out.
    #[default]
    None,
    /// It was asked to: what it was given last it may not have taken.
    Stopped,
    /// At any moment, also in the middle of a page.
    Killed,
}

/// What was handed in.
pub(super) struct Handed<'a> {
    /// For each target, the run that was given the page of each number, from 1 on.
    pub(super) given: &'a [Vec<usize>],
    /// Values on each page.
    pub(super) series: usize,
    pub(super) runs: &'a [RunFacts],
    /// What was destroyed in the store on purpose.
    pub(super) excused: &'a BTreeSet<Line>,
}

/// The line of this seed that a text is; none for those of others.
pub(super) fn parse(text: &str, seed: u64) -> Option<Line> {
    let value: Value = serde_json::from_str(text).ok()?;
    let at = || time(value.get("time")?.as_str()?);
    let target = |job: &str| {
        let target = job.strip_prefix(&format!("s{seed}"))?;
        TARGETS.iter().position(|known| *known == target)
    };
    match value.get("kind")?.as_str()? {
        "series" => {
            let labels = value.get("labels")?;
            let target = target(labels.get("job")?.as_str()?)?;
            let number = value.get("value")?.as_f64()?;
            if value.get("name")?.as_str()? == "up" {
                return Some(Line::Up { at: at()?, target, is_up: number > 0.5 });
            }
            let series = labels.get("series")?.as_str()?.parse().ok()?;
            Some(Line::Value(Item { target, number: format!("{number:.0}").parse().ok()?, series }))
        }
        "query" => Some(Line::Failure { at: at()?, target: value.get("query")?.as_str()?.to_owned() }),
        _ => None,
    }
}

/// `2026-11-29T10:19:21.803000000Z` as milliseconds since 1970.
pub(super) fn time(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    // Days since the first of March of the year 0, as leap days come last then.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?) * 1000 + number(20, 23)?)
}

/// What is wrong with a stream, given in the order of arrival.
pub(super) fn faults(handed: &Handed<'_>, lines: &[Line]) -> Vec<String> {
    let mut faults = Vec::new();
    let distinct: BTreeSet<&Line> = lines.iter().collect();
    order(handed, lines, &mut faults);
    for (number, run) in handed.runs.iter().enumerate() {
        let end = handed.runs.get(number + 1).map_or(i64::MAX, |next| next.began);
        let is_now = |at: i64| (run.began..end).contains(&at);
        let (mut ups, mut downs, mut failures) = (0, 0, 0);
        for line in &distinct {
            match line {
                Line::Up { at, is_up: true, .. } if is_now(*at) => ups += 1,
                Line::Up { at, is_up: false, .. } if is_now(*at) => downs += 1,
                Line::Failure { at, .. } if is_now(*at) => failures += 1,
                _ => {}
            }
        }
        // That a page could not be read may have been destroyed as well.
        let is_down = |line: &&Line| matches!(line, Line::Up { at, is_up: false, .. } if is_now(*at) && !distinct.contains(line));
        let destroyed = handed.excused.iter().filter(is_down).count() as u64;
        let (told, lost) = run_of(handed, number, &distinct, downs + destroyed, &mut faults);
        let is_of_now = |line: &&Line| match line {
            Line::Up { at, .. } | Line::Failure { at, .. } => is_now(*at) && !distinct.contains(line),
            Line::Value(_) => false,
        };
        let lost = lost + handed.excused.iter().filter(is_of_now).count() as u64;
        let told = told + ups + downs + failures;
        if told + lost < run.safe {
            faults.push(format!("of run {number}, {} entries were accepted and only {told} came out", run.safe));
        }
        if let Some(most) = run.most.filter(|most| *most < told) {
            faults.push(format!("of run {number}, {most} entries were accepted and {told} came out"));
        }
    }
    faults
}

/// What comes for the first time is in order, and was handed in.
pub(super) fn order(handed: &Handed<'_>, lines: &[Line], faults: &mut Vec<String>) {
    let mut newest: BTreeMap<usize, Item> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in lines {
        let Line::Value(item) = line else { continue };
        let pages = handed.given.get(item.target).map_or(0, Vec::len);
        if item.number == 0 || item.number > pages || item.series >= handed.series {
            faults.push(format!("{item:?} was never handed in"));
        }
        if seen.insert(*item) {
            let newest = newest.entry(item.target).or_insert(*item);
            if *item < *newest {
                faults.push(format!("{item:?} came for the first time behind {newest:?}"));
            }
            *newest = (*newest).max(*item);
        }
    }
}

/// Of a run, how many values came out, and how many were destroyed on purpose; what came out is a beginning without a hole.
fn run_of(handed: &Handed<'_>, run: usize, distinct: &BTreeSet<&Line>, downs: u64, faults: &mut Vec<String>) -> (u64, u64) {
    let (mut told, mut destroyed, mut holes) = (0, 0, Vec::new());
    let end = handed.runs.get(run).map(|run| run.end).unwrap_or_default();
    for (target, given) in handed.given.iter().enumerate() {
        let item = |number: usize, series: usize| Item { target, number, series };
        let has = |number: usize, series: usize| distinct.contains(&Line::Value(item(number, series)));
        let numbers: Vec<usize> = (1..=given.len()).filter(|number| given.get(number - 1) == Some(&run)).collect();
        let last = numbers.iter().rev().find(|number| (0..handed.series).any(|series| has(**number, series))).copied();
        for number in numbers {
            let missing: Vec<usize> = (0..handed.series).filter(|series| !has(number, *series)).collect();
            told += (handed.series - missing.len()) as u64;
            let excused = missing.iter().filter(|series| handed.excused.contains(&Line::Value(item(number, **series)))).count();
            destroyed += excused as u64;
            if missing.len() == excused || end != End::None && last.is_none_or(|last| number > last) {
                continue;
            }
            if missing.len() == handed.series {
                holes.push((target, number));
            } else if Some(number) != last || end != End::Killed {
                faults.push(format!("of page {number} of target {target}, in run {run}, the values {missing:?} are missing"));
            }
        }
    }
    if holes.len() as u64 > downs {
        faults.push(format!(
            "in run {run}, pages are missing that are not its last: {holes:?}, and only {downs} could not be read"
        ));
    }
    (told, destroyed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: RunFacts = RunFacts { began: 0, safe: 0, most: None, end: End::Killed };

    fn value(number: usize, series: usize) -> Line {
        Line::Value(Item { target: 0, number, series })
    }

    /// Three pages of two values, the first two of them in the first run.
    fn check(runs: [RunFacts; 2], excused: &[Item], lines: &[Line]) -> Vec<String> {
        let given = [vec![0, 0, 1], Vec::new()];
        let excused = excused.iter().copied().map(Line::Value).collect();
        faults(&Handed { given: &given, series: 2, runs: &runs, excused: &excused }, lines)
    }

    fn runs(safe: u64) -> [RunFacts; 2] {
        [RunFacts { safe, ..FACTS }, RunFacts { began: 1000, most: Some(2), end: End::None, ..FACTS }]
    }

    #[test]
    fn a_beginning_of_each_run_is_right_and_a_hole_is_not() {
        let last = [value(3, 0), value(3, 1)];
        let all = |first: &[Line]| [first, &last].concat();
        assert_eq!(check(runs(4), &[], &all(&[value(1, 0), value(1, 1), value(2, 0), value(2, 1)])), Vec::<String>::new());
        assert_eq!(check(runs(3), &[], &all(&[value(1, 0), value(1, 1), value(2, 0)])), Vec::<String>::new());
        assert_eq!(check(runs(0), &[], &all(&[])), Vec::<String>::new());
        // Told twice.
        assert_eq!(check(runs(2), &[], &all(&[value(1, 0), value(1, 1), value(1, 0), value(1, 1)])), Vec::<String>::new());
        let told = |faults: Vec<String>, words: &str| assert!(faults.iter().any(|fault| fault.contains(words)), "{faults:?}");
        told(check(runs(4), &[], &all(&[value(1, 0), value(1, 1), value(2, 0)])), "4 entries were accepted and only 3 came out");
        told(check(runs(0), &[], &all(&[value(1, 0), value(2, 0), value(2, 1)])), "the values [1] are missing");
        told(check(runs(0), &[], &all(&[value(2, 0), value(2, 1)])), "pages are missing that are not its last");
        told(check(runs(0), &[], &all(&[value(1, 1), value(1, 0)])), "came for the first time behind");
        told(check(runs(0), &[], &all(&[value(4, 0)])), "was never handed in");
        told(check(runs(0), &[], &[value(3, 0)]), "the values [1] are missing");
        told(check(runs(0), &[], &[]), "pages are missing that are not its last");
        let few = [FACTS, RunFacts { most: Some(1), ..FACTS }];
        told(check(few, &[], &last), "of run 1, 1 entries were accepted and 2 came out");
    }

    #[test]
    fn what_was_destroyed_on_purpose_is_not_missed() {
        let item = |series| Item { target: 0, number: 1, series };
        let lines = [value(2, 0), value(2, 1), value(3, 0), value(3, 1)];
        assert_eq!(check(runs(4), &[item(0), item(1)], &lines), Vec::<String>::new());
        assert_eq!(check(runs(4), &[item(0)], &lines).len(), 2);
    }

    #[test]
    fn a_page_that_could_not_be_read_is_not_missed() {
        let lines = [Line::Up { at: 5, target: 0, is_up: false }, value(2, 0), value(2, 1), value(3, 0), value(3, 1)];
        assert_eq!(check(runs(3), &[], &lines), Vec::<String>::new());
        let [down, rest @ ..] = lines;
        assert_eq!(check(runs(2), &[], &rest).len(), 1);
        let (given, excused) = ([vec![0, 0, 1], Vec::new()], BTreeSet::from([down]));
        let handed = Handed { given: &given, series: 2, runs: &runs(2), excused: &excused };
        assert_eq!(faults(&handed, &rest), Vec::<String>::new());
    }

    #[test]
    fn lines_are_read_as_the_module_writes_them() {
        let text = r#"{"time":"2026-11-29T10:19:21.803000000Z","kind":"series","query":"serial_b","name":"serial_b","labels":{"job":"s17b","series":"3"},"value":12.0}"#;
        assert_eq!(parse(text, 17), Some(Line::Value(Item { target: 1, number: 12, series: 3 })));
        assert_eq!(parse(text, 1), None);
        let text = r#"{"time":"1970-01-02T00:00:01.803000000Z","kind":"series","name":"up","labels":{"job":"s17a"},"value":0.0}"#;
        assert_eq!(parse(text, 17), Some(Line::Up { at: 86_401_803, target: 0, is_up: false }));
        assert_eq!(parse("{\"torn", 17), None);
    }
}
