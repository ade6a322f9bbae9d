//! A document in Prometheus' text format, read and checked as a whole. Pure.
//!
//! Stricter than Prometheus itself: one bad line in a page costs the whole scrape, so nothing gets here that any reader stumbles over.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::family::{Bound, Key, Kind, Part, Piece, Reading, owners};
use super::sample::{self, Cursor, Label, Sample};
use crate::shown::{NAME, shown};

/// The longest line, in bytes.
const LONGEST_LINE: usize = 64 << 10;

/// What a line takes at the most besides names, labels and text: blanks, braces, numbers.
const AROUND: usize = 72;

/// What a document says.
#[derive(Clone, Debug, Default)]
pub(super) struct Document {
    /// One for each metric that has samples.
    pub(super) pieces: Vec<Piece>,
    pub(super) series: usize,
    /// What it takes on a page at the most.
    pub(super) bytes: usize,
}

/// What the document says, or what is wrong with it and in which line.
pub(super) fn parse(body: &[u8], most_series: usize) -> Result<Document, String> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let before = body.get(..error.valid_up_to()).unwrap_or_default();
        let line = before.split(|byte| *byte == b'\n').count();
        format!("line {line}: it is not UTF-8")
    })?;
    let mut draft = Draft { most_series, ..Draft::default() };
    for (index, line) in text.split('\n').enumerate() {
        draft.line(line, index + 1).map_err(|reason| format!("line {}: {reason}", index + 1))?;
    }
    draft.finish()
}

/// What has been read so far.
#[derive(Default)]
struct Draft<'a> {
    metrics: BTreeMap<&'a str, Metric<'a>>,
    series: usize,
    most_series: usize,
}

#[derive(Default)]
struct Metric<'a> {
    kind: Option<Kind>,
    help: Option<Cow<'a, str>>,
    samples: BTreeMap<Key, Line>,
}

/// A sample, and in which line it stands.
struct Line {
    number: usize,
    reading: Reading,
}

impl<'a> Draft<'a> {
    fn line(&mut self, line: &'a str, number: usize) -> Result<(), String> {
        if line.len() > LONGEST_LINE {
            return Err(format!("it has {} bytes, {LONGEST_LINE} at most are possible", line.len()));
        }
        if line.contains('\0') {
            return Err("it holds a zero byte".to_owned());
        }
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() {
            return Ok(());
        }
        match line.strip_prefix('#') {
            Some(comment) => self.comment(comment)?,
            None => self.sample(&sample::parse(line)?, number)?,
        }
        if self.series.max(self.metrics.len()) > self.most_series {
            return Err(format!("there are more series than `max-series`, which is {}", self.most_series));
        }
        Ok(())
    }

    fn comment(&mut self, comment: &'a str) -> Result<(), String> {
        let mut cursor = Cursor { rest: comment };
        cursor.blanks();
        match cursor.word() {
            "HELP" => self.help(cursor),
            "TYPE" => self.kind(cursor),
            _ => Ok(()),
        }
    }

    fn help(&mut self, mut cursor: Cursor<'a>) -> Result<(), String> {
        cursor.blanks();
        let name = cursor.metric_name()?;
        if !cursor.blanks() && !cursor.rest.is_empty() {
            return Err(format!("a blank is missing behind `{}`", shown(name, NAME)));
        }
        let help = sample::unescaped(cursor.rest, false).map_err(|reason| format!("in the help {reason}"))?;
        if self.metrics.entry(name).or_default().help.replace(help).is_some() {
            return Err(format!("a second HELP of `{}`", shown(name, NAME)));
        }
        Ok(())
    }

    fn kind(&mut self, mut cursor: Cursor<'a>) -> Result<(), String> {
        cursor.blanks();
        let name = cursor.metric_name()?;
        cursor.blanks();
        let word = cursor.word();
        cursor.blanks();
        let Some(kind) = Kind::parse(word).filter(|_| cursor.rest.is_empty()) else {
            let kinds = "counter, gauge, histogram, summary or untyped";
            return Err(format!("the type of `{}` is none of {kinds}", shown(name, NAME)));
        };
        let metric = self.metrics.entry(name).or_default();
        if !metric.samples.is_empty() {
            return Err(format!("the TYPE of `{}` stands after its first sample", shown(name, NAME)));
        }
        if metric.kind.replace(kind).is_some() {
            return Err(format!("a second TYPE of `{}`", shown(name, NAME)));
        }
        Ok(())
    }

    fn sample(&mut self, sample: &Sample<'a>, number: usize) -> Result<(), String> {
        let (name, key, bound) = self.place(sample)?;
        let reading = Reading { bound: bound.map(Into::into), value: sample.value, timestamp: sample.timestamp };
        let samples = &mut self.metrics.entry(name).or_default().samples;
        if let Some(before) = samples.insert(key, Line { number, reading }) {
            return Err(format!("this series of `{}` stands in line {} already", shown(name, NAME), before.number));
        }
        self.series += 1;
        Ok(())
    }

    /// Whose sample it is, and which.
    fn place<'s>(&self, sample: &'s Sample<'a>) -> Result<(&'a str, Key, Option<&'s str>), String> {
        for (owner, suffix) in owners(sample.name) {
            let owner: &'a str = sample.name.get(..owner.len()).unwrap_or_default();
            let kind = self.metrics.get(owner).and_then(|metric| metric.kind);
            if !kind.is_some_and(|kind| kind.suffixes().contains(&suffix)) {
                continue;
            }
            return match suffix {
                "_sum" => Ok((owner, Key { labels: inside(&sample.labels, None), part: Part::Sum }, None)),
                "_count" => Ok((owner, Key { labels: inside(&sample.labels, None), part: Part::Count }, None)),
                _ => bounded(owner, sample, "le", Part::Bucket),
            };
        }
        match self.metrics.get(sample.name).and_then(|metric| metric.kind) {
            Some(Kind::Histogram) => {
                Err(format!("`{}` is a histogram: it has `_bucket`, `_sum` and `_count` alone", shown(sample.name, NAME)))
            }
            Some(Kind::Summary) => bounded(sample.name, sample, "quantile", Part::Quantile),
            _ => Ok((sample.name, Key { labels: inside(&sample.labels, None), part: Part::Whole }, None)),
        }
    }

    fn finish(self) -> Result<Document, String> {
        for (name, metric) in &self.metrics {
            let Some(kind) = metric.kind else {
                continue;
            };
            for suffix in kind.suffixes() {
                if self.metrics.get(format!("{name}{suffix}").as_str()).is_some_and(|part| !part.samples.is_empty()) {
                    return Err(format!(
                        "`{0}{suffix}` is a part of the {kind} `{0}` and a metric of its own",
                        shown(name, NAME)
                    ));
                }
            }
            if kind == Kind::Histogram {
                whole(name, &metric.samples)?;
            }
        }
        let mut document = Document { series: self.series, ..Document::default() };
        for (name, metric) in self.metrics {
            // A metric without samples is none.
            if !metric.samples.is_empty() {
                document.add(name, metric);
            }
        }
        Ok(document)
    }
}

impl Document {
    fn add(&mut self, name: &str, metric: Metric<'_>) {
        let Metric { kind, help, samples } = metric;
        self.bytes += 2 * (name.len() + AROUND) + help.as_ref().map_or(0, |help| escaped_length(help));
        let series = samples.into_iter().map(|(key, line)| {
            let bound = line.reading.bound.as_ref().map_or(0, |bound| bound.len());
            self.bytes += name.len() + key.labels.len() + bound + AROUND;
            (Arc::new(key), line.reading)
        });
        let series = series.collect();
        self.pieces.push(Piece { metric: name.into(), kind, help: help.map(Into::into), series });
    }
}

/// A bucket or a quantile: one of its labels is its place in the order.
fn bounded<'a, 's>(
    metric: &'a str,
    sample: &'s Sample<'_>,
    label: &'static str,
    part: fn(Bound) -> Part,
) -> Result<(&'a str, Key, Option<&'s str>), String> {
    let Some(text) = sample.labels.iter().find(|other| other.name == label).map(|label| label.value.as_ref()) else {
        return Err(format!("the label `{label}` is missing, which `{}` has", shown(sample.name, NAME)));
    };
    let bound = sample::number(text).and_then(Bound::new);
    let bound = bound.ok_or_else(|| format!("`{label}` is `{}`, which is no number", shown(text, NAME)))?;
    Ok((metric, Key { labels: inside(&sample.labels, Some(label)), part: part(bound) }, Some(text)))
}

/// The labels but one, as they stand between braces.
fn inside(labels: &[Label<'_>], but: Option<&str>) -> Box<str> {
    let mut text = String::new();
    for label in labels.iter().filter(|label| but != Some(label.name)) {
        let before = if text.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{before}{}=\"", label.name);
        escape(&mut text, &label.value, true);
        text.push('"');
    }
    text.into()
}

/// The opposite of [`sample::unescaped`].
pub(super) fn escape(to: &mut String, text: &str, quoted: bool) {
    for character in text.chars() {
        match character {
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '"' if quoted => to.push_str("\\\""),
            _ => to.push(character),
        }
    }
}

fn escaped_length(help: &str) -> usize {
    help.len() + help.matches(['\\', '\n']).count()
}

/// Each histogram has a bucket for everything, which says the same as its count.
fn whole(name: &str, samples: &BTreeMap<Key, Line>) -> Result<(), String> {
    let samples: Vec<(&Key, &Line)> = samples.iter().collect();
    for parts in samples.chunk_by(|(one, _), (other, _)| one.labels == other.labels) {
        let all = parts.iter().rev().find(|(key, _)| matches!(key.part, Part::Bucket(bound) if bound.is_infinite()));
        let count = parts.iter().find(|(key, _)| key.part == Part::Count);
        let line = parts.first().map_or(0, |(_, line)| line.number);
        let name = shown(name, NAME);
        match (all, count) {
            (None, _) => return Err(format!("line {line}: the histogram `{name}` has no bucket with `le=\"+Inf\"`")),
            (_, None) => return Err(format!("line {line}: the histogram `{name}` has no `_count`")),
            (Some((_, all)), Some((_, count))) => {
                // Equal to the bit, or it is not the same number: neither is the result of a calculation here.
                if all.reading.value.total_cmp(&count.reading.value).is_ne() {
                    let line = count.number;
                    return Err(format!(
                        "line {line}: the `_count` of the histogram `{name}` is not its bucket with `le=\"+Inf\"`"
                    ));
                }
            }
        }
    }
    Ok(())
}
