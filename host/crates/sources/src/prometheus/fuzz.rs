//! Whatever a server answers to a query.

use serde_json::Value;
use sluicebox_contract::SubjectId;
use sluicebox_testkit::fuzz::Fuzz;

use super::answer::{Limits, labels, read, refusal};

const MATRIX: &str = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"__name__":"up","job":"a"},"values":[[1545288169,"2092"],[1556092594.158,"-0.5"]]},{"metric":{},"values":[[0,"1e+21"]]},{"metric":{"x":"y"},"values":[]}]}}"#;
const VECTOR: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"\u0041"},"value":[1.5,"NaN"]},{"metric":{"b":"c"},"value":[1,"+Inf"]}]},"warnings":["w"],"infos":["i"]}"#;
const HISTOGRAM: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"h":"1"},"histogram":[1435781430.781,{"count":"60","sum":"33897","buckets":[[0,"0.5","0.7","2"],[3,"-0.001","0.001","3"]]}]}]}}"#;
const SCALAR: &str = r#"{"status":"success","data":{"resultType":"scalar","result":[1435781451.781,"1"]}}"#;
const ERROR: &str = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}"#;

fn fuzz() -> Fuzz {
    Fuzz::of([MATRIX, VECTOR, HISTOGRAM, SCALAR, ERROR]).words([
        "\"metric\":{",
        "\"value\":[",
        "\"values\":[[",
        "\"result\":[",
        "\"status\":",
    ])
}

#[test]
fn answers_are_read_within_their_limits_or_refused_with_words() {
    fuzz().run(|input, dice| {
        let (most, room) = (dice.below(8), dice.below(4));
        let mut asked = 0;
        let answer = read(input, Limits { samples: most }, |json| {
            labels(json)?;
            asked += 1;
            (asked <= room).then(|| SubjectId(u32::try_from(asked).unwrap()))
        });
        match answer {
            Err(words) => assert!(!words.is_empty() && words.len() < 2000, "{words}"),
            Ok(answer) => {
                let found = &answer.found;
                let subjects: Vec<SubjectId> = found.samples.iter().map(|sample| sample.subject).collect();
                let histograms = found.histograms.iter().map(|histogram| histogram.subject);
                assert!(subjects.into_iter().chain(histograms).all(|subject| subject.0 as usize <= room));
                assert!(found.histograms.iter().all(|histogram| histogram.buckets.len() <= 4096));
                let all = found.samples.len() as u64 + found.histograms.len() as u64 + answer.beyond_limit + answer.unreadable;
                assert!(all <= input.len() as u64);
                assert!(answer.warnings.len() <= 8 && answer.warnings.iter().all(|words| words.len() < 2000));
                assert!(answer.error.is_none_or(|words| !words.is_empty() && words.len() < 2000));
            }
        }
        if let Some(words) = refusal(input) {
            assert!(words.len() < 2000, "{words}");
        }
    });
}

/// Subjects, times and bits of values; how many histograms; how many series were not told.
type Told = (Vec<(u32, i64, u64)>, usize, u64, u64);

/// White space between the parts of an answer means nothing.
#[test]
fn answers_are_the_same_however_they_are_laid_out() {
    let body = |text: &[u8]| -> Result<Told, String> {
        let mut next = 0;
        let answer = read(text, Limits { samples: 100 }, |json| {
            labels(json)?;
            next += 1;
            Some(SubjectId(next))
        })?;
        let found = answer.found;
        let samples = found.samples.iter().map(|sample| (sample.subject.0, sample.millis, sample.value.to_bits())).collect();
        Ok((samples, found.histograms.len(), answer.unreadable, answer.beyond_limit))
    };
    fuzz().run(|input, _| {
        let (Ok(as_it_is), Ok(value)) = (body(input), serde_json::from_slice::<Value>(input)) else { return };
        // Of two parts of one name the parser of all JSON keeps the last.
        if input.escape_ascii().to_string().matches("\\\":").count() != count(&value) {
            return;
        }
        assert_eq!(body(serde_json::to_string_pretty(&value).unwrap().as_bytes()).as_ref(), Ok(&as_it_is));
    });
}

fn count(value: &Value) -> usize {
    match value {
        Value::Object(parts) => parts.len() + parts.values().map(count).sum::<usize>(),
        Value::Array(list) => list.iter().map(count).sum(),
        _ => 0,
    }
}

#[test]
fn labels_are_few_short_and_each_there_once() {
    let samples = [r#"{"__name__":"up","job":"a","a":"A\n"}"#, "{}", r#"{ "x" : "" }"#];
    Fuzz::of(samples).longest(40 << 10).run(|input, _| {
        let Some(labels) = std::str::from_utf8(input).ok().and_then(labels) else { return };
        assert!(input.len() <= 16 << 10 && labels.len() <= 128);
        let names: std::collections::HashSet<&String> = labels.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), labels.len());
    });
}
