//! A value into a configuration, with every mistake found and not only the first.
//!
//! serde stops at the first mistake. So the part that it stopped at is noted, taken out, and the rest is tried again, until nothing
//! is wrong any more; what then lacks because it was taken out is not a mistake of the user's.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::Problem;
use super::yaml::{Document, step};

/// More mistakes than this are not looked for.
const MOST: usize = 100;

/// Decodes a document. What is wrong is named and left out of the configuration; none if nothing of use remains.
pub fn decode<T: DeserializeOwned>(document: &Document) -> (Option<T>, Vec<Problem>) {
    let mut value = document.value.clone();
    let mut problems = Vec::new();
    let mut removed = BTreeSet::new();
    while problems.len() < MOST {
        let error = match serde_path_to_error::deserialize::<_, T>(value.clone()) {
            Ok(config) => return (Some(config), problems),
            Err(error) => error,
        };
        let path = pointer(error.path());
        let message = error.inner().to_string();
        let known = missing(&message).is_some_and(|name| removed.contains(&step(&path, name)));
        if !known {
            problems.push(describe(&message, &as_written(&path, &removed), document));
        }
        if !remove(&mut value, &path) {
            break;
        }
        removed.insert(as_written(&path, &removed));
    }
    if problems.len() >= MOST {
        problems.push(Problem::whole(format!("more than {MOST} mistakes: the rest is not looked for")));
    }
    (None, problems)
}

/// The path of a list's item as the user wrote it, before items ahead of it were taken out.
fn as_written(path: &str, removed: &BTreeSet<String>) -> String {
    let Some((list, item)) = path.rsplit_once('/') else { return path.to_owned() };
    let Ok(mut index) = item.parse::<usize>() else { return path.to_owned() };
    let mut before: Vec<usize> =
        removed.iter().filter_map(|path| path.strip_prefix(list)?.strip_prefix('/')?.parse().ok()).collect();
    before.sort_unstable();
    for earlier in before {
        if earlier <= index {
            index += 1;
        }
    }
    format!("{list}/{index}")
}

/// The name of a field that is not there.
fn missing(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split_once('`').map(|(name, _)| name)
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        pointer = match segment {
            Segment::Map { key } => step(&pointer, key),
            Segment::Enum { variant } => step(&pointer, variant),
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Unknown => pointer,
        };
    }
    pointer
}

fn describe(message: &str, path: &str, document: &Document) -> Problem {
    let name = if path.is_empty() {
        "the configuration".to_owned()
    } else {
        format!("`{}`", path.trim_start_matches('/').replace('/', "."))
    };
    let problem = Problem { line: document.line(path), text: format!("{name}: {message}"), hint: None };
    match suggestion(message) {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// For a value of another type, how to write the right one.
fn shape(given: &str, expected: &str) -> Option<String> {
    let hint = if expected.starts_with("a string") && !given.contains("map") && !given.contains("sequence") {
        "put it in quotes"
    } else if expected.starts_with("struct ") {
        "give a section: its fields below it, or `{}` for its defaults"
    } else if expected.starts_with("usize") || expected.starts_with('u') {
        "give a whole number, zero or more"
    } else if expected.starts_with("a sequence") {
        "give a list: `[one, other]`"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

/// For a name that does not exist, the one that was probably meant.
fn suggestion(message: &str) -> Option<String> {
    if message.contains("expected map with a single key") {
        return Some("name exactly one kind here, such as `stdout: {}`".to_owned());
    }
    if let Some(name) = missing(message) {
        return Some(format!("add `{name}: …` here; `sluicebox schema --reference` explains it"));
    }
    if message.contains("invalid socket address") {
        return Some("give an address and a port, such as `127.0.0.1:9420`; a name is not looked up".to_owned());
    }
    let (given, expected) = message.split_once(", expected ")?;
    if given.starts_with("invalid ") {
        return shape(given, expected);
    }
    if !given.starts_with("unknown ") {
        return None;
    }
    let given = given.split('`').nth(1)?;
    let candidates = expected.split('`').skip(1).step_by(2);
    let (distance, best) = candidates.map(|candidate| (strsim::damerau_levenshtein(given, candidate), candidate)).min()?;
    (distance <= given.len().div_ceil(2)).then(|| format!("did you mean `{best}`?"))
}

fn remove(value: &mut Value, path: &str) -> bool {
    let Some((parent, last)) = path.rsplit_once('/') else {
        return false;
    };
    let last = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.shift_remove(&last).is_some(),
        Some(Value::Array(items)) => match last.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::config::yaml::parse;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only the mistakes are looked at")]
    struct Sample {
        names: Vec<String>,
        count: u8,
    }

    fn problems(text: &str) -> Vec<String> {
        let (document, _) = parse(text, &|_| None).unwrap();
        let (_, problems) = decode::<Sample>(&document);
        problems.iter().map(|problem| format!("{}: {}", problem.line.unwrap(), problem.text)).collect()
    }

    #[test]
    fn each_mistake_in_a_list_is_named_with_its_own_line() {
        let found = problems("names:\n  - a\n  - 1\n  - b\n  - [2]\n  - 3\ncount: 1\n");
        assert_eq!(
            found,
            [
                "3: `names.1`: invalid type: integer `1`, expected a string",
                "5: `names.3`: invalid type: sequence, expected a string",
                "6: `names.4`: invalid type: integer `3`, expected a string",
            ]
        );
    }

    #[test]
    fn a_value_of_another_type_comes_with_its_cure() {
        let (document, _) = parse("names: [true]\ncount: -1\n", &|_| None).unwrap();
        let (_, problems) = decode::<Sample>(&document);
        let hints: Vec<_> = problems.iter().filter_map(|problem| problem.hint.as_deref()).collect();
        assert_eq!(hints, ["put it in quotes", "give a whole number, zero or more"]);
    }

    #[test]
    fn what_lacks_because_it_was_wrong_is_no_second_mistake() {
        assert_eq!(problems("names: 5\ncount: many\nmore: 1\n").len(), 3);
    }
}
