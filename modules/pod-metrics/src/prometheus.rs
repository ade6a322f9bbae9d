//! A document in Prometheus' text format for each pod or container: its series, under its key as the name.

use std::collections::{BTreeMap, BTreeSet};

use sluicebox_sdk::{Document, Entries, Entry, Forget, SubjectId, Tick};

use crate::catalogue::Row;
use crate::columns::Columns;
use crate::help::help;
use crate::identity::{Identity, KIND};
use crate::settings::Settings;
use crate::{Known, parts};

/// The labels that every series has besides its attributes, in the order of the alphabet.
pub(crate) const LABELS: [&str; 4] = ["resource_consumer_id", "resource_consumer_kind", "resource_id", "resource_kind"];

/// What stands behind the names that Alumet tells.
const SUFFIX: &str = "_alumet";

/// Writes a document for each subject.
pub(crate) struct Prometheus {
    families: Vec<Family>,
    /// The names of documents whose subjects have gone since the tick before.
    gone: BTreeSet<String>,
    /// How many bytes the largest document was.
    room: usize,
}

/// What is the same for all series of a row.
struct Family {
    name: String,
    /// The lines on top of its series.
    top: String,
    /// The label `kind`, with a comma.
    label: String,
}

impl Prometheus {
    /// Rows of one name stand together.
    pub(crate) fn new(settings: &Settings, rows: &[&'static Row]) -> Self {
        let prefix = settings.prefix.as_deref().unwrap_or_default();
        let suffix = settings.suffix.as_deref().unwrap_or(SUFFIX);
        let families = rows.iter().map(|row| Family::new(row, prefix, suffix)).collect();
        Self { families, gone: BTreeSet::new(), room: 0 }
    }

    pub(crate) fn known(identity: &Identity<'_>) -> Known {
        let mut labels: Vec<(String, &str)> = identity.attributes.iter().map(|(name, value)| (clean(name), *value)).collect();
        labels.extend(
            LABELS.into_iter().zip([identity.path, "cgroup", "", "local_machine"]).map(|(name, value)| (name.to_owned(), value)),
        );
        labels.sort_unstable();
        let (mut before, mut after) = (String::new(), String::new());
        for (name, value) in &labels {
            if name.as_str() < KIND {
                label(&mut before, name, value);
                before.push(',');
            } else {
                after.push_str(if after.is_empty() { "" } else { "," });
                label(&mut after, name, value);
            }
        }
        Known { key: identity.key.to_owned(), before, after }
    }

    pub(crate) fn forget(&mut self, known: Known) {
        self.gone.insert(known.key);
    }

    pub(crate) fn write(&mut self, tick: &Tick, columns: &Columns, subjects: &BTreeMap<SubjectId, Option<Known>>) -> Entries {
        let mut entries = self.forgets(subjects);
        for (known, samples) in parts(tick, subjects) {
            let mut body = String::with_capacity(self.room);
            let mut before = "";
            for (row, value) in columns.points(samples, tick.online_cpus) {
                let Some(family) = self.families.get(row) else { continue };
                if family.name != before {
                    body.push_str(&family.top);
                    before = &family.name;
                }
                for part in [&family.name, "{", &known.before, &family.label, &known.after, "} "] {
                    body.push_str(part);
                }
                value.plain(&mut body);
                body.push('\n');
            }
            self.room = self.room.max(body.len());
            // Nothing to tell leaves what was told.
            if !body.is_empty() {
                entries.push(Document::new(&known.key, body).into());
            }
        }
        entries.into()
    }

    /// Before the documents of the tick, and not for what has come back under its name.
    fn forgets(&mut self, subjects: &BTreeMap<SubjectId, Option<Known>>) -> Vec<Entry> {
        let mut gone = std::mem::take(&mut self.gone);
        if !gone.is_empty() {
            for known in subjects.values().flatten() {
                gone.remove(&known.key);
            }
        }
        gone.into_iter().map(|name| Forget::new(name).into()).collect()
    }
}

impl Family {
    fn new(row: &Row, prefix: &str, suffix: &str) -> Self {
        let (name, ending, kind) = match &row.series {
            Some(series) => (series.name, Some(series.ending).filter(|ending| !ending.is_empty()), series.kind),
            None => (row.name, row.unit.ending(), "gauge"),
        };
        let ending = ending.map(|ending| format!("_{ending}")).unwrap_or_default();
        let name = clean(&format!("{prefix}{name}{suffix}{ending}"));
        let label = row.kind.map(|kind| format!("{KIND}=\"{kind}\",")).unwrap_or_default();
        let top = format!("# HELP {name} {}\n# TYPE {name} {kind}\n", help(row.name));
        Self { name, top, label }
    }
}

/// A name as Prometheus can have it: everything but letters and digits becomes `_`, and so does a digit at the beginning.
pub(crate) fn clean(name: &str) -> String {
    let fits = |(index, character): (usize, char)| {
        let fits = if index == 0 { character.is_ascii_alphabetic() } else { character.is_ascii_alphanumeric() };
        if fits { character } else { '_' }
    };
    name.chars().enumerate().map(fits).collect()
}

fn label(out: &mut String, name: &str, value: &str) {
    out.push_str(name);
    out.push_str("=\"");
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::CATALOGUE;

    #[test]
    fn a_name_is_cleaned_as_alumet_cleans_it() {
        for (name, expected) in [("123avc", "_23avc"), ("cpu_percent_%", "cpu_percent__"), ("a.b-c", "a_b_c"), ("é", "_")] {
            assert_eq!(clean(name), expected);
        }
    }

    #[track_caller]
    fn family(name: &str, expected: &str) {
        let row = CATALOGUE.iter().find(|row| row.name == name).unwrap();
        assert_eq!(Family::new(row, "", SUFFIX).name, expected);
    }

    #[test]
    fn the_names_are_those_of_alumet() {
        family("cpu_time_delta", "cpu_time_delta_alumet_nanoseconds");
        family("cpu_percent", "cpu_percent_alumet_ratio");
        family("memory_usage", "memory_usage_alumet_bytes");
        family("io_pressure_some_total", "io_pressure_some_total_alumet_microseconds");
        family("cgroup_pswpin", "cgroup_pswpin_alumet");
    }

    #[test]
    fn what_alumet_lacks_is_named_as_prometheus_names() {
        family("cpu_throttled_time_delta", "cpu_throttled_time_alumet_seconds_total");
        family("network_received_bytes_delta", "network_received_alumet_bytes_total");
        family("io_reads_delta", "io_reads_alumet_total");
        family("pids_max", "pids_max_alumet");
    }

    #[test]
    fn a_label_is_escaped() {
        let mut out = String::new();
        label(&mut out, "a", "\\x2d \"q\"\n");
        assert_eq!(out, r#"a="\\x2d \"q\"\n""#);
    }
}
