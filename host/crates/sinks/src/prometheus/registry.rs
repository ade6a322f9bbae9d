//! What is held: the groups, and the metrics with the series of all of them. Pure.
//!
//! Whatever the order in which groups come and go, a page that is valid can be made of it at every moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sluicebox_contract::ByteSize;
use tokio::time::Instant;

use super::document::Document;
use super::family::{Key, Kind, Piece, Reading, owners};
use crate::shown::{NAME, shown};

/// What series belong to: a document's name, with its collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group {
    pub(super) collection: Option<String>,
    pub(super) name: String,
}

/// For a line of the log.
impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(collection) = &self.collection {
            write!(formatter, "{}/", shown(collection, NAME))?;
        }
        formatter.write_str(&shown(&self.name, NAME))
    }
}

impl Group {
    fn weight(&self) -> usize {
        self.name.len() + self.collection.as_ref().map_or(0, String::len)
    }
}

/// The groups and their series.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) metrics: BTreeMap<Arc<str>, Metric>,
    groups: HashMap<Arc<Group>, Held>,
    due: BTreeSet<(Instant, Arc<Group>)>,
    series: usize,
    bytes: usize,
    most_series: usize,
    most_bytes: u64,
}

/// A metric with the series of all groups.
#[derive(Debug, Default)]
pub(super) struct Metric {
    /// As the groups that say one agree upon.
    pub(super) kind: Option<Kind>,
    /// How many say one.
    kinds: usize,
    /// How many groups have series of it.
    groups: usize,
    pub(super) helps: BTreeMap<Arc<Group>, Arc<str>>,
    pub(super) series: BTreeMap<Arc<Key>, Series>,
}

/// A series, and whose it is.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) reading: Reading,
    group: Arc<Group>,
}

/// What a group has.
#[derive(Debug)]
struct Held {
    pieces: Vec<Share>,
    bytes: usize,
    times: Times,
}

/// What a group has of one metric.
#[derive(Debug)]
struct Share {
    metric: Arc<str>,
    kind: Option<Kind>,
    keys: Vec<Arc<Key>>,
}

/// When a group goes.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    expires: Option<Instant>,
    forgotten: Option<Instant>,
}

impl Times {
    fn due(self) -> Option<Instant> {
        self.expires.into_iter().chain(self.forgotten).min()
    }
}

impl Registry {
    pub(super) fn new(most_series: usize, most_bytes: u64) -> Self {
        Self {
            metrics: BTreeMap::new(),
            groups: HashMap::new(),
            due: BTreeSet::new(),
            series: 0,
            bytes: 0,
            most_series,
            most_bytes,
        }
    }

    /// How long a page becomes at the most.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The document in place of what the group had; says why not, and then nothing has changed.
    pub(super) fn put(&mut self, group: Group, document: Document, expires: Option<Instant>) -> Result<(), String> {
        let group = Arc::new(group);
        // Whatever stands in the way is another's then.
        let before = self.take(&group);
        let checked = self.check(&group, &document);
        match (&checked, before) {
            (Ok(()), _) => self.insert(&group, document, Times { expires, forgotten: None }),
            (Err(_), Some((before, times))) => self.insert(&group, before, times),
            (Err(_), None) => {}
        }
        checked
    }

    /// Nothing is to be held of the group, at once or later; the last word holds.
    pub(super) fn forget(&mut self, group: &Group, after: Duration, now: Instant) {
        if after.is_zero() {
            self.take(group);
            return;
        }
        let Some((group, held)) = self.groups.get_key_value(group) else {
            return;
        };
        // Longer than the clock can count is for ever.
        let times = Times { forgotten: now.checked_add(after), ..held.times };
        let group = Arc::clone(group);
        self.set_times(&group, times);
    }

    /// Says whether anything was due.
    pub(super) fn forget_due(&mut self, now: Instant) -> bool {
        let mut is_changed = false;
        while let Some((at, group)) = self.due.first().cloned()
            && at <= now
        {
            // Whatever else happens, this comes to an end.
            self.due.remove(&(at, Arc::clone(&group)));
            self.take(&group);
            is_changed = true;
        }
        is_changed
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    fn set_times(&mut self, group: &Arc<Group>, times: Times) {
        let Some(held) = self.groups.get_mut(group) else {
            return;
        };
        if let Some(at) = held.times.due() {
            self.due.remove(&(at, Arc::clone(group)));
        }
        held.times = times;
        self.due.extend(times.due().map(|at| (at, Arc::clone(group))));
    }

    fn check(&self, group: &Group, document: &Document) -> Result<(), String> {
        let series = self.series.saturating_add(document.series);
        if series > self.most_series {
            return Err(format!("there would be {series} series, `max-series` is {}", self.most_series));
        }
        let bytes = self.bytes.saturating_add(document.bytes).saturating_add(group.weight());
        if bytes as u64 > self.most_bytes {
            return Err(format!("the page could have {bytes} bytes, `max-bytes` is {}", ByteSize(self.most_bytes)));
        }
        document.pieces.iter().try_for_each(|piece| self.check_piece(piece))
    }

    fn check_piece(&self, piece: &Piece) -> Result<(), String> {
        let name = shown(&piece.metric, NAME);
        for suffix in piece.kind.map_or(&[][..], Kind::suffixes) {
            let part = format!("{}{suffix}", piece.metric);
            if let Some(owner) = self.metrics.get(part.as_str()).and_then(Metric::a_group) {
                return Err(format!("`{name}` would have `{name}{suffix}`, which is a metric of its own in group `{owner}`"));
            }
        }
        for (owner, suffix) in owners(&piece.metric) {
            if let Some(metric) = self.metrics.get(owner)
                && let Some(kind) = metric.kind.filter(|kind| kind.suffixes().contains(&suffix))
                && let Some(group) = metric.a_group()
            {
                return Err(format!("`{name}` is a part of the {kind} `{}` in group `{group}`", shown(owner, NAME)));
            }
        }
        let Some(metric) = self.metrics.get(&piece.metric) else {
            return Ok(());
        };
        let Some(first) = metric.a_group() else {
            return Ok(());
        };
        let in_parts = |kind: Option<Kind>| kind.filter(|kind| !kind.suffixes().is_empty());
        let word = |kind: Option<Kind>| kind.map_or("of no type".to_owned(), |kind| format!("a {kind}"));
        let both_say = piece.kind.is_some() && metric.kind.is_some();
        if (both_say && piece.kind != metric.kind) || in_parts(piece.kind) != in_parts(metric.kind) {
            let (here, there) = (word(piece.kind), word(metric.kind));
            return Err(format!("`{name}` is {here} here and {there} in other groups, such as `{first}`"));
        }
        for (key, _) in &piece.series {
            if let Some(series) = metric.series.get(key) {
                let (suffix, labels) = (key.part.suffix(), shown(&key.labels, NAME));
                return Err(format!("the series `{name}{suffix}{{{labels}}}` is in group `{}` already", series.group));
            }
        }
        Ok(())
    }

    fn insert(&mut self, group: &Arc<Group>, document: Document, times: Times) {
        // A group without series has nothing to be remembered.
        if document.pieces.is_empty() {
            return;
        }
        self.series += document.series;
        self.bytes += document.bytes + group.weight();
        let pieces = document.pieces.into_iter().map(|piece| {
            let name = self.metrics.get_key_value(&piece.metric).map_or(&piece.metric, |(name, _)| name);
            let name = Arc::clone(name);
            let metric = self.metrics.entry(Arc::clone(&name)).or_default();
            metric.insert(group, name, piece)
        });
        let held = Held { pieces: pieces.collect(), bytes: document.bytes, times: Times::default() };
        self.groups.insert(Arc::clone(group), held);
        self.set_times(group, times);
    }

    /// Takes the group out; what it had can be put back.
    fn take(&mut self, group: &Group) -> Option<(Document, Times)> {
        let (group, held) = self.groups.remove_entry(group)?;
        if let Some(at) = held.times.due() {
            self.due.remove(&(at, Arc::clone(&group)));
        }
        let mut document = Document { bytes: held.bytes, ..Document::default() };
        for share in held.pieces {
            let Some(metric) = self.metrics.get_mut(&share.metric) else {
                continue;
            };
            let piece = metric.take(&group, share);
            if metric.groups == 0 {
                self.metrics.remove(&piece.metric);
            }
            document.series += piece.series.len();
            document.pieces.push(piece);
        }
        self.series -= document.series;
        self.bytes -= held.bytes + group.weight();
        Some((document, held.times))
    }
}

impl Metric {
    /// One of those that have it.
    fn a_group(&self) -> Option<&Group> {
        self.series.values().next().map(|series| series.group.as_ref())
    }

    fn insert(&mut self, group: &Arc<Group>, name: Arc<str>, piece: Piece) -> Share {
        self.groups += 1;
        if piece.kind.is_some() {
            self.kind = piece.kind;
            self.kinds += 1;
        }
        if let Some(help) = piece.help {
            // Mostly all groups say the same, and then it is held once.
            let same = self.helps.values().next().filter(|known| **known == help).map(Arc::clone);
            self.helps.insert(Arc::clone(group), same.unwrap_or(help));
        }
        let keys = piece.series.iter().map(|(key, _)| Arc::clone(key)).collect();
        let series = piece.series.into_iter().map(|(key, reading)| (key, Series { reading, group: Arc::clone(group) }));
        self.series.extend(series);
        Share { metric: name, kind: piece.kind, keys }
    }

    fn take(&mut self, group: &Arc<Group>, share: Share) -> Piece {
        self.groups -= 1;
        if share.kind.is_some() {
            self.kinds -= 1;
        }
        if self.kinds == 0 {
            self.kind = None;
        }
        let help = self.helps.remove(group);
        let series = share.keys.into_iter().filter_map(|key| Some((Arc::clone(&key), self.series.remove(&key)?.reading)));
        Piece { series: series.collect(), metric: share.metric, kind: share.kind, help }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{document, page};
    use super::*;

    /// Pieces of documents that get into each other's way.
    const PIECES: [&str; 10] = [
        "a{g=\"1\"} 1\n",
        "# TYPE a gauge\na{g=\"2\"} 2\n",
        "# TYPE a counter\n# HELP a one\na{g=\"3\"} 3\na{g=\"4\"} 4\n",
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n",
        "# TYPE h histogram\n# HELP h two\\n\nh_bucket{g=\"1\",le=\"+Inf\"} 1\nh_count{g=\"1\"} 1\n",
        "h_sum{g=\"7\"} 1\n",
        "# TYPE h summary\nh{quantile=\"0.5\"} 1\n",
        "h 5\n",
        "b{g=\"1\"} 1\nb{g=\"2\"} 1 17\n",
        "# HELP b three\nb 1\n",
    ];

    /// The same numbers each time.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(self.0 >> 33).expect("31 bits") % end
        }
    }

    fn group(number: usize) -> Group {
        Group { collection: (number > 3).then(|| "c".to_owned()), name: number.to_string() }
    }

    #[test]
    fn whatever_comes_and_goes_the_page_is_valid_and_nothing_is_left_behind() {
        let mut numbers = Numbers(1);
        let now = Instant::now();
        let mut registry = Registry::new(8, 2_000);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let group = group(numbers.below(7));
            let before = page::render(&registry);
            match numbers.below(4) {
                0 => registry.forget(&group, Duration::from_secs(numbers.below(3) as u64), now),
                1 if numbers.below(20) == 0 => drop(registry.forget_due(now + Duration::from_secs(1))),
                _ => {
                    let text: String = (0..numbers.below(4)).map(|_| PIECES[numbers.below(PIECES.len())]).collect();
                    let put = document::parse(text.as_bytes(), 8).and_then(|document| registry.put(group, document, None));
                    taken += usize::from(put.is_ok());
                    if put.is_err() {
                        refused += 1;
                        assert_eq!(page::render(&registry), before);
                    }
                }
            }
            let text = page::render(&registry);
            let read = document::parse(text.as_bytes(), 8).unwrap_or_else(|reason| panic!("{reason}\n{text}"));
            assert!(read.series == registry.series && text.len() <= registry.bytes, "{text}");
        }
        assert!(taken > 1_000 && refused > 1_000, "{taken} {refused}");
        (0..7).for_each(|number| registry.forget(&group(number), Duration::ZERO, now));
        assert!(registry.metrics.is_empty() && registry.groups.is_empty() && registry.due.is_empty());
        assert_eq!((registry.series, registry.bytes), (0, 0));
    }
}
