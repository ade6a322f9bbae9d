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
    let mut json = serde_json::Deserializer::from_str(json);
    serde_path_to_error::deserialize(&mut json).map_err(|error| explain(&error.path().to_string(), &error.inner().to_string()))
}

fn explain(path: &str, error: &str) -> String {
    let cause = error.rsplit_once(" at line ").map_or(error, |(cause, _)| cause);
    // A field that is unknown or missing is named in the cause; the path ends at it or at what should hold it.
    let (path, cure) = if cause.starts_with("unknown field") {
        (path.rsplit_once('.').map_or("", |(parent, _)| parent), ": correct its name or remove it")
    } else if cause.starts_with("missing field") {
        (path, ": add it")
    } else {
        (path, "")
    };
    match path {
        "" | "." => format!("settings: {cause}{cure}"),
        path => format!("setting `{path}`: {cause}{cure}"),
    }
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
        check(r#"{"name":1}"#, "setting `name`: invalid type: integer `1`, expected a string");
    }

    #[test]
    fn an_inner_setting_is_named_with_its_parents() {
        check(
            r#"{"name":"a\"}b","inner":{"numbers":[1,256]}}"#,
            "setting `inner.numbers[1]`: invalid value: integer `256`, expected u8",
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
        check("{\n\"name\":\"\",\n\"inner\":7}", "setting `inner`: invalid type: integer `7`, expected struct Inner");
    }

    #[test]
    fn nothing_to_set_refuses_everything() {
        assert_eq!(settings::<NoSettings>("{}"), Ok(NoSettings {}));
        let error = settings::<NoSettings>(r#"{"a":1}"#).unwrap_err();
        assert_eq!(error, "settings: unknown field `a`, there are no fields: correct its name or remove it");
    }
}
