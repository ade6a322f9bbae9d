//! JSON as people lay out case files: what fits stands on one line, the rest is broken; bodies are written in parts where that is exact.

use serde_json::{Map, Value, json};

/// Columns of a line, at most, where what stands on it can be broken.
const WIDTH: usize = 120;
const STEP: usize = 2;

/// An entry as a case file writes it: a body of JSON as JSON, a body of lines line by line. It is read back as the same bytes.
pub(super) fn entry(entry: &Value) -> Value {
    let mut entry = entry.clone();
    for kind in ["message", "document"] {
        let Some(body) = entry.get_mut(kind).and_then(|fields| fields.get_mut("body")) else { continue };
        if let Some(parts) = body.as_str().and_then(parts) {
            *body = parts;
        }
    }
    entry
}

/// None where the body had better stand as it is.
fn parts(body: &str) -> Option<Value> {
    let lines: Vec<Value> = body.split_inclusive('\n').map(part).collect();
    match lines.as_slice() {
        [] | [Value::String(_)] => None,
        _ => Some(Value::Array(lines)),
    }
}

/// A line as JSON if that is written back as the same bytes, such as `{"line": {...}}`; else the text.
fn part(line: &str) -> Value {
    let (text, form) = line.strip_suffix('\n').map_or((line, "compact"), |text| (text, "line"));
    match serde_json::from_str::<Value>(text) {
        Ok(value) if is_same(&value, text) => json!({ form: value }),
        _ => line.into(),
    }
}

/// Whether JSON is written as just this text.
pub(super) fn is_same(value: &Value, text: &str) -> bool {
    let written = value.to_string();
    (value.is_object() || value.is_array()) && written == text
}

/// The value, laid out behind so many columns of indentation that its first line has already.
pub(super) fn lay_out(value: &Value, indentation: usize) -> String {
    let mut text = String::new();
    write(value, indentation, indentation, &mut text);
    text
}

fn write(value: &Value, indentation: usize, column: usize, text: &mut String) {
    let line = on_one_line(value);
    if column + line.chars().count() <= WIDTH {
        text.push_str(&line);
        return;
    }
    match value {
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().map(|item| (String::new(), item));
            block(['[', ']'], items, indentation, text);
        }
        Value::Object(fields) if !fields.is_empty() => {
            let items = fields.iter().map(|(name, value)| (format!("{}: ", Value::from(name.as_str())), value));
            block(['{', '}'], items, indentation, text);
        }
        _ => text.push_str(&line),
    }
}

fn block<'a>([open, close]: [char; 2], items: impl Iterator<Item = (String, &'a Value)>, indentation: usize, text: &mut String) {
    text.push(open);
    let inner = indentation + STEP;
    for (index, (name, value)) in items.enumerate() {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.extend(std::iter::repeat_n(' ', inner));
        text.push_str(&name);
        write(value, inner, inner + name.chars().count(), text);
    }
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indentation));
    text.push(close);
}

fn on_one_line(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Array(items) => format!("[{}]", list(items.iter().map(on_one_line).collect())),
        Value::Object(fields) => format!("{{{}}}", list(fields_on_one_line(fields))),
        plain => plain.to_string(),
    }
}

fn fields_on_one_line(fields: &Map<String, Value>) -> Vec<String> {
    fields.iter().map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), on_one_line(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(body: &str) -> Value {
        entry(&json!({"message": {"body": body}}))["message"]["body"].clone()
    }

    #[test]
    fn a_body_is_written_in_parts_only_where_that_is_exact() {
        assert_eq!(body("hello"), json!("hello"));
        assert_eq!(body("hello\n"), json!("hello\n"));
        assert_eq!(body(r#"{"b":1,"a":[2.5]}"#), json!([{"compact": {"b": 1, "a": [2.5]}}]));
        assert_eq!(body("{\"a\":1}\n{\"a\":2}\n"), json!([{"line": {"a": 1}}, {"line": {"a": 2}}]));
        // White space, and numbers that JSON writes in another way.
        assert_eq!(body(r#"{"a": 1}"#), json!(r#"{"a": 1}"#));
        assert_eq!(body("[1e3]"), json!("[1e3]"));
        assert_eq!(body("# a\nb 1\n"), json!(["# a\n", "b 1\n"]));
        assert_eq!(body(""), json!(""));
    }

    #[test]
    fn what_fits_stands_on_one_line_and_the_rest_is_broken() {
        assert_eq!(lay_out(&json!({"a": [1, {"b": null}]}), 4), r#"{"a": [1, {"b": null}]}"#);
        let long = "x".repeat(100);
        let expected = format!("[\n    {{\n      \"a\": \"{long}\",\n      \"bcdefghi\": [1, 2]\n    }}\n  ]");
        assert_eq!(lay_out(&json!([{"a": long, "bcdefghi": [1, 2]}]), 2), expected);
        assert_eq!(lay_out(&json!([]), 200), "[]");
    }
}
