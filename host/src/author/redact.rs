//! Takes texts out of what was recorded. The same text becomes the same word, so that what belongs together still does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

/// What was taken out so far.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    words: BTreeMap<String, String>,
}

impl Redactor {
    /// Redacts every field of one of these names, however deep, and every pair (a label, an attribute) that begins with one.
    pub(super) fn redact(&mut self, value: &mut Value, names: &[String]) {
        let is_named = |name: &str| names.iter().any(|known| known == name);
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    unfold(name, value);
                    if is_named(name) { self.clear(value) } else { self.redact(value, names) }
                }
            }
            Value::Array(items) => match items.as_mut_slice() {
                [Value::String(name), value @ Value::String(_)] if is_named(name) => self.clear(value),
                items => items.iter_mut().for_each(|item| self.redact(item, names)),
            },
            _ => {}
        }
    }

    /// Every text in it, but for the names of fields and pairs.
    fn clear(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.word(text),
            Value::Number(_) => *value = 0.into(),
            Value::Array(items) => {
                for item in items {
                    // A list within a list is a pair, such as a label: a list of two texts alone is none.
                    match item.as_array_mut().map(Vec::as_mut_slice) {
                        Some([Value::String(_), value @ Value::String(_)]) => self.clear(value),
                        _ => self.clear(item),
                    }
                }
            }
            Value::Object(fields) => fields.iter_mut().for_each(|(_, value)| self.clear(value)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn word(&mut self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let number = self.words.len() + 1;
        let word = || match text.parse::<IpAddr>() {
            // Of the networks that are meant for tests and examples: an address stays one.
            Ok(IpAddr::V4(_)) => format!("198.18.{}.{}", number / 256 % 256, number % 256),
            Ok(IpAddr::V6(_)) => format!("2001:db8::{number:x}"),
            Err(_) => format!("redacted-{number}"),
        };
        self.words.entry(text.to_owned()).or_insert_with(word).clone()
    }
}

/// An object that stands as text hides its fields.
fn unfold(name: &str, value: &mut Value) {
    if name == "json"
        && let Some(object) = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok())
        && object.is_object()
    {
        *value = object;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_same_text_becomes_the_same_word_and_an_address_stays_one() {
        let mut value = json!({
            "name": "web", "uid": "u1", "labels": [["app", "web"], ["team", "blue"]], "addresses": ["10.0.0.7", "fe80::1"],
            "deep": [{"name": "u2", "token": 7, "kept": "web"}],
        });
        let names = ["name", "addresses", "team", "token"].map(str::to_owned);
        Redactor::default().redact(&mut value, &names);
        let expected = json!({
            "name": "redacted-1", "uid": "u1", "labels": [["app", "web"], ["team", "redacted-2"]], "addresses": ["198.18.0.3", "2001:db8::4"],
            "deep": [{"name": "redacted-5", "token": 0, "kept": "web"}],
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn an_object_that_stands_as_text_is_redacted_too() {
        let mut value = json!({"object": {"json": "{ \"metadata\": {\"name\": \"web\"} }"}});
        Redactor::default().redact(&mut value, &["name".to_owned()]);
        assert_eq!(value, json!({"object": {"json": {"metadata": {"name": "redacted-1"}}}}));
    }

    #[test]
    fn a_list_of_pairs_keeps_its_names() {
        let mut value = json!({"labels": [["app", "web"]]});
        Redactor::default().redact(&mut value, &["labels".to_owned()]);
        assert_eq!(value, json!({"labels": [["app", "redacted-1"]]}));
    }
}
