//! The configuration explained: as JSON Schema for editors, and from the same source as a page for people.

use std::fmt::Write as _;
use std::process::ExitCode;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use crate::cli::SchemaArguments;
use crate::config::Config;
use crate::say;

/// The JSON Schema (draft 2020-12).
pub fn schema() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Config>().to_value()
}

/// The reference page, in Markdown.
pub fn reference() -> String {
    let schema = schema();
    let mut page =
        Page { definitions: schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default(), text: String::new() };
    page.text.push_str(
        "# Configuration\n\n\
         <!-- Made by `sluicebox schema --reference` from the program itself; a test compares them. Do not edit. -->\n\n\
         One YAML file. `${NAME}` is replaced by the environment variable, `${NAME:-default}` has a default, `$$` is one `$`. \
         Unknown fields are refused. `sluicebox check FILE` finds every mistake; `sluicebox schema` prints this as JSON Schema.\n\n\
         Times are written like `500ms`, `10s`, `1m30s`; sizes like `512KiB`, `64MiB`.\n",
    );
    page.section("", &schema);
    page.text
}

struct Page {
    definitions: Map<String, Value>,
    text: String,
}

impl Page {
    /// A heading with a table of fields, then a section for each field that has fields itself.
    fn section(&mut self, path: &str, schema: &Value) {
        let schema = self.resolve(schema);
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return;
        };
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        if !path.is_empty() {
            let _infallible = write!(self.text, "\n## `{path}`\n\n{}\n", description(&schema));
        }
        self.text.push_str("\n| field | value | default | meaning |\n| --- | --- | --- | --- |\n");
        let mut inner = Vec::new();
        for (name, field) in properties {
            let default = match Self::default(field) {
                _ if required.contains(&name.as_str()) => "required".to_owned(),
                Some(value) => format!("`{value}`"),
                None => String::new(),
            };
            let meaning = description(field).replace('\n', " ").replace('|', "\\|");
            let kind = self.kind(field).replace('|', "\\|");
            let _infallible = writeln!(self.text, "| `{name}` | {kind} | {default} | {meaning} |");
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            inner.extend(self.inner(&path, field));
        }
        for (path, field) in inner {
            self.section(&path, &field);
        }
    }

    /// The sections that a field leads to.
    fn inner(&self, path: &str, field: &Value) -> Vec<(String, Value)> {
        let field = self.resolve(field);
        if field.get("properties").is_some() {
            return vec![(path.to_owned(), field)];
        }
        if let Some(values) = field.get("additionalProperties").filter(|values| values.is_object()) {
            return self.inner(&format!("{path}.<name>"), values);
        }
        if let Some(items) = field.get("items") {
            return self.inner(&format!("{path}[]"), items);
        }
        let choices = ["anyOf", "oneOf"].into_iter().filter_map(|key| field.get(key)?.as_array()).flatten();
        choices.flat_map(|choice| self.inner(path, choice)).collect()
    }

    fn resolve(&self, schema: &Value) -> Value {
        let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/")) else {
            return schema.clone();
        };
        self.definitions.get(name).cloned().unwrap_or_default()
    }

    fn default(field: &Value) -> Option<String> {
        match field.get("default")? {
            Value::Null => None,
            Value::Object(fields) if fields.is_empty() || field.get("$ref").is_some() => None,
            value => Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        }
    }

    fn kind(&self, field: &Value) -> String {
        match field.get("format").and_then(Value::as_str) {
            Some("time-span") => return "time".to_owned(),
            Some("byte-size") => return "size".to_owned(),
            _ => {}
        }
        let field = self.resolve(field);
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = field.get(key).and_then(Value::as_array) {
                let mut kinds: Vec<String> =
                    choices.iter().map(|choice| self.kind(choice)).filter(|kind| kind != "null").collect();
                kinds.dedup();
                return kinds.join(" or ");
            }
        }
        if let Some(value) = field.get("const") {
            return format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        if let Some(values) = field.get("enum").and_then(Value::as_array) {
            return values.iter().filter_map(Value::as_str).map(|value| format!("`{value}`")).collect::<Vec<_>>().join(" or ");
        }
        self.plain_kind(&field)
    }

    fn plain_kind(&self, field: &Value) -> String {
        let kinds: Vec<&str> = match field.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect(),
            _ => vec!["any"],
        };
        let named = kinds.iter().map(|kind| match *kind {
            "string" => "text".to_owned(),
            "integer" | "number" => "number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => match field.get("items") {
                Some(items) => format!("list of {}", self.kind(items)),
                None => "list".to_owned(),
            },
            "object" => match field.get("properties").and_then(Value::as_object) {
                Some(fields) if fields.len() == 1 => {
                    format!("`{}: …`", fields.keys().next().map_or("", String::as_str))
                }
                Some(_) => "section".to_owned(),
                None if field.pointer("/additionalProperties/type").is_some_and(|kind| kind == "string") => {
                    "text by name".to_owned()
                }
                None if field.pointer("/additionalProperties/type").is_some_and(|kind| kind == "array") => {
                    format!(
                        "{} by name",
                        field.get("additionalProperties").map_or_else(String::new, |list| self.plain_kind(list))
                    )
                }
                None => "sections by name".to_owned(),
            },
            other => other.to_owned(),
        });
        named.collect::<Vec<_>>().join(" or ")
    }
}

fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// What `sluicebox schema` does.
pub fn print(arguments: &SchemaArguments) -> ExitCode {
    let text = if arguments.reference { reference() } else { format!("{:#}\n", schema()) };
    say::line(text.trim_end());
    ExitCode::SUCCESS
}
