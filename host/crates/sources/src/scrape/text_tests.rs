use super::*;

const SMALL: Limits = Limits { document: 1 << 20, line: 300, labels: 4, series: 120, name: 40, value: 60 };

/// What a page tells, one line for each sample.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    lines: Vec<String>,
    /// Metrics that begin like this are not wanted.
    unwanted: Option<&'static str>,
}

impl Reader for Told {
    fn wants(&mut self, name: &str) -> bool {
        self.unwanted.is_none_or(|prefix| !name.starts_with(prefix))
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let time = sample.millis.map(|millis| format!(" @{millis}")).unwrap_or_default();
        let grows = if sample.is_cumulative { " grows" } else { "" };
        let unit = if sample.unit.is_empty() { String::new() } else { format!(" in {}", sample.unit) };
        let kind = sample.kind.name();
        self.lines.push(
            format!("{}[{}] {}{time} {kind}{unit}{grows}", sample.name, labels.join("|"), sample.value).trim_end().to_owned(),
        );
    }
}

/// All of what is told, and how many lines were skipped.
fn read(page: &[u8], chunk: usize, format: Format, unwanted: Option<&'static str>) -> Result<(Vec<String>, u64), Broken> {
    let mut told = Told { unwanted, ..Told::default() };
    let mut text = Page::new(format, SMALL);
    for chunk in page.chunks(chunk) {
        text.take(chunk, &mut told)?;
    }
    text.end(true, &mut told)?;
    Ok((told.lines, text.skipped()))
}

#[track_caller]
fn check(page: &str, expected: &[&str]) {
    for chunk in [1, 7, 10_000] {
        assert_eq!(
            read(page.as_bytes(), chunk, Format::Text, None).map(|told| told.0),
            Ok(expected.iter().map(ToString::to_string).collect())
        );
    }
}

/// One line that can be read, and this one.
#[track_caller]
fn check_skipped(line: &str) {
    let page = format!("up 1\n{line}\n");
    assert_eq!(read(page.as_bytes(), 10, Format::Text, None), Ok((vec!["up[] 1".to_owned()], 1)), "{line}");
}

#[track_caller]
fn check_open_metrics(page: &str, expected: &[&str]) {
    let told = read(page.as_bytes(), 9, Format::OpenMetrics, None).map(|told| told.0);
    assert_eq!(told, Ok(expected.iter().map(ToString::to_string).collect()));
}

#[test]
fn a_sample_is_a_name_labels_a_value_and_a_time() {
    check("up 1\n", &["up[] 1"]);
    check("up 1", &["up[] 1"]);
    check("  up\t 1  1395066363000 \r\n\n", &["up[] 1 @1395066363000"]);
    check("up{} 1 -5", &["up[] 1 @-5"]);
    check(r#"a:b{x="1",y="2"}3"#, &["a:b[x=1|y=2] 3"]);
    check("a { x = \"1\" , y=\t\"2\" , } 3", &["a[x=1|y=2] 3"]);
    check(r#"a{y="2",x="1"} 3"#, &["a[x=1|y=2] 3"]);
    check(r#"a{x="",y="2"} 3"#, &["a[y=2] 3"]);
}

#[test]
fn values_are_those_that_prometheus_reads() {
    for (text, value) in [
        ("1.5e3", "1500"),
        ("-.5", "-0.5"),
        ("1.", "1"),
        ("NaN", "NaN"),
        ("Nan", "NaN"),
        ("+Inf", "inf"),
        ("-Inf", "-inf"),
        ("9223372036854775807", "9223372036854775807"),
    ] {
        let value: f64 = value.parse().unwrap();
        check(&format!("a {text}"), &[&format!("a[] {value}")]);
    }
}

#[test]
fn three_escapes_are_undone_and_others_stay() {
    check(r#"a{x="\\ \" \n",y="\d{1}ü"} 1"#, &["a[x=\\ \" \n|y=\\d{1}ü] 1"]);
    check(r##"a{x="}",y="# {"} 1"##, &["a[x=}|y=# {] 1"]);
}

#[test]
fn names_may_stand_in_quotes() {
    check(r#"{"my.metric",label="x"} 1"#, &["my.metric[label=x] 1"]);
    check(r#"{label="x", "my \"metric\"" , } 1"#, &["my \"metric\"[label=x] 1"]);
    check(r#"{"my.metric"} 1"#, &["my.metric[] 1"]);
    check(r#"a{"my.label"="x"} 1"#, &["a[my.label=x] 1"]);
    check("# TYPE \"my.metric\" counter\n{\"my.metric\"} 1", &["my.metric[] 1 counter grows"]);
    check("# HELP my.metric x\n# TYPE \"my.metric\" gauge\n{\"my.metric\"} 1", &["my.metric[] 1 gauge"]);
}

#[test]
fn samples_have_the_type_and_the_unit_of_their_family() {
    check(
        "# TYPE a counter\na 1\nb 2\na_total 3\na_created 4",
        &["a[] 1 counter grows", "b[] 2", "a_total[] 3 counter grows", "a_created[] 4 counter"],
    );
    check(
        "# HELP h Help.\n# TYPE h histogram\n# UNIT h seconds\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\nh_max 1",
        &[
            "h_bucket[le=+Inf] 2 histogram in seconds grows",
            "h_sum[] 3 histogram in seconds grows",
            "h_count[] 2 histogram in seconds grows",
            "h_max[] 1",
        ],
    );
    check(
        "# TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 2\ns_bucket 1",
        &["s[quantile=0.5] 1 summary", "s_count[] 2 summary grows", "s_bucket[] 1"],
    );
    check("# TYPE g gaugehistogram\ng_gcount 1", &["g_gcount[] 1 gaugehistogram"]);
    check("# TYPE a untyped\na 1", &["a[] 1 unknown"]);
    check("# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE t stateset\nt 1", &["i_info[v=1] 1 info", "t[] 1 stateset"]);
    check("# UNIT a_bytes bytes\na_bytes 1", &["a_bytes[] 1  in bytes"]);
    // What was said of one family is not said of the next.
    check("# TYPE a counter\n# HELP b x\nb 1\na 1", &["b[] 1", "a[] 1"]);
    check("# HELP a x\n# TYPE a counter\n# HELP a y\na 1", &["a[] 1 counter grows"]);
}

#[test]
fn comments_are_passed_over() {
    check("#\n# \n#comment\n# TYPES a b\n# EOF\nup 1\n", &["up[] 1"]);
    assert_eq!(read(b"# HELP a \xe9t\xe9\na 1\n", 4, Format::Text, None), Ok((vec!["a[] 1".to_owned()], 0)));
    check("", &[]);
    check("\n \n", &[]);
}

#[test]
fn open_metrics_has_seconds_exemplars_and_an_end() {
    check_open_metrics(
        "# TYPE a counter\n# UNIT a seconds\na_total{x=\"1\"} 17.0 1520879607.789 # {trace_id=\"KOO5S4vxi0o\"} 0.67 1.5\na_created 5 # {}\n# EOF\n",
        &["a_total[x=1] 17 @1520879607789 counter in seconds grows", "a_created[] 5 counter in seconds"],
    );
    check_open_metrics("# EOF", &[]);
    check_open_metrics("a 1 -1.5\n# EOF\n \n", &["a[] 1 @-1500"]);
    for (page, broken) in [
        ("a 1\n", Broken::CutShort),
        ("", Broken::CutShort),
        ("a 1\n# EOF\na 2\n", Broken::Trailing),
        ("# EOF\n# x", Broken::Trailing),
    ] {
        assert_eq!(read(page.as_bytes(), 3, Format::OpenMetrics, None), Err(broken));
    }
}

#[test]
fn a_line_that_cannot_be_read_is_left_out() {
    for line in [
        "up",
        "up ",
        "up one",
        "up 1 now",
        "up 1 1.5",
        "up 1 2 3",
        "up 1 2 # 3",
        "9up 1",
        "up-time 1",
        "up; 1",
        "{} 1",
        "{x=\"1\"} 1",
        r#"{"a","b"} 1"#,
        r#"a{"b"} 1"#,
        r#"a{x="1""#,
        r#"a{x="1} 1"#,
        r#"a{x="1"y="2"} 1"#,
        "a{,} 1",
        r#"a{x="1",,} 1"#,
        "a{x=1} 1",
        "a{x} 1",
        r#"a{1x="1"} 1"#,
        r#"a{x="1",x="2"} 1"#,
        r#"a{y="1",x="1",y="2"} 1"#,
        r#"a{__name__="b"} 1"#,
        r#"a{""="1"} 1"#,
        "a{x=\"\0\"} 1",
        r#"{""} 1"#,
        r#"a{x="1"}"#,
        r#"a{x="\"#,
        "up 1_000",
        "up 0x1",
        "# TYPE up nothing",
        "# TYPE",
        "# HELP",
        "# UNIT \"up",
        r#"a{a="1",b="2",c="3",d="4",e="5"} 1"#,
        "a_name_that_is_longer_than_forty_bytes_____ 1",
        r#"a{a_name_that_is_longer_than_forty_bytes_____="1"} 1"#,
        r#"a{x="a value that is longer than sixty bytes ......................................"} 1"#,
    ] {
        check_skipped(line);
    }
    check_skipped(&format!("a{{a=\"{0}\",b=\"{0}\",c=\"{0}\"}} 1", "x".repeat(50)));
    let long = format!("a{{x=\"{}\"}} 1", "x".repeat(300));
    check_skipped(&long);
    assert_eq!(read(b"up 1\na{x=\"\xff\"} 1\n", 3, Format::Text, None), Ok((vec!["up[] 1".to_owned()], 1)));
    check(r#"a{a="1",b="2",c="3",d="4",e=""} 1"#, &["a[a=1|b=2|c=3|d=4] 1"]);
    // One line is shown.
    let mut page = Page::new(Format::Text, SMALL);
    page.take(format!("up 1\n{long}\nup x\n").as_bytes(), &mut Told::default()).unwrap();
    assert_eq!((page.skipped(), page.first_skipped().unwrap().len()), (2, 61));
}

#[test]
fn what_is_not_wanted_is_passed_over_before_its_labels() {
    let page = b"up 1\nb{x=\"1\",} broken }\nb 3\nb nothing\n{\"b\"} 1\n";
    assert_eq!(read(page, 5, Format::Text, Some("b")), Ok((vec!["up[] 1".to_owned()], 1)));
}

#[test]
fn what_is_no_page_of_metrics_is_refused() {
    for page in [
        "<!DOCTYPE html>\n<html>\nbody {\n a 1\n",
        "404 page not found\n",
        "Not found here",
        "{\"status\":\"success\",\"data\":[]}",
        "{\n  \"status\": \"success\"\n}\n",
        "\u{1f}\u{8b}\u{8}\0\0\0",
        &"x".repeat(10_000),
        &"?\n".repeat(100),
    ] {
        for unwanted in [None, Some("")] {
            assert!(matches!(read(page.as_bytes(), 5, Format::Text, unwanted), Err(Broken::NoMetrics(_))), "{page}");
        }
    }
    let refused = read(b"\n\n<html>\xff\n", 10, Format::Text, None).unwrap_err().to_string();
    assert_eq!(refused, "it is no page of metrics: it begins with `<html>\u{fffd}`");
}

#[test]
fn a_page_that_is_too_long_is_refused_and_holds_one_line() {
    let mut page = Page::new(Format::Text, SMALL);
    let mut told = Told { unwanted: Some("a"), ..Told::default() };
    let chunk = format!("a 1\n{}", "a".repeat(9_996));
    let result = (0..1_000).try_for_each(|_| page.take(chunk.as_bytes(), &mut told));
    assert_eq!(result, Err(Broken::TooLong(1 << 20)));
    assert_eq!(page.bytes, 1 << 20);
    assert!(page.line.capacity() <= 2 * SMALL.line);
}

/// A generator of pseudo-random numbers that gives the same ones each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }
}

const PAGE: &str = r#"# HELP h Help.
# TYPE h histogram
# UNIT h seconds
h_bucket{le="0.5",zone="ü\n\"\\"} 2 1395066363000
h_bucket{le="+Inf", } 5 # {trace="x"} 0.6 1.5
h_sum 3.5e1
{"my.metric",x="1"} NaN
up 1
"#;

/// Bytes that mean something, and some that mean nothing.
const BYTES: &[u8] = b"{}\"\\\n\r ,=#_:<ahT019.+-eNI\t\0\x80\xff\xc3";

#[test]
fn however_a_page_is_cut_into_chunks_it_tells_the_same_and_nothing_panics() {
    let mut dice = Dice(1);
    for round in 0..20_000 {
        let mut bytes = if round % 4 == 0 { Vec::new() } else { PAGE.as_bytes().to_vec() };
        for _ in 0..=dice.roll(if bytes.is_empty() { 400 } else { 4 }) {
            let (place, byte) = (dice.roll(bytes.len() + 1), BYTES[dice.roll(BYTES.len())]);
            match dice.roll(3) {
                0 if place < bytes.len() => bytes[place] = byte,
                1 if place < bytes.len() => drop(bytes.remove(place)),
                _ => bytes.insert(place, byte),
            }
        }
        if dice.roll(50) == 0 {
            let place = dice.roll(bytes.len() + 1);
            bytes.splice(place..place, std::iter::repeat_n(b'a', 400));
        }
        let format = if dice.roll(2) == 0 { Format::Text } else { Format::OpenMetrics };
        let unwanted = (dice.roll(4) == 0).then_some("h");
        let whole = read(&bytes, usize::MAX, format, unwanted);
        for size in [1, dice.roll(30) + 1, dice.roll(200) + 1] {
            assert_eq!(read(&bytes, size, format, unwanted), whole, "{}", String::from_utf8_lossy(&bytes));
        }
        if let Ok((lines, skipped)) = whole {
            assert!(lines.len() + usize::try_from(skipped).unwrap() <= bytes.len());
        }
    }
}

/// Like the kubelet's `/metrics/cadvisor`.
fn cadvisor(series: usize) -> String {
    use std::fmt::Write as _;
    let mut page = String::new();
    let names = [
        "container_cpu_usage_seconds_total",
        "container_memory_working_set_bytes",
        "container_fs_reads_bytes_total",
        "container_processes",
    ];
    for name in names {
        writeln!(page, "# HELP {name} Something about a container.\n# TYPE {name} gauge").unwrap();
        for number in 0..series / names.len() {
            writeln!(
                page,
                "{name}{{container=\"worker\",id=\"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{number:08x}_1c5e_4f0e_9a55_5d0b2b8a.slice/cri-containerd-{number:064x}.scope\",image=\"registry.example.com/team/worker:1.2.3\",name=\"{number:064x}\",namespace=\"team-{}\",pod=\"worker-{number:05}\"}} {}.25 1395066363{:03}",
                number % 10,
                number * 7919,
                number % 1_000
            )
            .unwrap();
        }
    }
    page
}

/// The least that could be done, without any of the promises.
fn naive(page: &str) -> f64 {
    let mut sum = 0.0;
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').unwrap();
        let (labels, rest) = rest.split_once('}').unwrap();
        let labels: Vec<(&str, &str)> = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        sum += rest.split_whitespace().next().unwrap().parse::<f64>().unwrap() + number(name.len() + labels.len());
    }
    sum
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

#[derive(Default)]
struct Sum(f64, bool);

impl Reader for Sum {
    fn wants(&mut self, name: &str) -> bool {
        !self.1 || name == "container_processes"
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        self.0 += sample.value + number(sample.name.len() + sample.labels.iter().len());
    }
}

#[test]
#[ignore = "measures: cargo test --release -p sluicebox-sources -- --ignored --nocapture a_page_of_4000_series"]
fn a_page_of_4000_series_costs_so_much() {
    let page = cadvisor(4_000);
    let ours = |only_one: bool| {
        let (mut sum, mut text) = (Sum(0.0, only_one), Page::new(Format::Text, super::LIMITS));
        page.as_bytes().chunks(16 << 10).for_each(|chunk| text.take(chunk, &mut sum).unwrap());
        text.end(true, &mut sum).unwrap();
        sum.0
    };
    assert!((ours(false) - naive(&page)).abs() < 1.0);
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..101 {
        for (times, work) in times.iter_mut().zip([&(|| naive(&page)) as &dyn Fn() -> f64, &|| ours(false), &|| ours(true)]) {
            let begun = std::time::Instant::now();
            std::hint::black_box(work());
            times.push(begun.elapsed().as_nanos() / 4_000);
        }
    }
    let [naive, all, one] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!(
        "{} bytes a series; naive {naive} ns, all wanted {all} ns, one of four wanted {one} ns a series",
        page.len() / 4_000
    );
}
