//! Settings: JSON from the host becomes the author's type, or a sentence that the operator can act upon.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// For a module that has nothing to set: whatever is set is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

/// Reads settings. The error names the setting, what is wrong with it, and what would be right.
///
/// ```
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(rename_all = "kebab-case", deny_unknown_fields)]
/// struct Settings { channel: String, null_labels: bool }
///
/// let error = sluicebox_sdk::settings::<Settings>(r#"{"channel":"events","null-labels":"yes"}"#).unwrap_err();
/// assert_eq!(error, "setting `null-labels`: invalid type: string \"yes\", expected a boolean");
///
/// let error = sluicebox_sdk::settings::<Settings>(r#"{"chanel":"events"}"#).unwrap_err();
/// assert_eq!(error, "settings: unknown field `chanel`, expected `channel` or `null-labels`: correct its name or remove it");
/// ```
pub fn settings<S: DeserializeOwned>(json: &str) -> Result<S, String> {
    serde_json::from_str(json).map_err(|error| explain(json, &error))
}

fn explain(json: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let cause = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(cause, _)| cause);
    let cure = if cause.starts_with("unknown field") {
        ": correct its name or remove it"
    } else if cause.starts_with("missing field") {
        ": add it"
    } else {
        ""
    };
    match path_at(json, error.line(), error.column()).as_str() {
        "" => format!("settings: {cause}{cure}"),
        path => format!("setting `{path}`: {cause}{cure}"),
    }
}

// The reader stops right behind the value that it does not like: whichever keys are open there lead to it.
fn path_at(json: &str, line: usize, column: usize) -> String {
    let before: usize = json
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let end = if line == 0 { 0 } else { before + column };
    let mut open: Vec<Option<&str>> = Vec::new();
    let mut last_text = None;
    let mut rest = json.get(..end).unwrap_or(json);
    while let Some(at) = rest.find(['{', '}', '[', ']', ',', ':', '"']) {
        let (token, after) = rest.split_at(at).1.split_at(1);
        rest = after;
        match token {
            "{" | "[" => open.push(None),
            "}" | "]" => drop(open.pop()),
            "," => open
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|key| *key = None),
            ":" => open
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|key| *key = last_text),
            _ => (last_text, rest) = text(rest),
        }
    }
    open.into_iter().flatten().collect::<Vec<_>>().join(".")
}

// What stands before the quote that ends the text, and what comes behind that quote.
fn text(rest: &str) -> (Option<&str>, &str) {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return (rest.get(..at), rest.get(at + 1..).unwrap_or_default()),
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    (None, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code, reason = "only read from JSON")]
    struct Settings {
        #[serde(default)]
        name: String,
        inner: Inner,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case", deny_unknown_fields)]
    #[allow(dead_code, reason = "only read from JSON")]
    struct Inner {
        numbers: Vec<u8>,
    }

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(settings::<Settings>(json).unwrap_err(), expected);
    }

    #[test]
    fn a_wrong_type_names_its_setting() {
        check(
            r#"{"name":1}"#,
            "setting `name`: invalid type: integer `1`, expected a string",
        );
    }

    #[test]
    fn an_inner_setting_is_named_with_its_parents() {
        check(
            r#"{"name":"a\"}b","inner":{"numbers":[1,256]}}"#,
            "setting `inner.numbers`: invalid value: integer `256`, expected u8",
        );
    }

    #[test]
    fn an_unknown_setting_is_named_with_those_that_exist() {
        check(
            r#"{"inner":{"number":[]}}"#,
            "setting `inner`: unknown field `number`, expected `numbers`: correct its name or remove it",
        );
    }

    #[test]
    fn a_missing_setting_is_to_be_added() {
        check(r#"{"name":""}"#, "settings: missing field `inner`: add it");
    }

    #[test]
    fn the_line_counts_where_there_are_several() {
        check(
            "{\n\"name\":\"\",\n\"inner\":7}",
            "setting `inner`: invalid type: integer `7`, expected struct Inner",
        );
    }

    #[test]
    fn nothing_to_set_refuses_everything() {
        assert_eq!(settings::<NoSettings>("{}"), Ok(NoSettings {}));
        let error = settings::<NoSettings>(r#"{"a":1}"#).unwrap_err();
        assert_eq!(
            error,
            "settings: unknown field `a`, there are no fields: correct its name or remove it"
        );
    }
}
