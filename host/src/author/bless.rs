//! Writes what came into a case file, and touches nothing else of its text.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::cases::{Made, Mismatch};
use super::layout;

/// The text of the case with what came in place of what was expected; the error says why that cannot be.
pub(super) fn bless(text: &str, mismatches: &[Mismatch]) -> Result<String, String> {
    let unreadable = |error: serde_json::Error| format!("cannot read it again: {error}");
    let file: Fields<'_> = serde_json::from_str(text).map_err(unreadable)?;
    let mut edits = Vec::new();
    for mismatch in mismatches {
        let number = mismatch.step.map_or(0, |step| step + 1);
        let (fields, holder) = match mismatch.step {
            None => (file.clone(), text),
            Some(step) => {
                let steps: Vec<&RawValue> = match file.find("steps") {
                    Some(steps) => serde_json::from_str(steps.get()).map_err(unreadable)?,
                    None => Vec::new(),
                };
                let step = steps.get(step).ok_or_else(|| format!("it has no step {number}"))?.get();
                (serde_json::from_str::<Fields<'_>>(step).map_err(unreadable)?, step)
            }
        };
        edits.push(edit(text, &fields, holder, mismatch).ok_or_else(|| not_blessed(mismatch))?);
    }
    // From the end, so that what comes before stays where it is.
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.at.start));
    let mut blessed = text.to_owned();
    for Edit { at, text } in edits {
        blessed.replace_range(at, &text);
    }
    Ok(blessed)
}

fn not_blessed(mismatch: &Mismatch) -> String {
    match (mismatch.step, &mismatch.made) {
        (_, Made::Failure(_)) => "a module that fails is not what a case can expect".to_owned(),
        (None, _) => "whether a module starts is for its author to say: add or remove `start-error` by hand".to_owned(),
        (Some(step), _) => format!("step {} is not a batch", step + 1),
    }
}

/// A part of the text, and what takes its place.
struct Edit {
    at: Range<usize>,
    text: String,
}

fn edit(text: &str, fields: &Fields<'_>, holder: &str, mismatch: &Mismatch) -> Option<Edit> {
    let known = match mismatch.step {
        None => fields.find("start-error").map(|value| ("start-error", value)),
        Some(_) => ["expect", "expect-error"].into_iter().find_map(|name| fields.find(name).map(|value| (name, value))),
    };
    let (name, value) = match (&mismatch.made, mismatch.step) {
        (Made::Entries(entries), Some(_)) => ("expect", entries.iter().map(layout::entry).collect::<Value>()),
        (Made::Refusal { words, .. }, Some(_)) => ("expect-error", words.as_str().into()),
        // Only where it says already that it does not start: steps cannot follow.
        (Made::Refusal { words, .. }, None) => (known.map(|(name, _)| name)?, words.as_str().into()),
        _ => return None,
    };
    let place = |part: &str| {
        let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        text.get(start..start + part.len()).map(|_| start..start + part.len())
    };
    if let Some((old, there)) = known {
        let value_at = place(there.get())?;
        let key = text.get(..value_at.start)?.rfind(&format!("\"{old}\""))?;
        let laid_out = layout::lay_out(&value, indentation(text, key));
        return Some(Edit { at: key..value_at.end, text: format!("\"{name}\": {laid_out}") });
    }
    let last = place(fields.0.last()?.1.get())?;
    let key = text.get(..last.start)?;
    let line = key.rfind('\n').map_or(0, |at| at + 1);
    let is_on_one_line = !holder.contains('\n');
    let indented = indentation(text, last.start);
    let gap = if is_on_one_line { " ".to_owned() } else { format!("\n{}", text.get(line..line + indented)?) };
    let laid_out = layout::lay_out(&value, indented);
    Some(Edit { at: last.end..last.end, text: format!(",{gap}\"{name}\": {laid_out}") })
}

/// How many bytes of white space the line begins with.
fn indentation(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rfind('\n').map_or(before, |end| before.get(end + 1..).unwrap_or_default());
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

/// An object whose values are still parts of the text.
#[derive(Clone)]
struct Fields<'text>(Vec<(Cow<'text, str>, &'text RawValue)>);

impl<'text> Fields<'text> {
    fn find(&self, name: &str) -> Option<&'text RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = fields.next_key::<String>()? {
                    all.push((Cow::Owned(name), fields.next_value()?));
                }
                Ok(Fields(all))
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::author::cases::Wanted;

    fn check(text: &str, step: Option<usize>, made: Made, expected: Result<&str, &str>) {
        let mismatch = Mismatch { step, wanted: Wanted::Success, made };
        assert_eq!(bless(text, &[mismatch]), expected.map(str::to_owned).map_err(str::to_owned));
    }

    fn hello() -> Made {
        Made::Entries(vec![json!({"message": {"body": "hello"}})])
    }

    #[test]
    fn only_what_was_expected_changes() {
        check(
            "{\"about\":  \"expect\",\n  \"steps\": [\n    {\"restart\":true},\n    {\n      \"events\": [1e3],\n      \"expect\": [ 7 ]\n    }\n  ]}\n",
            Some(1),
            hello(),
            Ok(
                "{\"about\":  \"expect\",\n  \"steps\": [\n    {\"restart\":true},\n    {\n      \"events\": [1e3],\n      \"expect\": [{\"message\": {\"body\": \"hello\"}}]\n    }\n  ]}\n",
            ),
        );
    }

    #[test]
    fn what_was_not_expected_is_added() {
        check(
            "{\"about\": \"\", \"steps\": [{\"events\": []}]}",
            Some(0),
            hello(),
            Ok("{\"about\": \"\", \"steps\": [{\"events\": [], \"expect\": [{\"message\": {\"body\": \"hello\"}}]}]}"),
        );
        check(
            "{\"steps\": [\n  {\n    \"events\": [\n    ]\n  }\n]}",
            Some(0),
            hello(),
            Ok("{\"steps\": [\n  {\n    \"events\": [\n    ],\n    \"expect\": [{\"message\": {\"body\": \"hello\"}}]\n  }\n]}"),
        );
    }

    #[test]
    fn a_refusal_and_entries_take_each_other_s_place() {
        let refusal = || Made::Refusal { words: "too \"old\"".to_owned(), fault: String::new() };
        check(
            "{\"steps\": [{\"events\": [], \"expect\": [1]}]}",
            Some(0),
            refusal(),
            Ok("{\"steps\": [{\"events\": [], \"expect-error\": \"too \\\"old\\\"\"}]}"),
        );
        check(
            "{\"steps\": [{\"expect-error\": \"x\", \"events\": []}]}",
            Some(0),
            Made::Entries(Vec::new()),
            Ok("{\"steps\": [{\"expect\": [], \"events\": []}]}"),
        );
        check("{\"start-error\": \"a\"}", None, refusal(), Ok("{\"start-error\": \"too \\\"old\\\"\"}"));
    }

    #[test]
    fn a_failure_is_never_written() {
        let failed = Made::Failure("trap".to_owned());
        check("{\"steps\": [{\"events\": []}]}", Some(0), failed, Err("a module that fails is not what a case can expect"));
        let why = "whether a module starts is for its author to say: add or remove `start-error` by hand";
        check("{\"start-error\": \"a\"}", None, Made::Success, Err(why));
    }
}
