//! The configuration as users meet it: every mistake at once with line, cause and cure; the reference page; the READMEs' examples.

mod support;

use std::path::Path;

use support::{Place, sluicebox};

fn check(text: &str) -> (Option<i32>, String) {
    let place = Place::new();
    let path = place.path("sluicebox.yaml");
    std::fs::write(&path, text).unwrap();
    let output = sluicebox(&["check", path.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), said.replace(path.to_str().unwrap(), "FILE"))
}

#[test]
fn all_mistakes_are_named_at_once_with_line_cause_and_cure() {
    let (code, said) = check(
        "node-name: n1
kubernetes:
  access: urll
sources:
  pods: {scope: nod}
  services: {}
modules:
  a:
    use: galileo-event
    to: [outt]
    batch: 0
  b:
    use: fluent-bit-meta
    settings: {retention: soon}
    to: [out]
  c:
    use: ./missing.wasm
    to: [out]
sinks:
  out: {stdouts: {}}
  two: {stdout: {}, files: {directory: /tmp/x}}
admin:
  listen: ${SLUICEBOX_NOT_SET}
",
    );
    assert_eq!(code, Some(2), "{said}");
    let expected = [
        ("line 3: `kubernetes.access`: unknown variant `urll`", "did you mean `url`?"),
        ("line 5: `sources.pods.scope`: unknown variant `nod`", "did you mean `node`?"),
        ("line 6: `sources.services`: unknown field `services`", "line 9"),
        ("line 9: `modules.a.use`: there is no preset `galileo-event`", "did you mean `galileo-events`?"),
        ("line 10: `modules.a.to.0`: there is no sink `outt`", "name one of those there: `out`, `two`"),
        ("line 11: `modules.a.batch`: 0 is not between 1 and 4096", "leave it out for 64"),
        ("line 14: `modules.b.settings`: ", "retention"),
        ("line 17: `modules.c.use`: cannot read ./missing.wasm", "does the file exist"),
        ("line 20: `sinks.out.stdouts`: unknown field `stdouts`", "did you mean `stdout`?"),
        ("line 21: `sinks.two`: a sink is exactly one of", "name one kind"),
        ("line 23: the environment variable `SLUICEBOX_NOT_SET` is not set", "${SLUICEBOX_NOT_SET:-…}"),
    ];
    let mut rest = said.as_str();
    for (mistake, cure) in expected {
        let begin = rest.find(mistake).unwrap_or_else(|| panic!("`{mistake}` is missing, or not in its order, in:\n{said}"));
        rest = rest.get(begin..).unwrap();
        assert!(rest.contains(cure), "`{cure}` does not follow `{mistake}` in:\n{said}");
    }
}

#[test]
fn a_right_configuration_is_said_to_be_right() {
    let (code, said) =
        check("node-name: n1\nsources: {pods: }\nmodules: {a: {use: json-lines, to: [out]}}\nsinks: {out: {stdout: }}\n");
    assert_eq!((code, said.as_str()), (Some(0), "FILE is right: a (json-lines from pods to out)\n"));
}

#[test]
fn an_empty_configuration_says_what_to_add() {
    let (code, said) = check("");
    assert_eq!(code, Some(2));
    for part in ["no source is configured", "no module is configured", "no sink is configured", "sources: {pods: {}}"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_missing_file_is_named_and_exits_2_for_run_as_well() {
    for command in ["run", "check"] {
        let output = sluicebox(&[command, "/no/such/file.yaml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("/no/such/file.yaml") && said.contains("hint"), "{said}");
    }
}

#[test]
fn the_reference_page_is_true() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFIGURATION.md");
    let output = sluicebox(&["schema", "--reference"]);
    let expected = String::from_utf8(output.stdout).unwrap();
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == expected,
        "host/CONFIGURATION.md is out of date: run `cargo run -p sluicebox -- schema --reference > host/CONFIGURATION.md`"
    );
}

#[test]
fn every_field_of_the_schema_is_explained() {
    let output = sluicebox(&["schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut unexplained = Vec::new();
    look(&schema, "", &mut unexplained);
    assert!(unexplained.is_empty(), "no text for {unexplained:?}");
    assert!(schema["properties"]["modules"].is_object());
}

/// Collects the fields that have no description, neither of their own nor of their type.
fn look(value: &serde_json::Value, path: &str, unexplained: &mut Vec<String>) {
    if let Some(fields) = value.get("properties").and_then(serde_json::Value::as_object) {
        for (name, field) in fields {
            if field.get("description").is_none() {
                unexplained.push(format!("{path}/{name}"));
            }
        }
    }
    match value {
        serde_json::Value::Object(fields) => {
            for (name, inner) in fields {
                look(inner, &format!("{path}/{name}"), unexplained);
            }
        }
        serde_json::Value::Array(items) => {
            for inner in items {
                look(inner, path, unexplained);
            }
        }
        _ => {}
    }
}

/// The YAML blocks of a README that hold a whole configuration.
fn examples(readme: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(readme).unwrap();
    let blocks = text.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.filter(|block| block.contains("sinks:") && block.contains("modules:")).map(str::to_owned).collect()
}

#[test]
fn the_examples_in_the_readmes_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut count = 0;
    for readme in
        ["README.md", "modules/galileo-events/README.md", "modules/fluent-bit-meta/README.md", "modules/json-lines/README.md"]
    {
        let found = examples(&root.join(readme));
        assert!(!found.is_empty(), "{readme} has no whole configuration");
        for example in found {
            let (code, said) = check(&format!("node-name: n1\n{}", example.replace("node-name: ${NODE_NAME}\n", "")));
            assert_eq!(code, Some(0), "{readme}:\n{example}\n{said}");
            count += 1;
        }
    }
    assert!(count >= 4);
}

#[test]
fn modules_are_listed_and_described() {
    let list = String::from_utf8(sluicebox(&["modules"]).stdout).unwrap();
    for preset in ["galileo-events", "fluent-bit-meta", "json-lines"] {
        assert!(list.contains(preset), "{list}");
    }
    let page = String::from_utf8(sluicebox(&["modules", "galileo-events"]).stdout).unwrap();
    for part in ["weighs", "sha256:", "sluicebox:module/pod-handler@0.2.0", "sluicebox:module/log@0.2.0", "pods, objects"] {
        assert!(page.contains(part), "`{part}` is not in:\n{page}");
    }
    let missing = sluicebox(&["modules", "./missing.wasm"]);
    assert_eq!(missing.status.code(), Some(2));
}
