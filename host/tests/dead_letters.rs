//! What stops its module and what a sink refuses is kept beside everything that goes on, and tried again when somebody asks for it.

mod support;

use std::fs;
use std::time::Duration;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use support::{PATIENCE, Place, module, pending, status_of, until};

/// A place, and the configurations of one lane, `lines`, with the hostile module.
struct Bench {
    place: Place,
    api: ApiServer,
}

impl Bench {
    async fn new() -> Self {
        Self { place: Place::new(), api: ApiServer::start().await.unwrap() }
    }

    fn lane(&self, lane: &str, to: &str, settings: &str, more: &str) -> String {
        format!(
            "sources: {{pods: {{}}}}\n\
             reload: {{poll: 200ms, debounce: 50ms}}\n\
             {more}\
             modules: {{{lane}: {{use: \"{}\", settings: {settings}, batch: 1000, queue: {{items: 4096}}, to: [{to}]}}}}\n\
             sinks: {{out: {{stdout: {{format: json}}}}, folder: {{files: {{directory: \"{}\"}}}}}}\n",
            module("hostile").display(),
            self.place.path("files").display(),
        )
    }

    async fn run(&self, rest: &str) -> Program {
        let mut program = self.place.run(&self.place.configure(&self.api.url(), rest));
        program.until_ready(PATIENCE).await.unwrap();
        program
    }

    /// Changes the settings of the lane while it runs.
    async fn mend(&self, program: &Program, rest: &str) {
        let before = status_of(program, "lines").await["swapped"].as_u64().unwrap();
        self.place.reconfigure(&self.api.url(), rest);
        until(program, "the new settings are there", async || {
            status_of(program, "lines").await["swapped"].as_u64().unwrap() > before
        })
        .await;
    }

    fn create(&self, name: &str) {
        self.api.create_pod(pending(name)).unwrap();
    }

    /// Runs `sluicebox dead-letters` on the state directory; gives the code and what it said. The servers of the test go on meanwhile.
    async fn command(&self, arguments: &[&str]) -> (i32, String) {
        let state = self.place.path("state").display().to_string();
        let mut all = vec!["dead-letters".to_owned(), "--state-directory".to_owned(), state];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let said = tokio::task::spawn_blocking(move || support::sluicebox(&all.iter().map(String::as_str).collect::<Vec<_>>()));
        let said = said.await.unwrap();
        let text = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        (said.status.code().unwrap(), text)
    }

    async fn listed(&self) -> Vec<Value> {
        let (code, text) = self.command(&["list", "--json"]).await;
        assert_eq!(code, 0, "{text}");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    async fn until_listed(&self, program: &Program, count: usize) -> Vec<Value> {
        until(program, &format!("{count} letters are listed"), async || self.listed().await.len() == count).await;
        self.listed().await
    }
}

/// The messages on standard output: channel and body.
fn messages(program: &Program) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let message = |line: &String| {
        let message = serde_json::from_str::<Value>(line).unwrap()["message"].clone();
        (text(&message["channel"]), text(&message["body"]))
    };
    program.lines().iter().map(message).collect()
}

fn count_of(program: &Program, body: &str) -> usize {
    messages(program).iter().filter(|(_, said)| said == body).count()
}

async fn until_message(program: &Program, body: &str) {
    until(program, &format!("{body} is told"), async || count_of(program, body) > 0).await;
}

/// A figure of the dead letters; none when there is no such figure.
async fn figure(program: &Program, name: &str) -> Option<u64> {
    let name = format!("sluicebox_dead_letters_{name}");
    let rows = program.metrics(&[&format!("{name} "), &format!("{name}{{")]).await.unwrap();
    rows.first()?.rsplit(' ').next()?.parse().ok()
}

const EVIL: &str = "{evil: panic, only: pod-500}";

#[tokio::test]
async fn one_deadly_pod_of_a_thousand_is_kept_and_told_once_when_the_module_is_mended() {
    let bench = Bench::new().await;
    for number in 0..1000 {
        bench.create(&format!("pod-{number}"));
    }
    let program = bench.run(&bench.lane("lines", "out", EVIL, "")).await;
    program.until_lines(PATIENCE, |lines| lines.len() >= 999).await.unwrap();
    let letters = bench.until_listed(&program, 1).await;
    assert_eq!((letters[0]["lane"].as_str(), letters[0]["about"]["event"]["name"].as_str()), (Some("lines"), Some("pod-500")));
    let status = status_of(&program, "lines").await;
    assert_eq!(letters[0]["module"], status["module"], "{}", letters[0]);
    let (_, table) = bench.command(&["list"]).await;
    let row = table.lines().nth(1).unwrap();
    for part in ["lines", status["module"]["version"].as_str().unwrap(), "event pod shop/pod-500", "I give up"] {
        assert!(row.contains(part), "`{part}` is not in {row}");
    }
    let (code, shown) = bench.command(&["show", letters[0]["id"].as_str().unwrap()]).await;
    assert!(code == 0 && shown.contains("pod-500") && shown.contains("nginx:1.27"), "{shown}");
    let mut told: Vec<_> = messages(&program).into_iter().map(|(_, body)| body).collect();
    told.sort();
    told.dedup();
    assert_eq!((told.len(), count_of(&program, "pod-500")), (999, 0));
    assert_eq!(program.lines().len(), 999);
    assert_eq!((figure(&program, "kept_total").await, figure(&program, "held").await), (Some(1), Some(1)));
    assert!((program.metric("sluicebox_lane_dropped_events_total", r#"reason="deadly""#).await.unwrap() - 1.0).abs() < 0.1);

    bench.mend(&program, &bench.lane("lines", "out", "{}", "")).await;
    let (code, text) = bench.command(&["replay", "--all"]).await;
    assert!(code == 0 && text.ends_with(" replayed\n"), "{code}: {text}");
    until_message(&program, "pod-500").await;
    assert_eq!(bench.command(&["list"]).await, (0, "no dead letters\n".to_owned()));
    until(&program, "no letter is held", async || figure(&program, "held").await == Some(0)).await;
    assert_eq!(count_of(&program, "pod-500"), 1);
}

#[tokio::test]
async fn of_a_burst_of_changes_the_deadly_one_is_kept_and_each_other_is_told_once() {
    let bench = Bench::new().await;
    for number in (0..1000).filter(|number| *number != 500) {
        bench.create(&format!("pod-{number}"));
    }
    let program = bench.run(&bench.lane("lines", "out", EVIL, "")).await;
    program.until_lines(PATIENCE, |lines| lines.len() >= 999).await.unwrap();
    // Known pods that change are given in large batches: nothing has to be told to the module between their events.
    bench.api.pause().await.unwrap();
    for number in 0..1000 {
        if number == 500 {
            bench.create("pod-500");
        } else {
            bench.api.patch_status("shop", &format!("pod-{number}"), &support::running('a')).unwrap();
        }
    }
    bench.api.resume().await.unwrap();
    program.until_lines(PATIENCE, |lines| lines.len() >= 2 * 999).await.unwrap();
    let letters = bench.until_listed(&program, 1).await;
    assert_eq!(letters[0]["about"]["event"]["name"], "pod-500");
    let mut told: Vec<_> = messages(&program).into_iter().map(|(_, body)| body).collect();
    told.sort();
    assert!(told.len() == 2 * 999 && told.chunks(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[tokio::test]
async fn a_letter_that_is_replayed_too_early_dies_again_and_its_lane_goes_on() {
    let bench = Bench::new().await;
    let mut program = bench.run(&bench.lane("lines", "out", EVIL, "")).await;
    bench.create("pod-500");
    bench.until_listed(&program, 1).await;
    for times in 1..=2 {
        let (code, text) = bench.command(&["replay", "--all"]).await;
        assert!(code == 1 && text.contains(" dead again: ") && text.contains("I give up"), "{code}: {text}");
        let letters = bench.listed().await;
        assert_eq!((letters.len(), &letters[0]["replays"], &letters[0]["asked-for"]), (1, &times.into(), &false.into()));
    }
    bench.create("pod-501");
    until_message(&program, "pod-501").await;
    assert_eq!(status_of(&program, "lines").await["state"], "at-work");
    assert_eq!(count_of(&program, "pod-500"), 0);
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_letter_is_replayed_after_a_restart_although_its_subject_has_another_number_or_none() {
    let bench = Bench::new().await;
    bench.create("gone");
    bench.create("here");
    let mut program = bench.run(&bench.lane("lines", "out", "{evil: panic, only: gone}", "")).await;
    bench.until_listed(&program, 1).await;
    bench.mend(&program, &bench.lane("lines", "out", "{evil: panic, only: later}", "")).await;
    bench.create("later");
    bench.until_listed(&program, 2).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    // One of them is no more, and other pods come first now: whatever had a number has another, and its own is somebody else's.
    bench.api.delete_pod("shop", "gone").unwrap();
    for number in 0..5 {
        bench.create(&format!("a-{number}"));
    }
    let mut program = bench.run(&bench.lane("lines", "out", "{}", "")).await;
    // The seven that are there, and the one that has gone meanwhile.
    program.until_lines(PATIENCE, |lines| lines.len() >= 8).await.unwrap();
    assert_eq!((count_of(&program, "gone"), count_of(&program, "later")), (1, 1), "{:?}", messages(&program));
    let (code, text) = bench.command(&["replay", "--all"]).await;
    assert_eq!((code, text.matches(" replayed\n").count()), (0, 2), "{text}");
    program.until_lines(PATIENCE, |lines| lines.len() >= 10).await.unwrap();
    let all = messages(&program);
    // Each line's channel is the name that the module was told with the subject.
    assert!(all.iter().all(|(channel, body)| channel == body), "{all:?}");
    assert_eq!((count_of(&program, "gone"), count_of(&program, "later")), (2, 2), "{all:?}");
    assert!(bench.listed().await.is_empty());
    bench.create("after");
    until_message(&program, "after").await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn an_entry_that_a_sink_refuses_for_good_is_kept_and_refused_again() {
    let bench = Bench::new().await;
    let evil = |only: &str| bench.lane("lines", "folder, out", &format!("{{evil: escaping-name, only: {only}}}"), "");
    let mut program = bench.run(&evil("bad")).await;
    bench.create("bad");
    let letters = bench.until_listed(&program, 1).await;
    let entry = &letters[0]["about"]["entry"];
    assert_eq!((entry["sink"].as_str(), entry["kind"].as_str()), (Some("folder"), Some("document")), "{}", letters[0]);
    assert_eq!((entry["name"].as_str(), letters[0]["lane"].as_str()), (Some("../../x"), Some("lines")));
    assert_eq!(letters[0]["module"], status_of(&program, "lines").await["module"]);
    // Another version of the module does not help what is made already.
    bench.mend(&program, &evil("nobody")).await;
    let (code, text) = bench.command(&["replay", "--all"]).await;
    assert!(code == 1 && text.contains(" dead again: the name cannot be a file name"), "{code}: {text}");
    let letters = bench.listed().await;
    assert_eq!((letters.len(), &letters[0]["replays"]), (1, &1.into()));
    bench.create("good");
    until_message(&program, "good").await;
    assert!(!bench.place.path("x").exists());
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let (code, text) = bench.command(&["drop", "--all"]).await;
    assert!(code == 0 && text.contains("dropped"), "{text}");
    assert!(bench.listed().await.is_empty());
}

/// A hundred deadly pods with a good one behind each, so that the lane does not rest.
fn create_a_hundred(bench: &Bench) {
    for number in 0..100 {
        for name in ["bad", "good"] {
            let mut pod = pending(name);
            pod["metadata"]["namespace"] = format!("shop-{number:02}").into();
            bench.api.create_pod(pod).unwrap();
        }
    }
}

#[tokio::test]
async fn the_newest_letters_are_kept_within_their_bounds_and_the_others_are_counted() {
    let bench = Bench::new().await;
    create_a_hundred(&bench);
    let config = bench.lane("lines", "out", "{evil: panic, only: bad}", "dead-letters: {letters: 10}\n");
    let program = bench.run(&config.replace("batch: 1000", "batch: 1")).await;
    program.until_lines(PATIENCE, |lines| lines.len() >= 100).await.unwrap();
    until(&program, "all are kept", async || figure(&program, "kept_total").await == Some(100)).await;
    assert_eq!((figure(&program, "held").await, figure(&program, "evicted_total").await), (Some(10), Some(90)));
    assert_eq!((figure(&program, "lost_total").await, figure(&program, "overflow_total").await), (Some(0), Some(0)));
    assert!(figure(&program, "held_bytes").await.is_some_and(|bytes| bytes > 10 * 100));
    let namespaces: Vec<_> =
        bench.listed().await.iter().map(|letter| letter["about"]["event"]["namespace"].as_str().unwrap().to_owned()).collect();
    assert_eq!(namespaces, (90..100).map(|number| format!("shop-{number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn with_a_bound_of_none_no_letter_is_kept() {
    let bench = Bench::new().await;
    let mut program = bench.run(&bench.lane("lines", "out", EVIL, "dead-letters: {letters: 0}\n")).await;
    bench.create("pod-500");
    bench.create("pod-501");
    until_message(&program, "pod-501").await;
    assert_eq!(figure(&program, "held").await, None);
    let (code, text) = bench.command(&["list"]).await;
    assert!(code == 2 && text.contains("no collector has kept dead letters"), "{text}");
    assert!(program.stop(PATIENCE).await.unwrap().success());
    assert!(!bench.place.path("state").join("dead-letters").exists());
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_leaves_everything_else_at_work() {
    let bench = Bench::new().await;
    fs::write(bench.place.path("state"), "a file").unwrap();
    let mut program = bench.run(&bench.lane("lines", "out", EVIL, "")).await;
    bench.create("pod-500");
    bench.create("pod-501");
    until_message(&program, "pod-501").await;
    let log = program.log().unwrap();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("dead letters are not kept")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains("WARN") && warnings[0].contains("state"), "{log}");
    bench.mend(&program, &bench.lane("lines", "out", "{}", "")).await;
    bench.create("pod-502");
    until_message(&program, "pod-502").await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_directory_that_goes_while_the_program_runs_loses_letters_and_nothing_else() {
    let bench = Bench::new().await;
    let mut program = bench.run(&bench.lane("lines", "out", "{evil: panic, only: bad}", "")).await;
    fs::remove_dir_all(bench.place.path("state")).unwrap();
    create_a_hundred(&bench);
    until(&program, "the good ones are told", async || count_of(&program, "good") == 100).await;
    until(&program, "the letters are counted as lost", async || figure(&program, "lost_total").await == Some(100)).await;
    let warnings = program.log().unwrap().lines().filter(|line| line.contains("dead letter not kept")).count();
    assert!((1..=40).contains(&warnings), "{warnings} warnings for a hundred letters");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_letter_of_a_lane_that_is_no_more_is_kept_as_it_was() {
    let bench = Bench::new().await;
    let mut program = bench.run(&bench.lane("lines", "out", EVIL, "")).await;
    bench.create("pod-500");
    bench.until_listed(&program, 1).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let program = bench.run(&bench.lane("other", "out", "{}", "")).await;
    let (code, text) = bench.command(&["replay", "--all"]).await;
    assert!(code == 1 && text.contains("not tried: the collector's log says why"), "{code}: {text}");
    assert!(program.log().unwrap().contains("no lane `lines` runs"), "{}", program.log().unwrap());
    assert_eq!(bench.listed().await.len(), 1);
    // It is as good as new when its lane is back.
    drop(program);
    let program = bench.run(&bench.lane("lines", "out", "{}", "")).await;
    until_message(&program, "pod-500").await;
    let (code, text) = bench.command(&["replay", "--all"]).await;
    assert!(code == 0, "{code}: {text}");
    until(&program, "it is told again", async || count_of(&program, "pod-500") == 2).await;
}

#[tokio::test]
async fn what_is_asked_for_while_no_collector_runs_is_tried_when_one_does() {
    let bench = Bench::new().await;
    // That it vanished meanwhile is not what is to be told.
    let lane = |settings: &str| bench.lane("lines", "out", settings, "").replace("pods: {}", "pods: {at-start: replay}");
    let mut program = bench.run(&lane(EVIL)).await;
    bench.create("pod-500");
    bench.until_listed(&program, 1).await;
    program.kill().unwrap();
    bench.api.delete_pod("shop", "pod-500").unwrap();
    let (code, text) = bench.command(&["replay", "--all", "--wait", "300ms"]).await;
    assert!(code == 1 && text.contains("not taken yet") && text.contains("no collector seems to run"), "{code}: {text}");
    let program = bench.run(&lane("{}")).await;
    until_message(&program, "pod-500").await;
    until(&program, "the letter is gone", async || bench.listed().await.is_empty()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(count_of(&program, "pod-500"), 1);
}

#[tokio::test]
async fn a_letter_stays_until_its_sink_has_written_and_outlives_the_program() {
    let bench = Bench::new().await;
    // The lane writes to a server that is away as well.
    let away = bench.lane("lines", "out, far", EVIL, "shutdown-grace: 300ms\n");
    let away = away.replace("sinks: {", "sinks: {far: {redis: {url: \"redis://127.0.0.1:1\", channel: pods}}, ");
    let mut program = bench.run(&away).await;
    bench.create("pod-500");
    bench.until_listed(&program, 1).await;
    bench.mend(&program, &away.replace(EVIL, "{}")).await;
    let (code, text) = bench.command(&["replay", "--all", "--wait", "4s"]).await;
    assert!(code == 1 && text.contains("not taken yet"), "{code}: {text}");
    until_message(&program, "pod-500").await;
    assert!(program.log().unwrap().contains("it waits for its sink"));
    // What waits for the sink is lost with the program, and the letter is not.
    program.kill().unwrap();
    let program = bench.run(&bench.lane("lines", "out", "{}", "")).await;
    until(&program, "it is replayed", async || count_of(&program, "pod-500") == 2).await;
    until(&program, "the letter goes", async || bench.listed().await.is_empty()).await;
}
