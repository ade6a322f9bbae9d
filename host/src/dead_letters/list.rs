//! `sluicebox dead-letters list`: a table for people, or JSON for programs.

use serde_json::{Value, json};
use sluicebox_contract::UnixNanos;
use sluicebox_store::{About, Listed, Summary};

use crate::harmless;
use crate::say;

const HEAD: [&str; 6] = ["ID", "AGE", "LANE", "VERSION", "WHAT", "REASON"];
/// Characters of a cell, at most.
const WIDEST: [usize; 6] = [40, 8, 63, 32, 80, 400];

pub(super) fn table(letters: &[Listed], now: UnixNanos) {
    let rows: Vec<[String; 6]> = letters.iter().map(|letter| row(letter, now)).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in [HEAD.map(str::to_owned)].iter().chain(&rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say::line(cells.join("  ").trim_end());
    }
}

fn row(letter: &Listed, now: UnixNanos) -> [String; 6] {
    let name = letter.id.map_or_else(|| letter.file.clone(), |id| id.to_string());
    let waits = if letter.asked_for { "waits for replay; " } else { "" };
    let cells = match &letter.letter {
        Ok(summary) => {
            let Summary { at, lane, module, reason, about, .. } = summary;
            let reason = format!("{waits}{reason}");
            [name, age(*at, now), lane.clone(), module.version.clone(), what(about), reason]
        }
        Err(error) => [name, "-".to_owned(), "-".to_owned(), "-".to_owned(), "unreadable".to_owned(), format!("{waits}{error}")],
    };
    let mut widest = WIDEST.into_iter();
    cells.map(|cell| harmless::line(&cell, widest.next().unwrap_or(0)))
}

pub(super) fn json_lines(letters: &[Listed]) {
    for letter in letters {
        say::line(harmless::json(&object(letter).to_string()));
    }
}

fn object(letter: &Listed) -> Value {
    let Listed { id, file, bytes, asked_for, letter } = letter;
    let id = id.map(|id| id.to_string());
    match letter {
        Ok(Summary { at, lane, module, reason, replays, about }) => json!({
            "id": id, "bytes": bytes, "asked-for": asked_for, "at-unix-nanos": at, "lane": lane, "module": module,
            "replays": replays, "reason": reason, "about": about_object(about),
        }),
        Err(error) => json!({"id": id, "file": file, "bytes": bytes, "asked-for": asked_for, "unreadable": error.to_string()}),
    }
}

fn about_object(about: &About) -> Value {
    match about {
        About::Event { kind, namespace, name, change } => {
            json!({"event": {"kind": kind, "namespace": namespace, "name": name, "change": change}})
        }
        About::Many { what, kind, namespace, name, count } => {
            json!({*what: {"kind": kind, "namespace": namespace, "name": name, "count": count}})
        }
        About::Entry { sink, kind, name } => json!({"entry": {"sink": sink, "kind": kind, "name": name}}),
    }
}

fn what(about: &About) -> String {
    match about {
        About::Event { kind, namespace, name, change } => {
            format!("event {} {} {}", word(&json!(kind)), full(namespace, name), word(&json!(change)))
        }
        About::Many { what, kind, namespace, name, count } => {
            format!("{count} {what} of {} {}", word(&json!(kind)), full(namespace, name))
        }
        About::Entry { sink, kind, name } if name.is_empty() => format!("{kind} to {sink}"),
        About::Entry { sink, kind, name } => format!("{kind} {name} to {sink}"),
    }
}

fn full(namespace: &str, name: &str) -> String {
    let slash = if namespace.is_empty() { "" } else { "/" };
    format!("{namespace}{slash}{name}")
}

/// As it stands in JSON.
fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// The one unit that says enough.
fn age(at: UnixNanos, now: UnixNanos) -> String {
    let seconds = at.elapsed_until(now).as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let age_of = |seconds: u64| age(UnixNanos(0), UnixNanos(seconds * 1_000_000_000));
        assert_eq!([0, 59, 60, 7199, 172_799, 172_800].map(age_of), ["0s", "59s", "1m", "1h", "47h", "2d"]);
    }
}
