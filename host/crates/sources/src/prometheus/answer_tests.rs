use std::collections::BTreeMap;

use super::*;

/// Reads; labels become numbers in the order in which they come.
fn read_with(body: &str, samples: usize) -> (Result<Answer, String>, Vec<String>) {
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    let mut order = Vec::new();
    let answer = read(body.as_bytes(), Limits { samples }, |json| {
        labels(json)?;
        let next = u32::try_from(known.len()).unwrap() + 1;
        let id = *known.entry(json.to_owned()).or_insert_with(|| {
            order.push(json.to_owned());
            next
        });
        Some(SubjectId(id))
    });
    (answer, order)
}

fn answer(body: &str) -> Answer {
    read_with(body, 100).0.expect("it can be read")
}

#[track_caller]
fn refused(body: &str, expected: &str) {
    let error = read_with(body, 100).0.expect_err("it cannot be read");
    assert!(error.contains(expected), "{error}");
}

fn result(kind: &str, result: &str) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"{kind}","result":{result}}}}}"#)
}

fn samples(answer: &Answer) -> Vec<(u32, i64, f64)> {
    answer.found.samples.iter().map(|sample| (sample.subject.0, sample.millis, sample.value)).collect()
}

#[test]
fn a_matrix_has_several_moments_of_each_series() {
    let body = result(
        "matrix",
        r#"[{"metric":{"pod":"a"},"values":[[1545288169,"2092"],[1556092594.158,"-0.5"]]},{"metric":{},"values":[[0,"1e+21"]]},{"metric":{"x":"y"},"values":[]}]"#,
    );
    let (answer, order) = read_with(&body, 100);
    assert_eq!(samples(&answer.unwrap()), [(1, 1_545_288_169_000, 2092.0), (1, 1_556_092_594_158, -0.5), (2, 0, 1e21)]);
    assert_eq!(order, [r#"{"pod":"a"}"#, "{}"]);
}

#[test]
fn a_vector_has_one_moment_and_a_scalar_one_value() {
    assert_eq!(samples(&answer(&result("vector", r#"[{"metric":{"a":"b"},"value":[1.5,"7"]}]"#))), [(1, 1500, 7.0)]);
    assert_eq!(samples(&answer(&result("scalar", r#"[1.5,"7"]"#))), [(1, 1500, 7.0)]);
}

#[test]
fn what_is_no_number_is_told_as_what_it_is() {
    let answer = answer(&result(
        "vector",
        r#"[{"metric":{},"value":[1,"NaN"]},{"metric":{},"value":[1,"+Inf"]},{"metric":{},"value":[1,"-Inf"]}]"#,
    ));
    let values: Vec<f64> = answer.found.samples.iter().map(|sample| sample.value).collect();
    assert!(values[0].is_nan());
    assert_eq!(values[1..], [f64::INFINITY, f64::NEG_INFINITY]);
}

#[test]
fn native_histograms_have_counts_sums_and_buckets() {
    let histogram = r#"{"count":"3","sum":"NaN","buckets":[[1,"-0.5","0","1"],[3,"-0.001","0.001","2"]]}"#;
    let body = result(
        "matrix",
        &format!(
            r#"[{{"metric":{{"h":"1"}},"histograms":[[2,{histogram}]]}},{{"metric":{{"h":"2"}},"histogram":[3,{histogram}]}}]"#
        ),
    );
    let found = answer(&body).found;
    assert!(found.samples.is_empty());
    let [first, second] = found.histograms.as_slice() else { panic!("{found:?}") };
    assert_eq!((first.subject.0, first.millis, second.subject.0, second.millis), (1, 2000, 2, 3000));
    assert!(first.sum.is_nan());
    let bounds: Vec<_> = first.buckets.iter().map(|bucket| (bucket.bounds, bucket.lower, bucket.upper, bucket.count)).collect();
    assert_eq!(bounds, [(Bounds::OpenRight, -0.5, 0.0, 1.0), (Bounds::ClosedBoth, -0.001, 0.001, 2.0)]);
}

#[test]
fn warnings_and_infos_are_passed_on_bounded() {
    let long = "x".repeat(5000);
    let body = format!(
        r#"{{"status":"success","warnings":["a store\nis away","{long}"],"infos":["i","i","i","i","i","i","i","i"],"data":{{"resultType":"vector","result":[]}}}}"#
    );
    let warnings = answer(&body).warnings;
    assert_eq!((warnings[0].as_str(), warnings.len()), ("a store is away", 8));
    assert!(warnings[1].chars().count() <= 301);
}

#[test]
fn a_partial_answer_keeps_its_part_and_says_why() {
    let body = r#"{"status":"error","errorType":"timeout","error":"query timed out","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2"]}]}}"#;
    let answer = answer(body);
    assert_eq!((answer.error.as_deref(), answer.found.samples.len()), (Some("timeout: query timed out"), 1));
    assert!(super::read(br#"{"status":"error","error":"x"}"#, Limits { samples: 1 }, |_| None).unwrap().error.is_some());
    assert_eq!(
        refusal(br#"{"status":"error","errorType":"bad_data","error":"parse\n error"}"#).as_deref(),
        Some("bad_data: parse error")
    );
    assert_eq!(refusal(b"<html>"), None);
}

#[test]
fn one_series_that_cannot_be_read_does_not_spoil_the_others() {
    let body = result(
        "vector",
        r#"[{"metric":{"a":"1"},"value":[1,"x"]},{"metric":7,"value":[1,"1"]},null,{"metric":{"b":1},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1e300,"1"]},{"metric":{"a":"3"},"value":[1,"4"]}]"#,
    );
    let answer = answer(&body);
    assert_eq!(samples(&answer), [(1, 1000, 4.0)]);
    assert_eq!((answer.unreadable, answer.beyond_limit), (5, 0));
}

#[test]
fn only_series_whose_labels_can_be_read_are_beyond_a_limit() {
    let body = result("vector", r#"[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":1},"value":[1,"1"]}]"#);
    let answer = super::read(body.as_bytes(), Limits { samples: 9 }, |_| None).unwrap();
    assert_eq!((answer.unreadable, answer.beyond_limit), (1, 1));
}

#[test]
fn what_is_no_answer_is_refused() {
    refused("", "EOF");
    refused("<html>", "expected value");
    refused("[]", "no `status`");
    refused("{}", "no `status`");
    refused(r#"{"status":"success"}"#, "no `data`");
    refused(r#"{"status":"success","data":[]}"#, "`resultType` and `result`");
    refused(r#"{"status":"success","data":{"result":[]}}"#, "no `resultType`");
    refused(&result("vector", "{}"), "a list of series");
    refused(&result("string", r#"[1,"x"]"#), "makes a text");
    refused(&result("string", r#"[1,"x"]"#), "ask for series or a number");
    refused(&result("streams", "[]"), "no kind of result");
    refused(&"[".repeat(100_000), "invalid type: sequence");
    refused(&result("vector", &"[".repeat(100_000)), "");
    refused(&result("vector", r#"[{"metric":{},"value":[1,"1"]}"#).replace(']', ""), "");
}

#[test]
fn more_samples_than_may_be_are_refused() {
    let body = result("matrix", r#"[{"metric":{},"values":[[1,"1"],[2,"1"],[3,"1"]]}]"#);
    assert!(read_with(&body, 3).0.is_ok());
    assert_eq!(read_with(&body, 2).0.unwrap_err().split(" at ").next(), Some("it has more than 2 samples (`max-samples`)"));
}

#[test]
fn labels_are_bounded_and_each_name_comes_once() {
    let pairs = |json: &str| {
        labels(json).map(|labels| labels.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
    };
    assert_eq!(pairs(r#"{"a":"1","b":"\u00e9","a":"2"}"#), Some(vec!["a=1".to_owned(), "b=é".to_owned()]));
    assert_eq!(pairs(&format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST_LABELS))), None);
    let many: Vec<String> = (0..=MOST_LABELS).map(|number| format!(r#""l{number}":"x""#)).collect();
    assert_eq!(pairs(&format!("{{{}}}", many.join(","))), None);
    assert_eq!(pairs("[]"), None);
}

#[test]
fn a_failure_without_words_is_told_in_some() {
    for body in [r#"{"status":"error"}"#, r#"{"status":"error","errorType":"","error":" "}"#] {
        assert_eq!(answer(body).error.as_deref(), Some("it does not say why"), "{body}");
    }
    assert_eq!(refusal(br#"{"error":""}"#).as_deref(), Some("it does not say why"));
}
