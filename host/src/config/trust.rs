//! Whom modules are trusted from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Who signs modules, and which modules must be signed. A change is taken while the program runs; what runs by then goes on, whoever has
/// signed it, and what is put in place from then on must have what is demanded.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Trust {
    /// Public keys (ed25519) by the names that `signed-by` has for them: PEM, from `-----BEGIN PUBLIC KEY-----` to the end, as
    /// `sluicebox module keygen` and `openssl pkey -pubout` print it.
    pub keys: BTreeMap<String, String>,
    /// The keys of which one must have signed each module that comes from a file, a directory or a registry, unless the module's own
    /// `signed-by` says otherwise: a name or a list. Without it no module needs a signature. Presets are a part of the program and need none.
    pub signed_by: Names,
}

/// A text, or a list of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(pub Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Names;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or a list of strings")
    }

    fn visit_str<E>(self, text: &str) -> Result<Names, E> {
        Ok(Names(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = list.next_element()? {
            names.push(name);
        }
        Ok(Names(names))
    }
}

impl JsonSchema for Names {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Names".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
    }
}

impl serde::Serialize for Names {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_needs_no_list() {
        let names = |text| serde_json::from_str::<Names>(text).map(|Names(names)| names);
        assert_eq!(names("\"a\"").unwrap(), ["a"]);
        assert_eq!(names("[\"a\", \"b\"]").unwrap(), ["a", "b"]);
        assert_eq!(
            names("7").unwrap_err().to_string(),
            "invalid type: integer `7`, expected a string or a list of strings at line 1 column 1"
        );
    }
}
