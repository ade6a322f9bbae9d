//! `sluicebox module test`: the presets' cases through the program itself, and what a person sees when something else comes.

mod support;

use std::path::{Path, PathBuf};

use sluicebox::presets::PRESETS;
use support::author::run;
use support::{Place, module};

/// A case of `json-lines` that expects this of a pod.
fn case(expect: &str) -> String {
    format!(
        "{{\n  \"about\": \"A pod has a line.\",\n  \"settings\": {{\"fields\":   \"compact\"}},\n  \"steps\": [\n    {{\n      \"events\": \
         [{{\"object\": {{\"change\": \"added\", \"json\": {{\"kind\": \"Pod\", \"metadata\": {{\"uid\": \"u\", \"namespace\": \"shop\", \
         \"name\": \"web\"}}, \"status\": {{\"phase\": \"Running\"}}}}}}}}]{expect}\n    }}\n  ]\n}}\n"
    )
}

fn write(place: &Place, text: &str) -> PathBuf {
    let path = place.path("a_pod_has_a_line.json");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_cases_of_every_preset_hold() {
    for preset in PRESETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules").join(preset.name);
        let said = run(&["test", folder.to_str().unwrap(), "--module", preset.name]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.error);
        assert!(said.out.ends_with(" as expected\n"), "{}", said.out);
    }
}

#[test]
fn a_difference_is_shown_line_by_line() {
    let place = Place::new();
    let expected = ",\n      \"expect\": [{\"message\": {\"key\": \"v\", \"body\": [{\"line\": {\"phase\": \"Pending\"}}]}}]";
    let path = write(&place, &case(expected));
    let said = run(&["test", path.to_str().unwrap(), "--module", module("json-lines").to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}", said.error);
    assert!(
        said.out.contains("a_pod_has_a_line.json ... DIFFERS\n  A pod has a line.\n  step 1: 1 entry expected"),
        "{}",
        said.out
    );
    for line in
        ["    -     \"key\": \"v\",", "    +     \"key\": \"u\",", "^", "1 case: 0 as expected, 1 with differences", "`--bless`"]
    {
        assert!(said.out.contains(line), "{line} is missing in {}", said.out);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), case(expected));
}

#[test]
fn what_came_is_blessed_and_the_rest_of_the_file_stays() {
    let place = Place::new();
    let path = write(&place, &case(""));
    let arguments = ["test", path.to_str().unwrap(), "--module", "json-lines", "--bless"];
    let said = run(&arguments);
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    assert!(said.out.contains("1 case: 0 as expected, 1 blessed"), "{}", said.out);
    let blessed = std::fs::read_to_string(&path).unwrap();
    let (before, after) = blessed.split_once(",\n      \"expect\": ").unwrap();
    let old = case("");
    assert!(old.starts_with(before), "{blessed}");
    assert!(after.ends_with("\n    }\n  ]\n}\n"), "{blessed}");
    assert!(after.contains("\"kind\": \"pod\""), "a body of JSON is written as JSON: {blessed}");
    assert_eq!(run(&arguments[..4]).code, 0);
    // A second blessing has nothing to write.
    assert_eq!(run(&arguments).out, format!("{} ... ok\n\n1 case: 1 as expected\n", path.display()));
}

#[test]
fn a_case_that_cannot_be_read_is_told_and_the_others_run() {
    let place = Place::new();
    write(&place, &case(",\n      \"expect\": []"));
    for (name, text) in [("b.json", "{\"about\": 1}"), ("c.json", "{\"about\": \"\", \"steps\": [{\"tick\": {\"cpus\": 1}}]}")] {
        std::fs::write(place.path(name), text).unwrap();
    }
    let said = run(&["test", place.path("").to_str().unwrap(), "--module", "json-lines"]);
    assert_eq!(said.code, 2, "{}", said.error);
    assert!(said.out.contains("3 cases: 0 as expected, 1 with differences, 2 unreadable"), "{}", said.out);
    assert!(said.error.contains("b.json: invalid type: integer `1`, expected a string at line 1 column 11"), "{}", said.error);
    assert!(said.error.contains("c.json: step 1: unknown field `cpus`"), "{}", said.error);
}

#[test]
fn a_module_that_fails_is_neither_expected_nor_blessed() {
    let place = Place::new();
    let path = place.path("trap.json");
    let text = r#"{"about": "", "settings": {"evil": "panic"}, "steps": [
        {"events": [{"pod": {"change": "added", "pod": {"uid": "u", "namespace": "n", "name": "p"}}}], "expect": []}]}"#;
    std::fs::write(&path, text).unwrap();
    let said = run(&["test", path.to_str().unwrap(), "--module", module("hostile").to_str().unwrap(), "--bless"]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.error);
    assert!(said.out.contains("it failed: cannot "), "{}", said.out);
    assert!(said.out.contains("not blessed: a module that fails is not what a case can expect"), "{}", said.out);
    // Without the wish to bless it, that is no way out either.
    let said = run(&["test", path.to_str().unwrap(), "--module", module("hostile").to_str().unwrap()]);
    assert_eq!(said.code, 1, "{}{}", said.out, said.error);
    assert!(!said.out.contains("--bless") && said.out.contains("hint: what a module fails of is never blessed"), "{}", said.out);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_is_no_module_and_what_has_no_cases_is_told_with_the_cure() {
    let place = Place::new();
    let path = write(&place, &case(""));
    let said = run(&["test", path.to_str().unwrap(), "--module", "jsonlines"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("error: cannot load module `jsonlines`: cannot read jsonlines"), "{}", said.error);
    assert!(said.error.contains("`sluicebox modules` lists the presets"), "{}", said.error);
    let empty = place.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = run(&["test", empty.to_str().unwrap(), "--module", "json-lines"]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("hint: a case is a file whose name ends with .json"), "{}", said.error);
}
