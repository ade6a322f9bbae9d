//! Every tool of `sluicebox module` on every preset, and on the example in each language: the same module, so the same words.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use sluicebox::presets::PRESETS;
use sluicebox_testkit::http::{Answer as Told, PageServer};
use sluicebox_testkit::servers::{Need, example, require};
use sluicebox_testkit::tracer::{Answer as Reported, SIX, Tracer};
use support::author::{Said, run};
use support::machine::Machine;
use support::{Place, SLOW, pending};

fn sources(inside: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(inside)
}

/// It went well, and what it said.
fn done(arguments: &[&str]) -> String {
    let Said { code, out, error } = run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    out
}

/// The case, with something else expected of its first batch that is not refused.
fn spoiled(path: &Path) -> Option<Value> {
    let mut case: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut steps = case.get_mut("steps")?.as_array_mut()?.iter_mut();
    let step = steps.find(|step| step.get("expect").and_then(Value::as_array).is_some_and(|expect| !expect.is_empty()))?;
    step["expect"] = json!([{"message": {"body": "something else"}}]);
    Some(case)
}

/// `test`, `inspect`, `bench` and `replay`, on cases that are there.
fn tried(module: &str, cases: &Path) {
    let cases = cases.to_str().unwrap();
    assert!(done(&["test", cases, "--module", module]).ends_with(" as expected\n"), "{module}");
    assert!(done(&["inspect", module]).contains("  handles   "), "{module}");
    // Each of them compiles the module, which takes long for a large one: so the table is read where the budget is broken.
    let within = ["--budget-size", "32MiB", "--budget-memory", "64MiB"];
    let over = run(&[&["bench", module, "--time", "10ms", "--budget-ns-per-event", "0.001"][..], &within].concat());
    assert_eq!(over.code, 1, "{module}: {}{}", over.out, over.error);
    assert!(over.out.contains("NS/EVENT"), "{module}: {}", over.out);
    let complaints: Vec<&str> = over.error.lines().filter(|line| line.starts_with("error: over the budget: ")).collect();
    assert!(!complaints.is_empty(), "{module}: {}", over.error);
    assert!(complaints.iter().all(|line| line.contains(" ns for each event, more than 0.001")), "{module}: {}", over.error);

    let place = Place::new();
    let mut differed = 0;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    for path in paths {
        let Some(case) = spoiled(&path) else { continue };
        if differed == 0 {
            // What is refused is told, and is no success: so only a case that has entries.
            let replayed = run(&["replay", path.to_str().unwrap(), "--module", module]);
            let lines: Vec<Value> = replayed.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(!lines.is_empty(), "{module}: {}: {}", path.display(), replayed.error);
        }
        let file = place.path("spoiled.json");
        std::fs::write(&file, case.to_string()).unwrap();
        let said = run(&["test", file.to_str().unwrap(), "--module", module]);
        assert_eq!(said.code, 1, "{module}: {}", said.error);
        for part in
            ["spoiled.json ... DIFFERS", " expected, ", "\n    -     \"body\": \"something else\"", "\n    + ", "`--bless`"]
        {
            assert!(said.out.contains(part), "{module}: {part} is missing in {}", said.out);
        }
        differed += 1;
        if differed == 3 {
            break;
        }
    }
    assert!(differed > 0, "{module}");
}

/// Everything that a module may be told of: a cluster, a node whose groups use something, a tracer, a page of metrics.
struct World {
    machine: Machine,
    _tracer: Tracer,
    page: PageServer,
    sources: String,
}

impl World {
    async fn new() -> Self {
        let machine = Machine::new().await;
        machine.pod(7, 1);
        let socket = machine.place.path("tracer.sock");
        let tracer = Tracer::start(&socket, Reported::Report(SIX.into())).unwrap();
        let text = "# TYPE container_cpu_usage_seconds_total counter\n\
                    container_cpu_usage_seconds_total{container=\"app\",image=\"i\",namespace=\"shop\",pod=\"page-1\"} 5\n";
        let page = PageServer::start(Told::Report(text.into())).await.unwrap();
        let sources = format!(
            "sources:\n  pods: {{}}\n  services: {{}}\n  nodes: {{}}\n  namespaces: {{}}\n  inventory: {{period: 1s}}\n\
             \x20 cgroups: {{period: 500ms, root: \"{}\"}}\n  tracer: {{socket: \"{}\", period: 500ms}}\n\
             \x20 scrape: {{targets: {{page: {{url: \"http://{}/metrics\", period: 500ms}}}}}}\n",
            machine.kubelet.root().display(),
            socket.display(),
            page.address(),
        );
        Self { machine, _tracer: tracer, page, sources }
    }
}

/// The module in a lane of a collector that runs: `record`, then `test --bless` and `replay` with what was recorded. Gives the kinds of
/// steps that the case has.
async fn recorded(module: &str) -> BTreeSet<String> {
    let world = World::new().await;
    let place = &world.machine.place;
    let rest = format!(
        "{}modules: {{lines: {{use: {module}, settings: {}, to: [out]}}}}\nsinks: {{out: {{stdout: {{}}}}}}\n",
        world.sources,
        settings(module),
    );
    let mut program = place.run(&place.configure(&world.machine.api.url(), &rest));
    program.until_ready(SLOW).await.unwrap();
    let (state, case) = (place.path("state"), place.path("real.json"));
    let tool = module.to_owned();
    let path = case.clone();
    let tools = tokio::task::spawn_blocking(move || {
        let (state, case) = (state.to_str().unwrap(), path.to_str().unwrap());
        let record = ["record", "--state-directory", state, "--lane", "lines", "--output", case];
        let said = done(&[&record[..], &["--number", "5000", "--time", "3s", "--redact", "name"]].concat());
        assert!(said.contains(" steps of lane `lines`"), "{tool}: {said}");
        assert!(!std::fs::read_to_string(case).unwrap().contains("web-1"), "{tool}");
        done(&["test", case, "--module", &tool, "--bless"]);
        done(&["test", case, "--module", &tool]);
        done(&["replay", case, "--module", &tool]);
    });
    tokio::pin!(tools);
    for number in 0_u64.. {
        // Pods come all the while.
        world.machine.api.create_pod(pending(&format!("web-1{number}"))).unwrap();
        let pause = tokio::time::sleep(Duration::from_millis(500));
        tokio::select! {
            done = &mut tools => {
                done.unwrap();
                break;
            }
            () = pause => {}
        }
    }
    assert!(program.stop(SLOW).await.unwrap().success(), "{}", program.log().unwrap());
    drop(world.page);
    let case: Value = serde_json::from_str(&std::fs::read_to_string(case).unwrap()).unwrap();
    case["steps"].as_array().unwrap().iter().filter_map(|step| step.as_object()?.keys().next().cloned()).collect()
}

/// What a preset cannot do without.
fn settings(module: &str) -> &'static str {
    match module {
        "mape-kafka" => "{container-id-label: pod}",
        _ => "{}",
    }
}

#[test]
fn every_preset_is_tried_with_its_own_cases() {
    for preset in PRESETS {
        tried(preset.name, &sources("modules").join(preset.name).join("cases"));
    }
}

#[tokio::test]
async fn events_are_recorded_of_every_preset() {
    for preset in PRESETS {
        let kinds = recorded(preset.name).await;
        let inspected = tokio::task::spawn_blocking(|| done(&["inspect", preset.name])).await.unwrap();
        let handles = inspected.lines().find(|line| line.starts_with("  handles ")).unwrap();
        // All that it takes has come, and so it was recorded.
        let steps =
            [("objects", "events"), ("pods", "events"), ("samples", "tick"), ("connections", "report"), ("series", "series")];
        let expected: BTreeSet<&str> =
            steps.into_iter().filter_map(|(kind, step)| handles.contains(kind).then_some(step)).collect();
        assert!(expected.iter().all(|step| kinds.contains(*step)), "{}: {expected:?}, {kinds:?}", preset.name);
    }
}

/// All of it with the example in one language.
async fn language(language: &'static str) {
    if !require(Need::Example(language)) {
        return;
    }
    let component = example(language).unwrap().canonicalize().unwrap();
    let component = component.to_str().unwrap().to_owned();
    let tool = component.clone();
    tokio::task::spawn_blocking(move || tried(&tool, &sources("guest-sdk/examples/cases"))).await.unwrap();
    recorded(&component).await;
}

#[tokio::test]
async fn the_example_in_rust_takes_every_tool() {
    language("rust").await;
}

#[tokio::test]
async fn the_example_in_c_takes_every_tool() {
    language("c").await;
}

#[tokio::test]
async fn the_example_in_javascript_takes_every_tool() {
    language("javascript").await;
}

#[tokio::test]
async fn the_example_in_python_takes_every_tool() {
    language("python").await;
}

#[tokio::test]
async fn the_example_in_go_takes_every_tool() {
    language("go").await;
}
