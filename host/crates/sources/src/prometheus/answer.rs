//! Answers of the query API: from JSON to series. Pure.
//!
//! Nothing is built that is not needed: samples go into one list, and labels are read once for each series that is new. The form is
//! described at <https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats>.

use sluicebox_contract::text::in_few_words;
use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use sluicebox_contract::{Bounds, NativeBucket, NativeHistogram, SeriesSample, SubjectId};

use crate::series::{Found, Labels};

/// More labels, or longer ones, are no series of ours.
const MOST_LABELS: usize = 128;
const LONGEST_LABELS: usize = 16 << 10;
/// Warnings of one answer, and bytes of each.
const MOST_WARNINGS: usize = 8;
/// A native histogram has at most some hundreds.
const MOST_BUCKETS: usize = 4096;

/// What an answer may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) samples: usize,
}

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) found: Found,
    pub(super) warnings: Vec<String>,
    /// The server's own words, when it says that it failed.
    pub(super) error: Option<String>,
    /// Series for which there was no subject.
    pub(super) beyond_limit: u64,
    /// Series that could not be read, or whose labels could not, or were too many or too long.
    pub(super) unreadable: u64,
}

/// Reads an answer. `subject` says which series labels are, given the JSON that they stand in, and `None` where there is no room.
pub(super) fn read(body: &[u8], limits: Limits, mut subject: impl FnMut(&str) -> Option<SubjectId>) -> Result<Answer, String> {
    #[derive(Deserialize)]
    struct Outer<'body> {
        #[serde(borrow, default)]
        status: Option<Cow<'body, str>>,
        #[serde(borrow, default)]
        data: Option<&'body RawValue>,
        #[serde(borrow, default)]
        error: Option<Cow<'body, str>>,
        #[serde(rename = "errorType", borrow, default)]
        error_type: Option<Cow<'body, str>>,
        #[serde(default)]
        warnings: Option<Vec<String>>,
        #[serde(default)]
        infos: Option<Vec<String>>,
    }
    let outer: Outer<'_> = serde_json::from_slice(body).map_err(in_few_words)?;
    let mut answer = Answer::default();
    let warnings = outer.warnings.into_iter().flatten().chain(outer.infos.into_iter().flatten());
    answer.warnings = warnings.take(MOST_WARNINGS).map(|warning| crate::http::excerpt(&warning)).collect();
    match outer.status.as_deref() {
        Some("success") => {}
        Some("error") => answer.error = Some(words(outer.error_type.as_deref(), outer.error.as_deref())),
        _ => return Err("it is JSON, but has no `status` as answers of the query API have".to_owned()),
    }
    match outer.data.map(RawValue::get) {
        Some(data) if data != "null" => {
            let mut reader = serde_json::Deserializer::from_str(data);
            Data { answer: &mut answer, limits, subject: &mut subject }.deserialize(&mut reader).map_err(in_few_words)?;
        }
        _ if answer.error.is_some() => {}
        _ => return Err("it has no `data`".to_owned()),
    }
    Ok(answer)
}

/// The words of an answer that is no success.
pub(super) fn refusal(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
        #[serde(rename = "errorType", default)]
        error_type: Option<String>,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    Some(words(refusal.error_type.as_deref(), Some(&refusal.error)))
}

fn words(kind: Option<&str>, error: Option<&str>) -> String {
    let [kind, error] = [kind, error].map(|text| text.filter(|text| !text.trim().is_empty()));
    let text = match (kind, error) {
        (Some(kind), Some(error)) => format!("{kind}: {error}"),
        (Some(text), None) | (None, Some(text)) => text.to_owned(),
        (None, None) => "it does not say why".to_owned(),
    };
    crate::http::excerpt(&text)
}

/// The labels in their JSON; none where they are no labels, or too much.
pub(super) fn labels(json: &str) -> Option<Labels> {
    struct Pairs;
    impl<'de> Visitor<'de> for Pairs {
        type Value = Labels;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("labels")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
            let mut labels = Labels::new();
            while let Some((name, value)) = map.next_entry::<String, String>()? {
                if labels.iter().any(|(known, _)| *known == name) {
                    continue;
                }
                if labels.len() >= MOST_LABELS {
                    return Err(A::Error::custom("too many labels"));
                }
                labels.push((name, value));
            }
            Ok(labels)
        }
    }
    if json.len() > LONGEST_LABELS {
        return None;
    }
    serde_json::Deserializer::from_str(json).deserialize_map(Pairs).ok()
}

/// `data`: the kind of result, then the result.
struct Data<'answer, S> {
    answer: &'answer mut Answer,
    limits: Limits,
    subject: &'answer mut S,
}

impl<'de, S: FnMut(&str) -> Option<SubjectId>> DeserializeSeed<'de> for Data<'_, S> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, S: FnMut(&str) -> Option<SubjectId>> Visitor<'de> for Data<'_, S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with `resultType` and `result`")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut kind: Option<String> = None;
        let mut result: Option<&RawValue> = None;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match key.as_ref() {
                "resultType" => kind = Some(map.next_value()?),
                "result" => result = Some(map.next_value()?),
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let (Some(kind), Some(result)) = (kind, result) else {
            return Err(A::Error::custom("`data` has no `resultType` or no `result`"));
        };
        let mut reader = serde_json::Deserializer::from_str(result.get());
        match kind.as_str() {
            "matrix" | "vector" => self.series(&mut reader).map_err(A::Error::custom),
            "scalar" => {
                let point = Point::deserialize(&mut reader).map_err(A::Error::custom)?;
                if let Some(subject) = (self.subject)("{}") {
                    self.answer.found.samples.push(SeriesSample { subject, millis: point.millis, value: point.value });
                }
                Ok(())
            }
            "string" => Err(A::Error::custom(
                "the query makes a text, such as `\"up\"` in quotes does: ask for series or a number, such as `up`",
            )),
            other => Err(A::Error::custom(format_args!("`{other}` is no kind of result that is known"))),
        }
    }
}

impl<S: FnMut(&str) -> Option<SubjectId>> Data<'_, S> {
    fn series<'de, D: Deserializer<'de>>(&mut self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(List(self))
    }
}

/// The list of series.
struct List<'data, 'answer, S>(&'data mut Data<'answer, S>);

impl<'de, S: FnMut(&str) -> Option<SubjectId>> Visitor<'de> for List<'_, '_, S> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Data { answer, limits, subject } = self.0;
        while let Some(series) = list.next_element::<&RawValue>()? {
            // One series that cannot be read does not spoil the others.
            match serde_json::from_str::<Series<'_>>(series.get()) {
                Ok(series) => take(&series, answer, subject),
                Err(_) => answer.unreadable += 1,
            }
            let Found { samples, histograms } = &answer.found;
            let buckets: usize = histograms.last().map_or(0, |last| last.buckets.len());
            if samples.len() + histograms.len() + buckets > limits.samples {
                return Err(A::Error::custom(format_args!("it has more than {} samples (`max-samples`)", limits.samples)));
            }
        }
        Ok(())
    }
}

fn take(series: &Series<'_>, answer: &mut Answer, subject: &mut impl FnMut(&str) -> Option<SubjectId>) {
    let points = series.value.iter().chain(series.values.iter().flatten());
    let histograms = series.histogram.iter().chain(series.histograms.iter().flatten());
    if points.clone().next().is_none() && histograms.clone().next().is_none() {
        return;
    }
    let json = series.metric.map_or("{}", RawValue::get);
    let Some(subject) = subject(json) else {
        // Whether there was room is only asked of labels that can be read.
        let left_out = if labels(json).is_some() { &mut answer.beyond_limit } else { &mut answer.unreadable };
        *left_out += 1;
        return;
    };
    answer.found.samples.extend(points.map(|point| SeriesSample { subject, millis: point.millis, value: point.value }));
    answer.found.histograms.extend(histograms.map(|(at, histogram)| histogram.contract(subject, at.0)));
}

#[derive(Deserialize)]
struct Series<'body> {
    #[serde(borrow, default)]
    metric: Option<&'body RawValue>,
    value: Option<Point>,
    values: Option<Vec<Point>>,
    histogram: Option<(At, Histogram)>,
    histograms: Option<Vec<(At, Histogram)>>,
}

#[derive(Deserialize)]
struct Histogram {
    count: Value,
    sum: Value,
    #[serde(default)]
    buckets: Vec<(u8, Value, Value, Value)>,
}

impl Histogram {
    fn contract(&self, subject: SubjectId, millis: i64) -> NativeHistogram {
        let bucket = |(bounds, lower, upper, count): &(u8, Value, Value, Value)| NativeBucket {
            bounds: match bounds {
                0 => Bounds::OpenLeft,
                1 => Bounds::OpenRight,
                2 => Bounds::OpenBoth,
                _ => Bounds::ClosedBoth,
            },
            lower: lower.0,
            upper: upper.0,
            count: count.0,
        };
        let buckets = self.buckets.iter().take(MOST_BUCKETS).map(bucket).collect();
        NativeHistogram { subject, millis, count: self.count.0, sum: self.sum.0, buckets }
    }
}

/// A time and a value.
struct Point {
    millis: i64,
    value: f64,
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (at, value) = <(At, Value)>::deserialize(deserializer)?;
        Ok(Self { millis: at.0, value: value.0 })
    }
}

/// Seconds since 1970 UTC, which Prometheus has to the millisecond.
struct At(i64);

impl<'de> Deserialize<'de> for At {
    #[allow(clippy::cast_possible_truncation, reason = "out of range it saturates, and is refused below")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        let millis = (seconds * 1e3).round();
        if millis.abs() > 9e15 { Err(D::Error::custom("a time that is out of range")) } else { Ok(Self(millis as i64)) }
    }
}

/// A number as a text, since JSON has none for NaN and the infinities.
struct Value(f64);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Value;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number as a text")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                text.parse().map(Value).map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
                Ok(Value(value))
            }

            #[allow(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                Ok(Value(value as f64))
            }

            #[allow(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                Ok(Value(value as f64))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
