//! A message for each point, as JSON or as a line of CSV: the two forms whose points differ in nothing but the text between the parts.
//!
//! A point is: head, time, middle, value, unit, what is known of the subject, the attribute `kind`, the rest of the subject.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;
use sluicebox_sdk::{Entries, Packed, SubjectId, Tick};

use crate::catalogue::Row;
use crate::columns::Columns;
use crate::identity::{self, Identity, KIND};
use crate::number::Number;
use crate::pod_json;
use crate::settings::Settings;
use crate::{Known, parts, timestamp};

/// The columns of a CSV file that are no attributes. The last one is for attributes that the heading lacks, of which there are none here.
pub(crate) const COLUMNS: [&str; 8] =
    ["metric", "timestamp", "value", "resource_kind", "resource_id", "consumer_kind", "consumer_id", "__late_attributes"];

/// The header of a message that stands on top of its file.
const HEADING: &str = "heading";

/// Writes a message for each point.
pub(crate) struct Lines {
    form: Form,
    channel: Option<String>,
    texts: Vec<Texts>,
    /// What stands before the values at this tick, one for each of the texts.
    heads: Vec<String>,
    /// How many messages the tick before was, and how many bytes.
    room: (usize, usize),
}

enum Form {
    Json,
    Csv {
        heading: String,
        /// The attributes that have a column, in their order.
        names: Vec<String>,
    },
}

/// What is the same for all points of a metric.
struct Texts {
    head: String,
    middle: &'static str,
    unit: String,
    kind: Cow<'static, str>,
}

impl Lines {
    pub(crate) fn json(settings: &Settings, rows: &[&'static Row]) -> Self {
        let texts = rows.iter().map(|row| Texts {
            head: format!(r#"{{"metric":"{}","timestamp":""#, row.name),
            middle: r#"","value":"#,
            unit: format!(r#","unit":"{}""#, row.unit.word()),
            kind: row.kind.map_or(Cow::Borrowed("}}"), |kind| Cow::Owned(format!(r#","{KIND}":{}}}}}"#, json!(kind)))),
        });
        Self::new(Form::Json, settings, texts.collect())
    }

    pub(crate) fn csv(settings: &Settings, rows: &[&'static Row]) -> Self {
        let texts = rows.iter().map(|row| Texts {
            head: row.unit.sign().map_or_else(|| format!("{};", row.name), |sign| format!("{}_{sign};", row.name)),
            middle: ";",
            unit: String::new(),
            kind: Cow::Borrowed(row.kind.unwrap_or_default()),
        });
        let names = identity::names(settings, rows.iter().any(|row| row.kind.is_some()));
        let form = Form::Csv { heading: heading(&names), names: names.into_iter().map(str::to_owned).collect() };
        Self::new(form, settings, texts.collect())
    }

    fn new(form: Form, settings: &Settings, texts: Vec<Texts>) -> Self {
        let heads = texts.iter().map(|_| String::new()).collect();
        Self { form, channel: settings.channel.clone(), texts, heads, room: (0, 0) }
    }

    pub(crate) fn known(&self, identity: &Identity<'_>) -> Known {
        let key = identity.key.to_owned();
        match &self.form {
            // Without the brace at the end, for `kind` comes last.
            Form::Json => Known { key, before: pod_json::identity(identity), after: String::new() },
            Form::Csv { names, .. } => {
                let (before, after) = fields(identity, names);
                Known { key, before, after }
            }
        }
    }

    pub(crate) fn write(&mut self, tick: &Tick, columns: &Columns, subjects: &BTreeMap<SubjectId, Option<Known>>) -> Entries {
        let time = timestamp(tick.observed_at_unix_nanos);
        for (head, texts) in self.heads.iter_mut().zip(&self.texts) {
            head.clear();
            head.push_str(&texts.head);
            head.push_str(&time);
            head.push_str(texts.middle);
        }
        let mut lines = self.channel.as_ref().map_or_else(Packed::new, Packed::on).with_room(self.room.0, self.room.1);
        if let Form::Csv { heading, .. } = &self.form {
            lines = lines.with_header(HEADING, heading);
        }
        for (known, samples) in parts(tick, subjects) {
            for (row, value) in columns.points(samples, tick.online_cpus) {
                if let (Some(head), Some(texts)) = (self.heads.get(row), self.texts.get(row)) {
                    lines.push(&known.key, |line| self.point(line, head, texts, value, known));
                }
            }
        }
        let entries = lines.into();
        if let Entries::Packed(messages) = &entries {
            self.room = (messages.ends.len(), messages.text.len());
        }
        entries
    }

    fn point(&self, line: &mut String, head: &str, texts: &Texts, value: Number, known: &Known) {
        line.push_str(head);
        match self.form {
            Form::Json => value.json(line),
            Form::Csv { .. } => value.plain(line),
        }
        line.push_str(&texts.unit);
        line.push_str(&known.before);
        line.push_str(&texts.kind);
        line.push_str(&known.after);
    }
}

/// The names of the columns, with those of the attributes before the last one.
fn heading(names: &[&str]) -> String {
    let mut columns: Vec<&str> = COLUMNS.to_vec();
    let last = columns.pop();
    let columns = columns.into_iter().chain(names.iter().copied()).chain(last).map(field);
    columns.collect::<Vec<_>>().join(";")
}

/// Everything behind the value, parted where the field `kind` is.
fn fields(identity: &Identity<'_>, names: &[String]) -> (String, String) {
    let mut before = format!(";local_machine;;cgroup;{}", field(identity.path));
    let mut after = String::new();
    for name in names {
        if name == KIND {
            before.push(';');
            continue;
        }
        let half = if names.iter().any(|name| name == KIND) && name.as_str() > KIND { &mut after } else { &mut before };
        half.push(';');
        half.push_str(&field(identity.value(name)));
    }
    after.push(';');
    (before, after)
}

/// A field of CSV, as RFC 4180 quotes it.
fn field(text: &str) -> Cow<'_, str> {
    if text.contains([';', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")).into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        for (text, expected) in [
            ("", ""),
            ("a b,c", "a b,c"),
            ("a;b", "\"a;b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("back\r", "\"back\r\""),
        ] {
            assert_eq!(field(text), expected);
        }
    }

    #[test]
    fn the_heading_is_that_of_alumet() {
        let expected = "metric;timestamp;value;resource_kind;resource_id;consumer_kind;consumer_id;kind;name;namespace;node;uid;\
                        __late_attributes";
        assert_eq!(heading(&identity::names(&Settings::default(), true)), expected);
    }

    #[test]
    fn fields_are_parted_where_the_kind_is() {
        let identity = Identity { key: "u", path: "/p", attributes: vec![("uid", "u"), ("zone", "z"), ("cluster", "c")] };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (before, after) = fields(&identity, &names(&["cluster", "kind", "uid", "zone"]));
        assert_eq!((before.as_str(), after.as_str()), (";local_machine;;cgroup;/p;c;", ";u;z;"));
        let (before, after) = fields(&identity, &names(&["cluster", "uid"]));
        assert_eq!((before.as_str(), after.as_str()), (";local_machine;;cgroup;/p;c;u", ";"));
    }
}
