//! Fields of an object that are told with its subject, as the configuration names them.

use sluicebox_contract::text::in_few_words;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Problem;

/// Each of them crosses to every module with every subject.
const MOST: usize = 32;
const LONGEST_NAME: usize = 63;
/// A longer one is left out: cut off, it would look like another one.
const LONGEST_VALUE: usize = 4 << 10;

/// Names, and where in the API's JSON the value of each stands: JSON Pointers (RFC 6901), such as `/spec/containers/0/image` or
/// `/metadata/labels/topology.kubernetes.io~1zone`, where `~1` is a slash.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Attributes(BTreeMap<String, String>);

impl Attributes {
    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every mistake that can be seen without an object; `field` is where these stand in the configuration.
    pub(crate) fn problems(&self, field: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.0.len() > MOST {
            let cause = format!("{} are more than {MOST}", self.0.len());
            problems.push(Problem::new(field, cause, "name a whole object, such as `/metadata/labels`, in place of its parts"));
        }
        for (name, pointer) in &self.0 {
            let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_good) {
                let cause = format!("`{name}` is no name of an attribute");
                problems.push(Problem::new(field, cause, "use 1 to 63 of the letters a to z, digits and `-`"));
                continue;
            }
            let field = format!("{field}.{name}");
            if !pointer.starts_with('/') {
                let cause = format!("`{pointer}` does not begin with `/`");
                problems.push(Problem::new(field, cause, "write where the value stands, such as `/metadata/labels/app`"));
            } else if pointer.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
                let cause = format!("`{pointer}` has a `~` that stands for nothing");
                problems.push(Problem::new(field, cause, "write `~1` for a slash in a name, and `~0` for `~`"));
            }
        }
        problems
    }

    /// What an object has of them, sorted by name. Texts are told as they are, objects and lists as JSON; what is missing or null is left
    /// out, and so is what is too long, which is named in `refused`.
    pub(crate) fn read(&self, json: &str, refused: &mut Vec<String>) -> Vec<(String, String)> {
        if self.is_empty() {
            return Vec::new();
        }
        let object: Value = match serde_json::from_str(json) {
            Ok(object) => object,
            Err(error) => {
                refused.push(format!("its attributes: {}", in_few_words(error)));
                return Vec::new();
            }
        };
        let mut read = |(name, pointer): (&String, &String)| {
            let value = text(object.pointer(pointer)?)?;
            if value.len() > LONGEST_VALUE {
                refused.push(format!("the attribute `{name}`: it has {} bytes, which is more than {LONGEST_VALUE}", value.len()));
                return None;
            }
            Some((name.clone(), value))
        };
        self.0.iter().filter_map(&mut read).collect()
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = r#"{"metadata":{"name":"p","labels":{"topology.kubernetes.io/zone":"a","a~b":"t","empty":""}},
        "spec":{"containers":[{"image":"nginx:1"}],"priority":10,"hostNetwork":true,"nodeName":null,"overhead":{"b":1,"a":[1.50, null]}}}"#;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        Attributes(pairs.iter().map(|(name, pointer)| ((*name).to_owned(), (*pointer).to_owned())).collect())
    }

    fn read(pointer: &str) -> Option<String> {
        let mut refused = Vec::new();
        let read = attributes(&[("a", pointer)]).read(POD, &mut refused);
        assert!(refused.is_empty(), "{refused:?}");
        read.into_iter().next().map(|(_, value)| value)
    }

    #[test]
    fn values_are_told_as_texts() {
        for (pointer, value) in [
            ("/metadata/labels/topology.kubernetes.io~1zone", Some("a")),
            ("/metadata/labels/a~0b", Some("t")),
            ("/metadata/labels/empty", Some("")),
            ("/spec/containers/0/image", Some("nginx:1")),
            ("/spec/priority", Some("10")),
            ("/spec/hostNetwork", Some("true")),
            ("/spec/overhead", Some(r#"{"b":1,"a":[1.5,null]}"#)),
            ("/spec/nodeName", None),
            ("/spec/containers/1/image", None),
            ("/spec/containers/image", None),
            ("/status", None),
        ] {
            assert_eq!(read(pointer).as_deref(), value, "{pointer}");
        }
    }

    #[test]
    fn they_are_sorted_by_name() {
        let read = attributes(&[("z", "/metadata/name"), ("b", "/spec/priority")]).read(POD, &mut Vec::new());
        assert_eq!(read, [("b".to_owned(), "10".to_owned()), ("z".to_owned(), "p".to_owned())]);
    }

    #[test]
    fn what_is_too_long_is_left_out_and_named() {
        let json = format!(r#"{{"long":"{}","just":"{}"}}"#, "x".repeat(LONGEST_VALUE + 1), "x".repeat(LONGEST_VALUE));
        let mut refused = Vec::new();
        let read = attributes(&[("just", "/just"), ("long", "/long")]).read(&json, &mut refused);
        assert_eq!(read.len(), 1);
        assert_eq!(refused, ["the attribute `long`: it has 4097 bytes, which is more than 4096"]);
    }

    #[test]
    fn mistakes_name_their_cure() {
        let mistakes = |pairs: &[(&str, &str)]| -> Vec<String> {
            let problems = attributes(pairs).problems("attributes");
            problems.into_iter().map(|problem| format!("{}: {}", problem.field, problem.cause)).collect()
        };
        assert_eq!(mistakes(&[("zone", "/a/b~1c"), ("tilde-0", "/~0~1")]), [""; 0]);
        assert_eq!(mistakes(&[("zone", "a")]), ["attributes.zone: `a` does not begin with `/`"]);
        assert_eq!(mistakes(&[("zone", "")]), ["attributes.zone: `` does not begin with `/`"]);
        for pointer in ["/a~", "/a~2", "/~0~"] {
            assert_eq!(mistakes(&[("zone", pointer)]).len(), 1, "{pointer}");
        }
        for name in ["", "Zone", "a.b", "a_b", &"a".repeat(64)] {
            assert_eq!(mistakes(&[(name, "/a")]), [format!("attributes: `{name}` is no name of an attribute")]);
        }
        let many: Vec<(String, &str)> = (0..33).map(|number| (format!("a{number}"), "/a")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(name, pointer)| (name.as_str(), *pointer)).collect();
        assert_eq!(mistakes(&many), ["attributes: 33 are more than 32"]);
    }
}
