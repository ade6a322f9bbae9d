//! Texts that are no JSON: nothing is taken out there, so whoever gives the file away is told of names that stand in them.

use serde_json::Value;

use super::{is_of_a_word, structured};

/// In how many texts that are no JSON something seems to be said of this name: `NAME: …`, `NAME=…` or `"NAME": …`.
pub(in crate::author) fn unread(name: &str, value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(|value| unread(name, value)).sum(),
        Value::Array(items) => items.iter().map(|item| unread(name, item)).sum(),
        Value::String(text) => match structured(text) {
            Some(inner) => inner.iter().map(|inner| unread(name, inner)).sum(),
            None => usize::from(says(name, text)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn says(name: &str, text: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + name.len()..).unwrap_or_default());
        let is_word = !is_of_a_word(before.chars().next_back()) && !is_of_a_word(after.chars().next());
        let unquoted = after.trim_start_matches(['\\', '"', '\'']);
        let said = unquoted.trim_start();
        let is_field = said
            .strip_prefix(':')
            .is_some_and(|value| unquoted.len() < after.len() || value.is_empty() || value.starts_with(char::is_whitespace));
        is_word && (is_field || said.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_in_a_text_that_cannot_be_read_is_counted() {
        for text in
            ["a: b\nTOKEN: s", "TOKEN=s", "TOKEN = s", "x{\"TOKEN\":\"s\"}", "{\"TOKEN\": \"s", r#"x\"TOKEN\":\"s"#, "TOKEN:"]
        {
            assert_eq!(unread("TOKEN", &json!({"annotations": [["a", text]]})), 1, "{text}");
        }
        for text in ["TOKENS: s", "MYTOKEN=s", "the TOKEN", "registry.example/TOKEN:1", "{\"TOKEN\": \"s\"}"] {
            assert_eq!(unread("TOKEN", &json!(text)), 0, "{text}");
        }
        assert_eq!(unread("TOKEN", &json!([r#"{"a":"TOKEN: s"}"#, "TOKEN: t"])), 2);
    }
}
