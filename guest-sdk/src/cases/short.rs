//! Writes out what a case abbreviates: `$like`, and bodies in parts.

use serde_json::{Map, Value};

/// An entry as it must come: `$like` replaced, a body in parts joined, a forgetting without a time done at once.
pub(super) fn entry(given: &Map<String, Value>, entry: Value) -> Result<Value, String> {
    let mut entry = like(given, entry)?;
    if let Some(forget) = entry.get_mut("forget").and_then(Value::as_object_mut) {
        forget.entry("after-milliseconds").or_insert(0.into());
    }
    for kind in ["message", "document"] {
        if let Some(Value::Array(parts)) = entry.get_mut(kind).and_then(|fields| fields.get_mut("body")) {
            // A list of numbers is a body of bytes, as it stands.
            if !parts.iter().all(Value::is_number) {
                let body = parts.iter().map(part).collect::<Result<String, String>>()?;
                if let Some(fields) = entry.get_mut(kind).and_then(Value::as_object_mut) {
                    fields.insert("body".to_owned(), body.into());
                }
            }
        }
    }
    Ok(entry)
}

/// What `value` stands for once every `$like` in it is replaced.
pub(super) fn like(given: &Map<String, Value>, value: Value) -> Result<Value, String> {
    alike(given, value, 0)
}

fn alike(given: &Map<String, Value>, value: Value, depth: usize) -> Result<Value, String> {
    if depth > 64 {
        return Err("`$like` leads back to itself".to_owned());
    }
    match value {
        Value::Array(items) => items.into_iter().map(|item| alike(given, item, depth + 1)).collect(),
        Value::Object(mut fields) => {
            let base = match fields.shift_remove("$like") {
                None => None,
                Some(Value::String(name)) => {
                    let base = given.get(&name).ok_or_else(|| format!("nothing is given as `{name}`"))?;
                    Some(alike(given, base.clone(), depth + 1)?)
                }
                Some(_) => return Err("`$like` must be the name of something given".to_owned()),
            };
            let fields = fields.into_iter().map(|(name, value)| Ok((name, alike(given, value, depth + 1)?)));
            let fields = Value::Object(fields.collect::<Result<_, String>>()?);
            Ok(match base {
                None => fields,
                Some(base) if fields.as_object().is_some_and(Map::is_empty) => base,
                Some(base) => over(base, fields),
            })
        }
        plain => Ok(plain),
    }
}

// JSON merge patch.
fn over(base: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch;
    };
    let mut merged = if let Value::Object(fields) = base { fields } else { Map::new() };
    for (name, value) in patch {
        if value.is_null() {
            merged.shift_remove(&name);
        } else {
            let under = merged.get_mut(&name).map(Value::take).unwrap_or_default();
            merged.insert(name, over(under, value));
        }
    }
    Value::Object(merged)
}

fn part(part: &Value) -> Result<String, String> {
    let form = part.as_object().filter(|form| form.len() == 1);
    let json = |name| form.and_then(|form| form.get(name));
    match (part.as_str(), json("compact"), json("line")) {
        (Some(text), None, None) => Ok(text.to_owned()),
        (None, Some(json), None) => Ok(json.to_string()),
        (None, None, Some(json)) => Ok(format!("{json}\n")),
        _ => Err(r#"a part of a body is a string, `{"compact": ...}` or `{"line": ...}`"#.to_owned()),
    }
}
