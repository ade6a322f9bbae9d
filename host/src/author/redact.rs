//! Takes texts out of what was recorded. The same text becomes the same word, so that what belongs together still does.

mod unread;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde_json::{Map, Value};

pub(super) use unread::unread;

/// What was taken out so far.
#[derive(Debug, Default)]
pub(super) struct Redactor {
    words: BTreeMap<String, String>,
}

/// Texts of fewer bytes are looked for in their own fields only: within others they are most often something else.
const SHORTEST: usize = 4;

/// What is so long is found within words, too: a uid behind `pod` in the path of a cgroup.
const ID: usize = 32;

/// Fields with one of a few words: what reads the case knows no others.
const CHOICES: [&str; 7] = ["change", "direction", "kind", "origin", "phase", "protocol", "qos-class"];

impl Redactor {
    /// Redacts every field of one of these names, however deep, every pair (a label, an attribute) that begins with one, and every
    /// object that has one as its `name` or `key` beside a `value`; in objects that stand as text, too. What was taken out is then
    /// looked for in all other texts.
    pub(super) fn redact(&mut self, case: &mut Value, names: &[String]) {
        if names.is_empty() {
            return;
        }
        self.fields(case, names);
        let texts = Texts::of(&self.words);
        if !texts.is_empty() {
            texts.replace(case);
        }
    }

    fn fields(&mut self, value: &mut Value, names: &[String]) {
        let is_named = |name: &str| names.iter().any(|known| known == name);
        match value {
            Value::Object(fields) => {
                let is_entry = entries(fields).any(is_named);
                for (name, value) in fields {
                    if is_named(name) || (is_entry && name.eq_ignore_ascii_case("value")) {
                        self.clear(value);
                    } else {
                        self.fields(value, names);
                    }
                }
            }
            Value::Array(items) => match items.as_mut_slice() {
                [Value::String(name), value @ Value::String(_)] if is_named(name) => self.clear(value),
                items => items.iter_mut().for_each(|item| self.fields(item, names)),
            },
            Value::String(text) => {
                // Such as an annotation that holds the object as it was applied.
                if let Some(mut inner) = structured(text) {
                    let before = inner.clone();
                    for inner in &mut inner {
                        self.fields(inner, names);
                    }
                    if inner != before {
                        *text = written(&inner);
                    }
                }
            }
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

/// Whether something would be taken out for this name; what was taken out has left its name there.
pub(super) fn occurs(name: &str, value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            let is_entry = entries(fields).any(|entry| entry == name);
            let has_value = fields.keys().any(|field| field.eq_ignore_ascii_case("value"));
            (is_entry && has_value) || fields.iter().any(|(field, value)| field == name || occurs(name, value))
        }
        Value::Array(items) => match items.as_slice() {
            [Value::String(first), Value::String(_)] if first == name => true,
            items => items.iter().any(|item| occurs(name, item)),
        },
        Value::String(text) => structured(text).is_some_and(|inner| inner.iter().any(|inner| occurs(name, inner))),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The names that an object gives itself in fields, as entries of an environment and tags do.
fn entries(fields: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let is_name = |field: &str| field.eq_ignore_ascii_case("name") || field.eq_ignore_ascii_case("key");
    fields.iter().filter(move |(field, _)| is_name(field)).filter_map(|(_, name)| name.as_str())
}

/// What a text is that is JSON throughout: an object, a list or a text in quotes, or several of them behind each other.
fn structured(text: &str) -> Option<Vec<Value>> {
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return None;
    }
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok()
}

/// As text again, each on a line of its own.
fn written(values: &[Value]) -> String {
    let lines: Vec<String> = values.iter().map(Value::to_string).collect();
    lines.join("\n")
}

/// What was taken out, by its first bytes, the longest first, with the word in its place.
struct Texts<'a> {
    by_beginning: HashMap<[u8; SHORTEST], Vec<(Cow<'a, str>, &'a str)>>,
}

impl<'a> Texts<'a> {
    fn of(words: &'a BTreeMap<String, String>) -> Self {
        let mut by_beginning: HashMap<_, Vec<_>> = HashMap::new();
        for (text, word) in words {
            for text in forms(text) {
                if let Some(beginning) = text.as_bytes().first_chunk::<SHORTEST>() {
                    by_beginning.entry(*beginning).or_default().push((text, word.as_str()));
                }
            }
        }
        for texts in by_beginning.values_mut() {
            texts.sort_by_key(|(text, _)| Reverse(text.len()));
        }
        Self { by_beginning }
    }

    fn is_empty(&self) -> bool {
        self.by_beginning.is_empty()
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                // Within it a text is written with escapes.
                let fresh = match structured(text) {
                    Some(mut inner) => {
                        let before = inner.clone();
                        for inner in &mut inner {
                            self.replace(inner);
                        }
                        (inner != before).then(|| written(&inner))
                    }
                    None => self.replaced(text),
                };
                if let Some(fresh) = fresh {
                    *text = fresh;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    let is_choice = CHOICES.contains(&name.as_str()) && value.as_str().is_some_and(is_one_word);
                    if !is_choice {
                        self.replace(value);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The text with words in place of what was taken out, wherever it stands as a word of its own.
    fn replaced(&self, text: &str) -> Option<String> {
        let mut fresh = String::new();
        let (mut copied, mut at) = (0, 0);
        let mut before = None;
        while let Some(rest) = text.get(at..) {
            let Some(first) = rest.chars().next() else { break };
            if let Some((found, word)) = self.beginning(rest, is_of_a_word(before)) {
                fresh.push_str(text.get(copied..at).unwrap_or_default());
                fresh.push_str(word);
                before = found.chars().next_back();
                at += found.len();
                copied = at;
            } else {
                before = Some(first);
                at += first.len_utf8();
            }
        }
        (copied > 0).then(|| fresh + text.get(copied..).unwrap_or_default())
    }

    /// The longest text that this one begins with. What is no id begins and ends where words do.
    fn beginning(&self, rest: &str, is_within_a_word: bool) -> Option<(&str, &str)> {
        let texts = self.by_beginning.get(rest.as_bytes().first_chunk::<SHORTEST>()?)?;
        let is_there = |text: &str| {
            let Some(after) = rest.strip_prefix(text) else { return false };
            text.len() >= ID || !(is_within_a_word || is_of_a_word(after.chars().next()))
        };
        texts.iter().find(|(text, _)| is_there(text)).map(|(text, word)| (text.as_ref(), *word))
    }
}

fn is_one_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

fn is_of_a_word(letter: Option<char>) -> bool {
    letter.is_some_and(char::is_alphanumeric)
}

/// The text as it stands elsewhere: an id of a container without its runtime, a uid in the path of a cgroup that systemd has made.
fn forms(text: &str) -> Vec<Cow<'_, str>> {
    let mut forms = vec![Cow::Borrowed(text)];
    if let Some((_, id)) = text.split_once("://") {
        forms.push(Cow::Borrowed(id));
    }
    let is_uid = text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_uid {
        forms.push(Cow::Owned(text.replace('-', "_")));
    }
    forms
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
    fn a_text_that_is_an_object_stays_a_text() {
        let label = json!({"metric": {"__name__": "x", "json": "{\"a\": \"web\"}"}});
        assert_eq!(redacted(label.clone(), &[]), label);
        assert_eq!(redacted(label.clone(), &["team"]), label);
        let expected = json!({"metric": {"__name__": "x", "json": "{\"a\":\"redacted-1\"}"}});
        assert_eq!(redacted(label, &["a"]), expected);
    }

    #[test]
    fn a_name_occurs_wherever_its_text_would_be_taken_out() {
        let value = json!({"labels": [["app", "web"]], "env": [{"name": "TOKEN", "value": "s"}], "text": "{\"team\": \"blue\"}", "app": "TOKENS"});
        for name in ["labels", "app", "TOKEN", "team", "value"] {
            assert!(occurs(name, &value), "{name}");
        }
        for name in ["web", "blue", "TOKENS", "labels,app", "s"] {
            assert!(!occurs(name, &value), "{name}");
        }
    }

    #[test]
    fn a_list_of_pairs_keeps_its_names() {
        let mut value = json!({"labels": [["app", "web"]]});
        Redactor::default().redact(&mut value, &["labels".to_owned()]);
        assert_eq!(value, json!({"labels": [["app", "redacted-1"]]}));
    }

    fn redacted(mut value: Value, names: &[&str]) -> Value {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Redactor::default().redact(&mut value, &names);
        value
    }

    #[test]
    fn a_name_beside_a_value_is_a_field() {
        let value = json!({"env": [{"name": "TOKEN", "value": "s3cret"}, {"name": "LEVEL", "value": "info"}]});
        let expected = json!({"env": [{"name": "TOKEN", "value": "redacted-1"}, {"name": "LEVEL", "value": "info"}]});
        assert_eq!(redacted(value, &["TOKEN"]), expected);
    }

    #[test]
    fn an_object_within_a_text_is_redacted_and_stays_text() {
        let applied = r#"{"metadata":{"labels":{"team":"blue"}},"spec":{"replicas":2}}"#;
        let value = json!({"annotations": [["applied", applied], ["list", "[1, 2]"]]});
        let expected = r#"{"metadata":{"labels":{"team":"redacted-1"}},"spec":{"replicas":2}}"#;
        assert_eq!(redacted(value, &["team"]), json!({"annotations": [["applied", expected], ["list", "[1, 2]"]]}));
    }

    #[test]
    fn a_name_in_capitals_beside_its_value_is_a_field_too() {
        let value = json!({"tags": [{"Key": "TOKEN", "Value": "s3cret"}, {"Name": "LEVEL", "Value": "info"}]});
        assert!(occurs("TOKEN", &value) && !occurs("info", &value));
        let expected = json!({"tags": [{"Key": "TOKEN", "Value": "redacted-1"}, {"Name": "LEVEL", "Value": "info"}]});
        assert_eq!(redacted(value, &["TOKEN"]), expected);
    }

    #[test]
    fn json_is_found_in_lines_and_within_a_text_of_json() {
        let (lines, within) = ("{\"TOKEN\": \"one\"}\n{\"TOKEN\": \"two\"}\n", r#""{\"TOKEN\":\"three\"}""#);
        let value = json!({"annotations": [["lines", lines], ["within", within], ["text", "\"quoted\""]]});
        assert!(occurs("TOKEN", &json!(lines)) && occurs("TOKEN", &json!(within)));
        let lines = "{\"TOKEN\":\"redacted-1\"}\n{\"TOKEN\":\"redacted-2\"}";
        let within = r#""{\"TOKEN\":\"redacted-3\"}""#;
        let expected = json!({"annotations": [["lines", lines], ["within", within], ["text", "\"quoted\""]]});
        assert_eq!(redacted(value, &["TOKEN"]), expected);
    }

    #[test]
    fn what_was_taken_out_is_taken_out_of_other_texts_where_it_is_a_word_of_its_own() {
        let value = json!({
            "name": "checkout", "kind": "checkout", "image": "registry.example/checkout/checkouts:1",
            "pod-name": "checkout-7", "labels": {"checkout": "über checkout"}, "owner": "checkout",
        });
        let expected = json!({
            "name": "redacted-1", "kind": "checkout", "image": "registry.example/redacted-1/checkouts:1",
            "pod-name": "redacted-1-7", "labels": {"checkout": "über redacted-1"}, "owner": "redacted-1",
        });
        assert_eq!(redacted(value, &["name"]), expected);
    }

    #[test]
    fn ids_are_found_in_the_paths_of_cgroups() {
        let (uid, id) = ("12b379f7-ef99-46e5-8125-0129a27bd799", "0".repeat(64));
        let path = format!("kubepods.slice/kubepods-pod{}.slice/cri-containerd-{id}.scope", uid.replace('-', "_"));
        let value = json!({"uid": uid, "container-id": format!("containerd://{id}"), "path": path});
        let text = redacted(value, &["uid", "container-id"]).to_string();
        assert!(!text.contains(&id) && !text.contains("ef99_46e5"), "{text}");
    }
}
