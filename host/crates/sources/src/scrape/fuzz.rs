//! Whatever a target serves as its page, in whatever pieces it comes.

use std::sync::Arc;

use sluicebox_testkit::fuzz::{Dice, Fuzz};

use super::filter::Filter;
use super::rows::Rows;
use super::text::{Broken, Format, LIMITS, Limits, Page, Reader, Sample};

const TEXT: &str = "# HELP http_requests_total How many.\n# TYPE http_requests_total counter\nhttp_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n\
    http_requests_total{method=\"post\",code=\"400\",} 3\n# A comment\nmsdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot find file:\\n\\\"FILE.TXT\\\"\"} 1.458255915e9\n\
    metric_without_timestamp_and_labels 12.47\nsomething_weird{problem=\"division by zero\"} +Inf -3982045\n# TYPE h histogram\n# UNIT h seconds\nh_bucket{le=\"+Inf\"} 144320\nh_sum 53423\nh_count 144320\n{\"a name\",\"a label\"=\"x\"} NaN\n";
const OPEN: &str = "# TYPE foo counter\n# UNIT foo seconds\nfoo_seconds_total{a=\"b\"} 17.0 1520879607.789 # {trace_id=\"KOO5S4vxi0o\"} 0.67\nfoo_seconds_created 1520430000.123\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n";
const PAGE_FOR_PEOPLE: &str = "<html>\n<body>up 1</body>\n</html>\n";

/// What a page tells: names, labels, values by their bits, times, types, units.
#[derive(Debug, Default, PartialEq)]
struct Told(Vec<Line>);

type Line = (String, Vec<(String, String)>, u64, Option<i64>, &'static str, String, bool);

impl Reader for Told {
    fn wants(&mut self, name: &str) -> bool {
        !name.starts_with("http_")
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        let labels = sample.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let Sample { name, value, millis, kind, unit, is_cumulative, .. } = sample;
        self.0.push((name.to_string(), labels, value.to_bits(), *millis, kind.name(), unit.to_string(), *is_cumulative));
    }
}

fn fuzz() -> Fuzz {
    Fuzz::of([TEXT, OPEN, PAGE_FOR_PEOPLE])
        .words(["# TYPE ", "# UNIT ", "# HELP ", "{le=\"", "\"} ", "# EOF\n", "__name__", "NaN\n"])
}

fn limits(dice: &mut Dice) -> Limits {
    if dice.one_in(2) {
        return LIMITS;
    }
    let document = if dice.one_in(4) { dice.below(3000) } else { 1 << 20 };
    Limits {
        document,
        line: 1 + dice.below(300),
        labels: dice.below(4),
        series: dice.below(120),
        name: dice.below(40),
        value: dice.below(60),
    }
}

struct Read {
    told: Told,
    skipped: u64,
    first_skipped: Option<String>,
    ended: Result<(), Broken>,
}

fn read(pieces: &[&[u8]], format: Format, limits: Limits, has_length: bool) -> Read {
    let (mut told, mut page) = (Told::default(), Page::new(format, limits));
    let taken = pieces.iter().try_for_each(|piece| page.take(piece, &mut told));
    let ended = taken.and_then(|()| page.end(has_length, &mut told));
    Read { told, skipped: page.skipped(), first_skipped: page.first_skipped().map(str::to_owned), ended }
}

#[test]
fn pages_tell_the_same_however_their_bytes_come_and_nothing_beyond_their_limits() {
    fuzz().run(|input, dice| {
        let (limits, has_length) = (limits(dice), dice.one_in(2));
        let format = if dice.one_in(2) { Format::Text } else { Format::OpenMetrics };
        let whole = read(&[input], format, limits, has_length);
        let pieces = read(&dice.pieces(input), format, limits, has_length);
        assert_eq!((&whole.told, whole.skipped, &whole.ended), (&pieces.told, pieces.skipped, &pieces.ended));
        assert_eq!(whole.first_skipped, pieces.first_skipped);
        let lines = input.split(|byte| *byte == b'\n').count();
        assert!(whole.told.0.len() as u64 + whole.skipped <= lines as u64);
        assert_eq!(whole.first_skipped.is_some(), whole.skipped > 0);
        assert!(whole.first_skipped.is_none_or(|words| !words.is_empty() && words.len() < 1000 && !words.contains('\n')));
        if let Err(broken) = &whole.ended {
            assert!(!broken.to_string().is_empty());
        }
        for (name, labels, ..) in &whole.told.0 {
            assert!(!name.is_empty() && name.len() <= limits.name && !name.contains('\0'), "{name:?}");
            assert!(labels.len() <= limits.labels, "{labels:?}");
            assert!(labels.is_sorted_by(|one, other| one.0 < other.0), "{labels:?}");
            let bytes: usize = labels.iter().map(|(label, value)| label.len() + value.len()).sum();
            assert!(bytes <= limits.series, "{labels:?}");
            for (label, value) in labels {
                assert!(!label.is_empty() && label.len() <= limits.name && label != "__name__", "{label:?}");
                assert!(!value.is_empty() && value.len() <= limits.value, "{value:?}");
                assert!(!label.contains('\0') && !value.contains('\0'), "{label:?} {value:?}");
            }
        }
    });
}

#[test]
fn what_is_damaged_behind_good_lines_leaves_them_as_they_are() {
    let good = read(&[TEXT.as_bytes()], Format::Text, LIMITS, true);
    assert_eq!(good.ended, Ok(()));
    fuzz().run(|input, dice| {
        let page = [TEXT.as_bytes(), input].concat();
        let read = read(&dice.pieces(&page), Format::Text, LIMITS, true);
        assert_eq!(read.ended, Ok(()), "a page whose first lines are good is one");
        assert_eq!(read.told.0[..good.told.0.len()], good.told.0);
    });
}

fn in_quotes(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

#[test]
fn what_is_told_is_told_again_when_it_is_written_as_a_page() {
    fuzz().run(|input, _| {
        let mut read_once = read(&[input], Format::Text, LIMITS, true);
        // A name that cannot stand in quotes.
        read_once.told.0.retain(|(name, ..)| name != "__name__");
        let mut lines = Vec::new();
        for (name, labels, value, millis, ..) in &read_once.told.0 {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{}={}", in_quotes(label), in_quotes(value))).collect();
            let (value, millis) = (f64::from_bits(*value), millis.map(|millis| millis.to_string()).unwrap_or_default());
            lines.push(format!("{{{},{}}} {value} {millis}\n", in_quotes(name), labels.join(",")));
        }
        let page = lines.concat();
        let again = read(&[page.as_bytes()], Format::Text, LIMITS, false);
        let essence = |told: &Told| -> Vec<_> {
            let is_number = |bits: &u64| (!f64::from_bits(*bits).is_nan()).then_some(*bits);
            told.0
                .iter()
                .map(|(name, labels, value, millis, ..)| (name.clone(), labels.clone(), is_number(value), *millis))
                .collect()
        };
        assert_eq!((essence(&again.told), again.skipped, again.ended), (essence(&read_once.told), 0, Ok(())), "{page}");
    });
}

#[test]
fn rows_hold_no_more_than_may_be_and_each_series_once() {
    let filters =
        ["{}", r#"{"h*": {"sum-by": ["le"]}, "foo_seconds_total": {"rate": true}, "": {}}"#, r#"{"*": {"drop": {"a": [""]}}}"#];
    let filters = filters.map(|json| Arc::new(Filter::new(&serde_json::from_str(json).unwrap())));
    fuzz().run(|input, dice| {
        let most = if dice.one_in(2) { dice.below(6) } else { 1000 };
        let mut rows = Rows::new(Arc::clone(dice.pick(&filters).unwrap()), most);
        let mut page = Page::new(Format::Text, LIMITS);
        let _whatever = page.take(input, &mut rows).and_then(|()| page.end(true, &mut rows));
        let count: usize = rows.metrics().iter().map(|metric| metric.rows.len()).sum();
        assert!(count <= most);
        for metric in rows.metrics() {
            let keys: std::collections::HashSet<&str> = metric.rows.iter().map(|row| rows.key(*row)).collect();
            assert_eq!(keys.len(), metric.rows.len(), "{}", metric.name);
            assert!(keys.iter().all(|key| key.matches('\0').count() % 2 == 0));
        }
    });
}
