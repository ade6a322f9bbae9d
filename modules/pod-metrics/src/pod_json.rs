//! A message in JSON for each pod or container and tick, with all that was measured.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::json;
use sluicebox_sdk::{Entries, Packed, SubjectId, Tick};

use crate::catalogue::Row;
use crate::columns::Columns;
use crate::identity::Identity;
use crate::settings::Settings;
use crate::{Known, parts, timestamp};

/// Writes a message for each subject.
pub(crate) struct PodJson {
    channel: Option<String>,
    rows: Vec<&'static Row>,
    /// How many messages the tick before was, and how many bytes.
    room: (usize, usize),
}

/// What is known of a subject, without the brace that ends its attributes.
pub(crate) fn identity(identity: &Identity<'_>) -> String {
    let mut text = format!(
        r#","resource":{{"kind":"local_machine"}},"consumer":{{"kind":"cgroup","id":{}}},"attributes":{{"#,
        json!(identity.path)
    );
    for (index, (name, value)) in identity.attributes.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { "," });
        let _ = write!(text, "{}:{}", json!(name), json!(value));
    }
    text
}

impl PodJson {
    /// Rows of one name stand together.
    pub(crate) fn new(settings: &Settings, rows: &[&'static Row]) -> Self {
        Self { channel: settings.channel.clone(), rows: rows.to_vec(), room: (0, 0) }
    }

    pub(crate) fn known(of: &Identity<'_>) -> Known {
        Known { key: of.key.to_owned(), before: format!(r#"{}}},"metrics":{{"#, identity(of)), after: "}}".to_owned() }
    }

    pub(crate) fn write(&mut self, tick: &Tick, columns: &Columns, subjects: &BTreeMap<SubjectId, Option<Known>>) -> Entries {
        let head = format!(r#"{{"timestamp":"{}""#, timestamp(tick.observed_at_unix_nanos));
        let mut messages = self.channel.as_ref().map_or_else(Packed::new, Packed::on).with_room(self.room.0, self.room.1);
        for (known, samples) in parts(tick, subjects) {
            let points = columns.points(samples, tick.online_cpus);
            let mut points = points.filter_map(|(row, value)| Some((*self.rows.get(row)?, value))).peekable();
            if points.peek().is_none() {
                continue;
            }
            messages.push(&known.key, |text| {
                text.push_str(&head);
                text.push_str(&known.before);
                let mut before: Option<&Row> = None;
                for (row, value) in points {
                    begin(text, row, before);
                    value.json(text);
                    before = Some(row);
                }
                text.push_str(if before.is_some_and(|row| row.kind.is_some()) { "}" } else { "" });
                text.push_str(&known.after);
            });
        }
        let entries = messages.into();
        if let Entries::Packed(messages) = &entries {
            self.room = (messages.ends.len(), messages.text.len());
        }
        entries
    }
}

/// Everything up to the value. The kinds of a metric are an object.
fn begin(text: &mut String, row: &Row, before: Option<&Row>) {
    let goes_on = before.is_some_and(|before| before.name == row.name);
    if !goes_on {
        text.push_str(match before {
            None => "\"",
            Some(Row { kind: Some(_), .. }) => "},\"",
            Some(_) => ",\"",
        });
        text.push_str(row.name);
        text.push_str("\":");
    }
    if let Some(kind) = row.kind {
        text.push_str(if goes_on { ",\"" } else { "{\"" });
        text.push_str(kind);
        text.push_str("\":");
    }
}
