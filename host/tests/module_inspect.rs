//! `sluicebox module inspect` and `bench`: what an author is told about a component before it goes anywhere.

mod support;

use sluicebox::presets::PRESETS;
use support::author::run;
use support::{Place, module};

#[test]
fn every_preset_is_described_with_what_it_would_get() {
    let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    let mut arguments = vec!["inspect"];
    arguments.extend(&names);
    let said = run(&arguments);
    assert_eq!(said.code, 0, "{}", said.error);
    for name in names {
        let start = said.out.find(&format!("{name}\n  version ")).unwrap();
        let page = &said.out[start..];
        for line in ["  digest    sha256:", "  made for  sluicebox:module@0.2", "  imports   sluicebox:module/", "  limits    "] {
            assert!(page.contains(line), "{line} is missing for {name} in {page}");
        }
    }
    let exports = |page: &str| -> Vec<String> {
        let list = page.split_once("  exports   ").unwrap().1.split_once("\n  imports ").unwrap().0;
        list.lines().map(|line| line.trim().to_owned()).collect()
    };
    for page in said.out.split("\n  version ").skip(1) {
        let exports = exports(page);
        assert!(exports.len() > 1 && exports.is_sorted(), "{page}");
    }
    assert!(said.out.contains("memory 64MiB (a fresh instance above 48MiB), deadline 1s, start-deadline 5s"), "{}", said.out);
}

#[test]
fn what_a_refused_component_asks_for_is_shown_with_the_reason() {
    let place = Place::new();
    let path = place.path("sockets.wasm");
    let text = r#"(component (import "wasi:sockets/tcp@0.2.0" (instance (export "connect" (func)))) (import "wasi:cli/stdout@0.2.0" (instance $out (export "get" (func)))) (export "z" (instance $out)) (export "a" (instance $out)))"#;
    std::fs::write(&path, wat::parse_str(text).unwrap()).unwrap();
    let said = run(&["inspect", path.to_str().unwrap()]);
    assert_eq!(said.code, 2);
    assert!(said.out.contains("  imports   wasi:sockets/tcp@0.2.0\n            wasi:cli/stdout@0.2.0"), "{}", said.out);
    assert!(said.out.contains("  exports   a\n            z\n"), "{}", said.out);
    assert!(said.out.contains("  accepted  no"), "{}", said.out);
    assert!(said.error.contains("it imports wasi:sockets/tcp@0.2.0, wasi:cli/stdout@0.2.0; granted: "), "{}", said.error);
}

#[test]
fn the_language_and_the_tools_are_told_where_the_component_says_so() {
    // A section `producers` of the component itself: one field, one value. Of a small module within it would say nothing of the whole.
    let mut section = b"\x09producers\x01\x08language\x01\x04Rust\x061.95.0".to_vec();
    let mut component = std::fs::read(module("json-lines")).unwrap();
    component.push(0);
    component.push(u8::try_from(section.len()).unwrap());
    component.append(&mut section);
    let place = Place::new();
    let path = place.path("told.wasm");
    std::fs::write(&path, component).unwrap();
    let said = run(&["inspect", path.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.error);
    assert!(said.out.contains("Rust 1.95.0"), "{}", said.out);
}

#[test]
fn every_preset_is_measured_with_every_kind_of_event_that_it_takes() {
    for preset in PRESETS {
        let said = run(&["bench", preset.name, "--time", "20ms"]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.error);
        assert!(said.out.contains("NS/EVENT"), "{}", said.out);
    }
    let said = run(&["bench", "json-lines", "--time", "20ms"]);
    let is_warned = said.error.contains("warning: this program is a debug build");
    assert_eq!(is_warned, cfg!(debug_assertions), "{}", said.error);
    let row = |kind: &str| said.out.lines().find(|line| line.starts_with(kind)).unwrap().split_whitespace().collect::<Vec<_>>();
    for (kind, events, entries) in
        [("objects", "64", "64"), ("samples", "700", "100"), ("connections", "1000", "1000"), ("series", "200", "200")]
    {
        let row = row(kind);
        assert_eq!((row[1], row[5]), (events, entries), "{}", said.out);
        assert!(row[3].parse::<f64>().unwrap() > 0.0, "{}", said.out);
    }
}

#[test]
fn a_module_above_a_budget_is_a_failure_that_says_by_how_much() {
    let above = ["--budget-ns-per-event", "1", "--budget-memory", "1KiB", "--budget-size", "1KiB"];
    let mut arguments = vec!["bench", "telemd", "--time", "20ms"];
    arguments.extend(above);
    let said = run(&arguments);
    assert_eq!(said.code, 1, "{}{}", said.out, said.error);
    for part in [
        " ns for each event, more than 1\n",
        " bytes of memory, more than 1KiB\n",
        "error: over the budget: the component weighs ",
    ] {
        assert!(said.error.contains(part), "{part} is missing in {}", said.error);
    }
    let within = ["--budget-ns-per-event", "1e9", "--budget-memory", "64MiB", "--budget-size", "32MiB"];
    let mut arguments = vec!["bench", "telemd", "--time", "20ms"];
    arguments.extend(within);
    assert_eq!(run(&arguments).code, 0);
}

#[test]
fn the_events_of_cases_are_measured_and_refusals_are_left_out() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../modules/pod-metrics/cases");
    let said = run(&["bench", "pod-metrics", "--events", cases, "--time", "1ms"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    assert!(said.out.lines().count() > 10, "{}", said.out);
    let refused: Vec<&str> = said.out.lines().filter(|line| line.contains("refused")).collect();
    // What stands before the refusal in one of them is measured, and that alone.
    let [only] = refused.as_slice() else { panic!("{refused:?}") };
    let words: Vec<&str> = only.split_whitespace().collect();
    assert_eq!(words[..2], ["a_fresh_instance_goes_on_and_what_was_never_defined_is_refused", "2"], "{}", said.out);
    let left_out = format!("warning: not measured: {}: step 6 is refused\n", words[0]);
    assert!(said.error.contains(&left_out), "{}", said.error);
    assert!(said.error.contains("warning: not measured: cases in which the module refuses to start: 17\n"), "{}", said.error);
    // A kind that the module does not take is nothing to measure.
    let said = run(&["bench", "galileo-events", "--events", cases]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.error.contains("nothing was measured"), "{}", said.error);
}

#[test]
fn what_stands_beside_a_refused_step_is_measured_and_the_step_is_named() {
    let place = Place::new();
    let pod = r#"{"pod": {"change": "added", "pod": {"uid": "u1", "name": "web"}}}"#;
    let tick = r#""tick": {"online-cpus": 1, "samples": [{"subject": 1, "memory-usage": 7}]}"#;
    let steps = [
        r#"{"define": [{"id": 1, "kind": "container", "uid": "c", "namespace": "n", "name": "app"}]}"#.to_owned(),
        format!(r#"{{{tick}, "expect": []}}"#),
        format!(r#"{{{tick}, "expect-error": "something"}}"#),
        format!(r#"{{{tick}, "expect": []}}"#),
        format!(r#"{{"events": [{pod}], "expect": []}}"#),
    ];
    let case = |name: &str, steps: &[String], more: &str| {
        std::fs::write(place.path(name), format!(r#"{{"about": "", {more} "steps": [{}]}}"#, steps.join(", "))).unwrap();
    };
    std::fs::create_dir(place.path("cases")).unwrap();
    case("cases/all.json", &steps, "");
    case("cases/refused.json", &[steps[0].clone(), steps[2].clone()], "");
    case("cases/start.json", &[], r#""start-error": "no","#);
    let cases = place.path("cases");
    let said = run(&["bench", "json-lines", "--events", cases.to_str().unwrap(), "--time", "1ms"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.error);
    let row: Vec<&str> = said.out.lines().find(|line| line.starts_with("all ")).unwrap().split_whitespace().collect();
    // Those before and behind it, and no more.
    assert_eq!(row[1], "2", "{}", said.out);
    assert!(!said.out.contains("refused") && !said.out.contains("start"), "{}", said.out);
    for line in [
        "warning: not measured: all: step 3 is refused, step 5 is of a kind that the module does not take\n",
        "warning: not measured: refused: step 2 is refused\n",
        "warning: not measured: cases in which the module refuses to start: 1\n",
    ] {
        assert!(said.error.contains(line), "{line} is missing in {}", said.error);
    }
    // Nor can a budget be kept by what is not measured.
    let over =
        run(&["bench", "json-lines", "--events", cases.to_str().unwrap(), "--time", "1ms", "--budget-ns-per-event", "0.001"]);
    assert_eq!(over.code, 1, "{}{}", over.out, over.error);
    assert!(over.error.contains("over the budget: all takes "), "{}", over.error);
}

#[test]
fn of_a_directory_the_file_is_told_that_was_read() {
    let place = Place::new();
    let (folder, file) = (place.path("m"), place.path("m/lines-1.2.wasm"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::copy(module("json-lines"), &file).unwrap();
    let (folder, file) = (folder.to_str().unwrap(), file.to_str().unwrap());
    let said = run(&["inspect", folder]);
    assert_eq!(said.code, 0, "{}", said.error);
    assert!(said.out.contains(&format!("\n  file      {file}\n")), "{}", said.out);
    let said = run(&["bench", folder, "--time", "1ms"]);
    assert_eq!(said.code, 0, "{}", said.error);
    assert!(said.out.starts_with(&format!("{file} ")), "{}", said.out);
    assert!(!run(&["inspect", file]).out.contains("  file "));
}

#[test]
fn a_signature_beside_a_component_is_told() {
    let place = Place::new();
    let file = place.path("lines.wasm");
    std::fs::copy(module("json-lines"), &file).unwrap();
    let signature = place.path("lines.wasm.sig");
    let line = || {
        let said = run(&["inspect", file.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{}", said.error);
        said.out.lines().find_map(|line| line.strip_prefix("  signature ")).unwrap().to_owned()
    };
    let path = signature.display();
    assert_eq!(line(), format!("none: there is no {path}"));
    std::fs::write(&signature, "aGVsbG8=").unwrap();
    assert_eq!(line(), format!("none: {path} is no signature: it is base64 of 5 bytes, and a signature has 64"));
    std::fs::write(&signature, [7; 64]).unwrap();
    assert_eq!(line(), format!("{path}; `sluicebox module verify` says whether it is a key's"));
    assert!(!run(&["inspect", "json-lines"]).out.contains("  signature "));
}
