//! From what a page tells to the series that are told: growth in place of totals, sums, the target's own labels. Pure.
//!
//! A sample is told once: where the page gives it the time that it had on the page before, it was not measured anew, and whoever takes what is
//! told would have it twice; Prometheus drops it as a duplicate.

use std::borrow::Cow;
use std::collections::HashMap;

use tokio::time::Instant;

use super::filter::Wanted;
use super::growth::{Growth, Rate, Total};
use super::rows::{Metric, Row, Rows};

/// A series at the time of a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// Stands for its labels; [`labels`] reads it.
    pub(super) key: String,
    /// None where there is nothing new to tell: the series only is still there.
    pub(super) sample: Option<(f64, i64)>,
}

/// How the pages of a target are told.
#[derive(Debug)]
pub(super) struct Shape {
    own: Vec<(String, String)>,
    /// Whether the page's labels stay where it has labels of the same names.
    honors_labels: bool,
    honors_times: bool,
    /// Whether what only ever grows is told as its growth, unless its metric says otherwise.
    are_rates: bool,
}

/// When a page was read, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) read: Instant,
    pub(super) millis: i64,
}

type Pair<'text> = (Cow<'text, str>, &'text str);

impl Shape {
    /// `own` are added to the labels of each series; those without a value are not.
    pub(super) fn new(mut own: Vec<(String, String)>, honors_labels: bool, honors_times: bool, are_rates: bool) -> Self {
        own.retain(|(_, value)| !value.is_empty());
        own.sort_unstable();
        Self { own, honors_labels, honors_times, are_rates }
    }

    /// The series of a metric.
    pub(super) fn tell(&self, rows: &Rows, metric: &Metric, growth: &mut Growth, moment: Moment) -> Vec<Told> {
        let Wanted { sum_by, rate, .. } = &*metric.wanted;
        let is_rate = rate.unwrap_or(self.are_rates && metric.is_cumulative);
        let name = (!is_rate && sum_by.is_none()).then_some(&*metric.name);
        let mut key = String::new();
        let values = metric.rows.iter().map(|row| {
            let mut row = *row;
            row.millis = row.millis.filter(|_| self.honors_times);
            if !is_rate && row.millis.is_none() {
                return (row, Rate::Grown(row.value));
            }
            key.clear();
            key.extend([&*metric.name, "\0", rows.key(row)]);
            let total = Total { value: row.value, read: moment.read, millis: row.millis };
            match growth.rate(&key, total) {
                rate if is_rate => (row, rate),
                Rate::Still(_) => (row, Rate::Still(Some(row.value))),
                _ => (row, Rate::Grown(row.value)),
            }
        });
        match sum_by {
            Some(by) => self.sums(rows, values, by, moment),
            None => values
                .map(|(row, rate)| {
                    let key = key_of(name, &self.labels(rows.key(row)));
                    let millis = row.millis.unwrap_or(moment.millis);
                    Told { key, sample: if let Rate::Grown(value) = rate { Some((value, millis)) } else { None } }
                })
                .collect(),
        }
    }

    /// Whether the target could be read, as Prometheus tells it.
    pub(super) fn up(&self, is_up: bool, moment: Moment) -> Told {
        Told { key: key_of(Some("up"), &self.labels("")), sample: Some((f64::from(u8::from(is_up)), moment.millis)) }
    }

    /// Sums over the labels that are not named. What was not measured anew goes in as it was: cAdvisor measures each container when it likes,
    /// and a part is never told as the whole. So a sum is told when a part of it has moved, and not while a part of it cannot be known.
    fn sums(&self, rows: &Rows, values: impl Iterator<Item = (Row, Rate)>, by: &[String], moment: Moment) -> Vec<Told> {
        let (mut sums, mut places) = (Vec::<(String, Sum)>::new(), HashMap::<String, usize>::new());
        for (row, rate) in values {
            let mut labels = self.labels(rows.key(row));
            labels.retain(|(name, _)| by.iter().any(|label| label == name));
            let key = key_of(None, &labels);
            let place = *places.entry(key).or_insert_with_key(|key| {
                sums.push((key.clone(), Sum::default()));
                sums.len() - 1
            });
            if let Some((_, sum)) = sums.get_mut(place) {
                match rate {
                    Rate::Grown(value) => {
                        sum.add(value);
                        sum.millis = sum.millis.max(Some(row.millis.unwrap_or(moment.millis)));
                    }
                    Rate::Still(Some(value)) => sum.add(value),
                    // As with PromQL, what was seen once has no rate.
                    Rate::Still(None) | Rate::New => {}
                    Rate::Lost => sum.is_lost = true,
                }
            }
        }
        let told = |(key, sum): (String, Sum)| {
            let millis = sum.millis.filter(|_| !sum.is_lost);
            Told { key, sample: millis.map(|millis| (sum.value + sum.rest, millis)) }
        };
        sums.into_iter().map(told).collect()
    }

    /// The labels of the page, by rising names, with the target's own.
    fn labels<'text>(&'text self, page: &'text str) -> Vec<Pair<'text>> {
        let of_page: Vec<(&str, &str)> = pairs(page).collect();
        let is_of_page = |name: &str| of_page.iter().any(|(label, _)| *label == name);
        let is_own = |name: &str| self.own.iter().any(|(own, _)| own == name);
        let mut labels: Vec<Pair<'_>> = Vec::with_capacity(of_page.len() + self.own.len());
        for (name, value) in &of_page {
            let mut name = Cow::Borrowed(*name);
            if !self.honors_labels && is_own(&name) {
                // As Prometheus calls what stands in the way of its own labels.
                while is_own(&name) || is_of_page(&name) {
                    name = format!("exported_{name}").into();
                }
            }
            labels.push((name, value));
        }
        let own = self.own.iter().filter(|(name, _)| !self.honors_labels || !is_of_page(name));
        labels.extend(own.map(|(name, value)| (name.into(), value.as_str())));
        labels.sort_unstable();
        labels
    }
}

/// A sum that does not lose what is small beside what is large (Neumaier), as that of PromQL does not.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    value: f64,
    rest: f64,
    /// The latest time of a part that has moved; none where none has.
    millis: Option<i64>,
    /// A part of it cannot be known.
    is_lost: bool,
}

impl Sum {
    fn add(&mut self, more: f64) {
        let value = self.value + more;
        if value.is_infinite() {
            self.rest = 0.0;
        } else if self.value.abs() >= more.abs() {
            self.rest += (self.value - value) + more;
        } else {
            self.rest += (more - value) + self.value;
        }
        self.value = value;
    }
}

/// What stands for labels: each name and each value with a zero byte behind it. Texts of a page have none.
fn key_of(name: Option<&str>, labels: &[Pair<'_>]) -> String {
    let mut key = String::new();
    if let Some(name) = name {
        key.extend(["__name__\0", name, "\0"]);
    }
    for (name, value) in labels {
        key.extend([name, "\0", value, "\0"]);
    }
    key
}

/// The labels for which this stands.
pub(super) fn labels(key: &str) -> Vec<(String, String)> {
    pairs(key).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn pairs(key: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = key.split_terminator('\0');
    std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
}

#[cfg(test)]
#[path = "shape_tests.rs"]
mod tests;
