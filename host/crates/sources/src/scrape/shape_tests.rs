use std::sync::Arc;
use std::time::Duration;

use super::super::filter::Filter;
use super::super::text::{Format, LIMITS, Page};
use super::*;

/// A target whose pages are told one after the other, ten seconds apart.
struct Target {
    filter: Arc<Filter>,
    shape: Shape,
    growth: Growth,
    begun: Instant,
    second: u64,
}

fn target(metrics: &str, own: &[(&str, &str)], are_rates: bool) -> Target {
    let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Target {
        filter: Arc::new(Filter::new(&serde_json::from_str(metrics).unwrap())),
        shape: Shape::new(own, false, true, are_rates),
        growth: Growth::default(),
        begun: Instant::now(),
        second: 0,
    }
}

impl Target {
    /// One line for each series.
    fn read(&mut self, text: &str) -> Vec<String> {
        let mut rows = Rows::new(Arc::clone(&self.filter), 100);
        let mut page = Page::new(Format::Text, LIMITS);
        page.take(text.as_bytes(), &mut rows).unwrap();
        page.end(true, &mut rows).unwrap();
        let moment =
            Moment { read: self.begun + Duration::from_secs(self.second), millis: i64::try_from(self.second).unwrap() * 1_000 };
        self.second += 10;
        let told = rows.metrics().iter().flat_map(|metric| self.shape.tell(&rows, metric, &mut self.growth, moment)).filter_map(
            |told| {
                let labels: Vec<String> = labels(&told.key).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
                let (value, millis) = told.sample?;
                Some(format!("{} {value} @{millis}", labels.join(",")))
            },
        );
        let told = told.collect();
        self.growth.turn();
        told
    }
}

#[test]
fn a_series_has_its_name_its_labels_and_those_of_the_target() {
    let mut target = target("{}", &[("job", "node"), ("instance", "h:1"), ("none", "")], false);
    assert_eq!(
        target.read("a{x=\"1\",job=\"mine\"} 5\na{exported_job=\"e\",job=\"mine\"} 6 77\nb 7\n"),
        [
            "__name__=a,exported_job=mine,instance=h:1,job=node,x=1 5 @0",
            "__name__=a,exported_exported_job=mine,exported_job=e,instance=h:1,job=node 6 @77",
            "__name__=b,instance=h:1,job=node 7 @0"
        ]
    );
    target.shape.honors_labels = true;
    assert_eq!(target.read("a{x=\"1\",job=\"mine\"} 5\n"), ["__name__=a,instance=h:1,job=mine,x=1 5 @10000"]);
    target.shape.honors_times = false;
    assert_eq!(target.read("a 5 77\n"), ["__name__=a,instance=h:1,job=node 5 @20000"]);
}

#[test]
fn what_only_grows_is_told_as_its_growth_where_that_is_wanted() {
    let page = |value: u32| format!("# TYPE a counter\na{{x=\"1\"}} {value}\na{{x=\"2\"}} 3\n# TYPE b gauge\nb {value}\n");
    let mut all = target(r#"{"*": {}}"#, &[], true);
    assert_eq!(all.read(&page(10)), ["__name__=b 10 @0"]);
    assert_eq!(all.read(&page(30)), ["x=1 2 @10000", "x=2 0 @10000", "__name__=b 30 @10000"]);
    assert_eq!(all.read(&page(5)), ["x=2 0 @20000", "__name__=b 5 @20000"]);
    let mut one = target(r#"{"a": {}, "b": {"rate": true}}"#, &[], false);
    assert_eq!(one.read(&page(10)), ["__name__=a,x=1 10 @0", "__name__=a,x=2 3 @0"]);
    assert_eq!(one.read(&page(30)), ["__name__=a,x=1 30 @10000", "__name__=a,x=2 3 @10000", " 2 @10000"]);
    let mut none = target(r#"{"a": {"rate": false}}"#, &[], true);
    assert_eq!(none.read(&page(10)), ["__name__=a,x=1 10 @0", "__name__=a,x=2 3 @0"]);
}

#[test]
fn series_are_summed_up_over_the_labels_that_are_not_named() {
    let page = "a{pod=\"p\",c=\"1\"} 1\na{pod=\"q\",c=\"1\"} 2 5000\na{pod=\"p\",c=\"2\"} 4\na{c=\"2\"} 8\nb 1\n";
    let own = [("job", "j"), ("zone", "z")];
    let mut by_pod = target(r#"{"a": {"sum-by": ["zone", "pod"]}}"#, &own, false);
    assert_eq!(by_pod.read(page), ["pod=p,zone=z 5 @0", "pod=q,zone=z 2 @5000", "zone=z 8 @0"]);
    let mut all = target(r#"{"a": {"sum-by": []}}"#, &own, false);
    assert_eq!(all.read(page), [" 15 @5000"]);
}

/// Whatever stands on the pages, there is never more to tell than rows, and nothing panics.
#[test]
fn no_page_makes_more_of_itself() {
    let mut state = 1_u64;
    let mut roll = |sides: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    let metrics = r#"{"a*": {"rate": true}, "ab": {"sum-by": ["x"]}, "abc": {"sum-by": ["job"], "rate": true}, "b": {"drop": {"x": [""]}}}"#;
    let mut target = target(metrics, &[("job", "j"), ("x", "own")], true);
    let names = ["a", "ab", "abc", "b", "c"];
    let values = ["1", "NaN", "+Inf", "-Inf", "0", "1e308", "-1e308", "5"];
    for _ in 0..2_000 {
        let lines = (0..roll(20)).map(|_| {
            let (name, value) = (names[usize::try_from(roll(5)).unwrap()], values[usize::try_from(roll(8)).unwrap()]);
            let (x, job, millis) = (roll(3), roll(2), [i64::MIN, -1, 0, 5, i64::MAX][usize::try_from(roll(5)).unwrap()]);
            format!("{name}{{x=\"{x}\",job=\"{job}\",exported_x=\"{x}\"}} {value} {millis}\n")
        });
        let page: Vec<String> = lines.collect();
        assert!(target.read(&page.concat()).len() <= page.len());
        assert!(target.growth.len() <= page.len());
    }
}

#[test]
fn rates_are_made_before_sums() {
    let mut target = target(r#"{"a": {"sum-by": [], "rate": true}}"#, &[], false);
    assert_eq!(target.read("a{x=\"1\"} 100\na{x=\"2\"} 5"), Vec::<String>::new());
    // The first grows, the second begins anew, the third is new: a sum without the second would be a part told as the whole.
    assert_eq!(target.read("a{x=\"1\"} 120\na{x=\"2\"} 1\na{x=\"3\"} 1000"), Vec::<String>::new());
    assert_eq!(target.read("a{x=\"1\"} 120\na{x=\"2\"} 11\na{x=\"3\"} 1010"), [" 2 @20000"]);
}

/// cAdvisor measures each container when it likes.
#[test]
fn a_sum_of_rates_is_never_told_without_a_part_of_it() {
    let mut target = target(r#"{"cpu": {"rate": true, "sum-by": ["pod"]}}"#, &[], false);
    // Both grow by one each second; `b` is measured on every other page.
    let page = |a: u64, b: u64| {
        let line = |id: &str, second: u64| format!("cpu{{pod=\"p\",id=\"{id}\"}} {second} {}\n", second * 1000);
        line("a", a) + &line("b", b)
    };
    assert_eq!(target.read(&page(10, 10)), Vec::<String>::new());
    assert_eq!(target.read(&page(20, 20)), ["pod=p 2 @20000"]);
    assert_eq!(target.read(&page(30, 20)), ["pod=p 2 @30000"]);
    assert_eq!(target.read(&page(40, 40)), ["pod=p 2 @40000"]);
    assert_eq!(target.read(&page(40, 40)), Vec::<String>::new(), "nothing has moved");
    assert_eq!(target.read(&page(50, 40)), ["pod=p 2 @50000"]);
    // One of them begins anew: how much it has grown is not known, and so the sum is not.
    let begun = "cpu{pod=\"p\",id=\"a\"} 1 60000\ncpu{pod=\"p\",id=\"b\"} 60 60000\n";
    assert_eq!(target.read(begun), Vec::<String>::new());
    let next = "cpu{pod=\"p\",id=\"a\"} 11 70000\ncpu{pod=\"p\",id=\"b\"} 70 70000\n";
    assert_eq!(target.read(next), ["pod=p 2 @70000"]);
}

#[test]
fn what_was_not_measured_anew_is_not_told_again() {
    let mut target = target(r#"{"a": {}, "b": {"sum-by": []}}"#, &[], false);
    let page = |a: u32, b: u32| format!("a{{x=\"1\"}} 7 {a}\na{{x=\"2\"}} 7\nb{{x=\"1\"}} 1 5\nb{{x=\"2\"}} 2 {b}\n");
    assert_eq!(target.read(&page(5, 5)), ["__name__=a,x=1 7 @5", "__name__=a,x=2 7 @0", " 3 @5"]);
    // What has no time of its own is measured when the page is read.
    assert_eq!(target.read(&page(5, 5)), ["__name__=a,x=2 7 @10000"]);
    // What has not moved still is a part of its sum.
    assert_eq!(target.read(&page(6, 6)), ["__name__=a,x=1 7 @6", "__name__=a,x=2 7 @20000", " 3 @6"]);
    target.shape.honors_times = false;
    assert_eq!(target.read(&page(6, 6)).len(), 3);
}

/// Else it would be forgotten while it is there.
#[test]
fn a_series_that_is_not_told_again_is_seen_still() {
    let Target { filter, shape, mut growth, begun, .. } = target("{}", &[], false);
    let mut rows = Rows::new(filter, 100);
    let mut page = Page::new(Format::Text, LIMITS);
    page.take(b"a 1 5\n", &mut rows).unwrap();
    page.end(true, &mut rows).unwrap();
    let mut read = || {
        let told = shape.tell(&rows, &rows.metrics()[0], &mut growth, Moment { read: begun, millis: 0 });
        growth.turn();
        told
    };
    let (first, second) = (read(), read());
    assert_eq!((first[0].sample, second[0].sample, &first[0].key), (Some((1.0, 5)), None, &second[0].key));
}

#[test]
fn a_sum_of_what_is_no_number_is_none_and_small_values_are_not_lost() {
    let mut target = target(r#"{"a": {"sum-by": []}}"#, &[], false);
    let mut sum = |values: &[&str]| {
        let page: Vec<String> = values.iter().enumerate().map(|(index, value)| format!("a{{x=\"{index}\"}} {value}\n")).collect();
        target.read(&page.concat())[0].split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(sum(&["1", "NaN", "2"]), "NaN");
    assert_eq!(sum(&["1", "+Inf", "2"]), "inf");
    assert_eq!(sum(&["+Inf", "-Inf"]), "NaN");
    assert_eq!(sum(&["1", "1e100", "1", "-1e100"]), "2");
}

#[test]
#[ignore = "measures: cargo test --release -p sluicebox-sources --lib -- --ignored --nocapture from_a_page_to_its_series"]
fn from_a_page_to_its_series_costs_so_much() {
    let line = |number: u64| {
        let id = format!("/kubepods.slice/kubepods-burstable.slice/cri-containerd-{number:064x}.scope");
        let labels =
            format!("container=\"worker\",id=\"{id}\",image=\"registry.example.com/team/worker:1.2.3\",name=\"{number:064x}\"");
        format!("a_total{{{labels},namespace=\"team-{}\",pod=\"worker-{number:05}\"}} {}.25\n", number % 10, number * 7919)
    };
    let page = "# TYPE a_total counter\n".to_owned() + &(0..4_000).map(line).collect::<Vec<_>>().concat();
    for (what, metrics, are_rates) in
        [("totals", "{}", false), ("rates", "{}", true), ("sums of rates", r#"{"*": {"sum-by": ["namespace"]}}"#, true)]
    {
        let Target { filter, shape, mut growth, .. } =
            target(metrics, &[("job", "cadvisor"), ("instance", "10.0.0.1:10250")], are_rates);
        let read = |_| {
            let begun = std::time::Instant::now();
            let (mut rows, mut text) = (Rows::new(Arc::clone(&filter), 10_000), Page::new(Format::Text, LIMITS));
            page.as_bytes().chunks(16 << 10).for_each(|chunk| text.take(chunk, &mut rows).unwrap());
            text.end(true, &mut rows).unwrap();
            let moment = Moment { read: Instant::now(), millis: 0 };
            std::hint::black_box(shape.tell(&rows, &rows.metrics()[0], &mut growth, moment));
            growth.turn();
            begun.elapsed().as_nanos() / 4_000
        };
        let mut times: Vec<u128> = (0..51).map(read).collect();
        times.sort_unstable();
        println!("{what}: {} ns a series", times[times.len() / 2]);
    }
}
