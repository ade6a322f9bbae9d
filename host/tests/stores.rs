//! What a sink does not take waits on the disk: it survives the end of the program, and `sluicebox store` shows it.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::servers::{Need, RedisOptions, RedisServer, Subscription, require};
use support::stores::{balances, left_behind, metric, rest, store};
use support::{PATIENCE, Place, pending, sluicebox, until};

/// A collector has left 40 pods behind; now there is a Redis, and somebody who listens.
async fn back_again(place: &Place) -> (ApiServer, RedisServer, Subscription) {
    let (api, _) = left_behind(place, 40, "store: {}").await;
    let redis = RedisServer::start(RedisOptions::default()).await.unwrap();
    let heard = redis.subscribe("c").await.unwrap();
    (api, redis, heard)
}

#[tokio::test]
async fn what_a_sink_has_not_taken_when_the_program_ends_is_written_by_the_next_run_in_order() {
    if !require(Need::Redis) {
        return;
    }
    let place = Place::new();
    let (api, redis, mut heard) = back_again(&place).await;
    let config = place.configure(&api.url(), &rest(&redis.url(), "store: {}"));
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    let mut names = Vec::new();
    while names.len() < 40 {
        let (_, line) = heard.next().await.unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        names.push(line["pod"]["name"].as_str().or(line["name"].as_str()).unwrap_or_else(|| panic!("{line}")).to_owned());
    }
    assert_eq!(names, (0..40).map(|number| format!("pod-{number}")).collect::<Vec<_>>());
    until(&program, "nothing is held", async || metric(&program, "sluicebox_sink_held_entries").await < 0.5).await;
    balances(&program).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let said = store(&place.path("state"), &["inspect", "out"]);
    assert!(said.out.starts_with("0 entries wait"), "{}", said.out);
}

#[tokio::test]
async fn what_is_written_before_the_modules_are_there_is_not_written_twice_though_the_program_is_stopped_then() {
    if !require(Need::Redis) {
        return;
    }
    let place = Place::new();
    let (api, redis, mut heard) = back_again(&place).await;
    let text = place.configuration(&api.url(), &rest(&redis.url(), "store: {}"));
    // Nothing is compiled yet, which takes seconds.
    let line = text.lines().find(|line| line.starts_with("cache-directory: ")).unwrap();
    let config = place.path("sluicebox.yaml");
    std::fs::write(&config, text.replace(line, &format!("cache-directory: {}", place.path("compiled").display()))).unwrap();
    let mut program = place.run(&config);
    for _ in 0..40 {
        heard.next().await.unwrap();
    }
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let log = program.log().unwrap();
    assert!(!log.contains("module loaded"), "it has begun already: {log}");
    let said = store(&place.path("state"), &["inspect", "out"]);
    assert!(said.out.starts_with("0 entries wait"), "{}\n{log}", said.out);
}

#[tokio::test]
async fn what_was_put_away_survives_kill_9() {
    if !require(Need::Redis) {
        return;
    }
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(&api.url(), &rest("redis://127.0.0.1:1", "store: {takes: always}"));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 0..20 {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    until(&program, "all is put away", async || metric(&program, "sluicebox_sink_store_stored_entries_total").await >= 20.0)
        .await;
    program.kill().unwrap();
    let said = store(&place.path("state"), &["inspect"]);
    let row: Vec<&str> = said.out.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[3], row[4]), ("out", "20", "0", "whole"), "{}", said.out);
}

#[tokio::test]
async fn a_store_is_inspected_verified_repaired_and_drained() {
    let place = Place::new();
    left_behind(&place, 12, "store: {bytes: 1MiB}").await;
    let state = place.path("state");
    let said = store(&state, &["verify"]);
    assert_eq!((said.code, said.out.as_str()), (0, "out: whole, 12 entries wait\n"));
    let said = store(&state, &["inspect", "out", "--entries", "3"]);
    let entries: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 3, "{}", said.out);
    assert_eq!((&entries[2]["number"], &entries[2]["lane"]), (&2.into(), &"lines".into()));
    assert!(entries[2]["entry"]["message"]["body"].as_str().unwrap().contains("pod-2"), "{}", entries[2]);

    // A bit of the last record is another one.
    let file = state.join("store/out");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&file).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "entries") && path.metadata().unwrap().len() > 100);
    let mut bytes = std::fs::read(&files[0]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&files[0], &bytes).unwrap();
    let said = store(&state, &["verify", "out"]);
    assert!(
        said.code == 1 && said.out.contains("out: damaged") && said.out.contains("sluicebox store repair out"),
        "{}",
        said.out
    );
    // Nothing that cannot be read is thrown away unseen.
    let said = store(&state, &["drain", "out"]);
    assert!(said.code == 1 && said.error.contains("is damaged") && said.out.is_empty(), "{} {}", said.out, said.error);
    let said = store(&state, &["repair", "out"]);
    let copy = format!("a damaged file as it was: {}", file.join("damaged").join(files[0].file_name().unwrap()).display());
    assert!(said.code == 0 && said.out.contains("entries wait") && said.out.contains(&copy), "{} {}", said.out, said.error);
    assert_eq!(std::fs::read(file.join("damaged").join(files[0].file_name().unwrap())).unwrap(), bytes);
    assert_eq!(store(&state, &["verify"]).code, 0);
    // A crash came when the next file was about to be begun: nothing of it is lost.
    std::fs::write(file.join("000000000000000c.entries"), "slui").unwrap();
    std::fs::create_dir(file.join("0000000000002000.entries")).unwrap();
    let said = store(&state, &["verify"]);
    assert_eq!(said.code, 0, "{}", said.out);

    let to = place.path("drained.jsonl");
    // One that was killed has left half a line.
    std::fs::write(&to, "{\"number\":0,\"lane").unwrap();
    let said = store(&state, &["drain", "out", "--to", to.to_str().unwrap()]);
    assert_eq!(said.code, 0, "{}", said.error);
    let drained: Vec<Value> =
        std::fs::read_to_string(&to).unwrap().lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!drained.is_empty() && drained.len() < 12 && drained[0]["number"] == 0);
    let said = store(&state, &["inspect"]);
    assert_eq!(said.out.lines().nth(1).unwrap().split_whitespace().nth(1), Some("0"), "{}", said.out);
}

#[tokio::test]
async fn a_repair_overwrites_no_copy_and_puts_none_among_the_stores() {
    let place = Place::new();
    left_behind(&place, 12, "store: {bytes: 1MiB}").await;
    let (state, aside) = (place.path("state"), place.path("aside"));
    let directory = state.join("store/out");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "entries") && path.metadata().unwrap().len() > 100);
    let mut kept = Vec::new();
    for round in 0..2 {
        let mut bytes = std::fs::read(&files[0]).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&files[0], &bytes).unwrap();
        let within = [directory.clone(), state.join("store/other"), place.path("state/../state/store/other/deep")];
        for within in within.iter().map(|within| within.to_str().unwrap()) {
            let said = store(&state, &["repair", "out", "--aside", within]);
            assert!(said.code == 2 && said.error.contains("is among the stores"), "{within}: {} {}", said.out, said.error);
        }
        assert_eq!(std::fs::read(&files[0]).unwrap(), bytes, "nothing was changed");
        let said = store(&state, &["repair", "out", "--aside", aside.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{round}: {} {}", said.out, said.error);
        kept.push(bytes);
    }
    let name = files[0].file_name().unwrap().to_str().unwrap();
    let copies = [name.to_owned(), format!("{name}.1")].map(|name| std::fs::read(aside.join(name)).unwrap());
    assert_eq!(copies.to_vec(), kept);
    assert!(!state.join("store/other").exists());
}

#[tokio::test]
async fn a_file_that_has_gone_as_a_whole_is_missed_by_its_numbers() {
    let place = Place::new();
    let (api, config) = left_behind(&place, 12, "store: {bytes: 1MiB}").await;
    // The next run goes on in a file of its own, in which it tells those that are there, and five more.
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    for number in 12..17 {
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    until(&program, "all is held", async || metric(&program, "sluicebox_sink_held_entries").await >= 29.0).await;
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let state = place.path("state");
    std::fs::remove_file(state.join("store/out/000000000000000c.entries")).unwrap();
    let said = store(&state, &["verify"]);
    assert!(said.code == 1 && said.out.contains("12 entries wait, 17 are missing"), "{}", said.out);
    assert!(said.out.contains("nothing has entries 12 to 28"), "{}", said.out);
    let said = store(&state, &["repair", "out"]);
    assert!(said.code == 0 && !said.out.contains("as it was"), "{} {}", said.out, said.error);
    assert_eq!(store(&state, &["verify"]).code, 0);
}

#[tokio::test]
async fn what_is_said_to_stay_in_a_damaged_store_is_what_is_in_it() {
    let place = Place::new();
    let (_api, config) = left_behind(&place, 12, "store: {bytes: 1MiB}").await;
    let file = place.path("state").join("store/out/0000000000000000.entries");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    let lost = program.metric("sluicebox_sink_dropped_entries_total", "reason=\"store-damaged\"").await.unwrap();
    assert!(lost >= 1.0);
    assert!(program.stop(PATIENCE).await.unwrap().success());
    let log = program.log().unwrap();
    let said = store(&place.path("state"), &["inspect", "out"]);
    let waits = said.out.split(' ').next().unwrap();
    let line = log.lines().find(|line| line.contains("entries stay in the store")).unwrap();
    assert!(line.contains(&format!("\"entries\":{waits}")), "{line}\n{}", said.out);
}

#[tokio::test]
async fn what_is_not_there_or_in_use_is_named_with_the_cure() {
    let place = Place::new();
    let said = store(&place.path("state"), &["inspect"]);
    assert!(
        said.code == 2 && said.error.contains("no sink has a store in") && said.error.contains("hint: `--state-directory`"),
        "{}",
        said.error
    );
    let api = ApiServer::start().await.unwrap();
    let config = place.configure(&api.url(), &rest("redis://127.0.0.1:1", "store: {}"));
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    api.create_pod(pending("pod")).unwrap();
    until(&program, "it is in the store", async || metric(&program, "sluicebox_sink_held_entries").await >= 1.0).await;
    let said = store(&place.path("state"), &["inspect"]);
    assert!(said.out.contains("whole, in use"), "{}", said.out);
    for action in ["drain", "repair"] {
        let said = store(&place.path("state"), &[action, "out"]);
        assert!(said.code == 1 && said.error.contains("another program works on"), "{action}: {} {}", said.out, said.error);
    }
    // Nor does a second collector work on it.
    let second = sluicebox(&["run", config.to_str().unwrap()]);
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(second.status.code() == Some(1) && error.contains("another program works on"), "{error}");
    program.stop(PATIENCE).await.unwrap();
    // A name is that of a sink and no path: nothing else is touched.
    let victim = place.path("victim");
    std::fs::create_dir(&victim).unwrap();
    std::fs::write(victim.join("0000000000000000.entries"), "of somebody else").unwrap();
    for name in ["nothing", "../../victim", victim.to_str().unwrap()] {
        for action in [&["inspect"][..], &["verify"], &["repair"], &["drain"]] {
            let said = store(&place.path("state"), &[action, &[name]].concat());
            assert!(
                said.code == 2 && said.error.contains("has a store in") && said.error.contains("these have one: out"),
                "{}",
                said.error
            );
        }
    }
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
}

#[tokio::test]
async fn what_a_later_version_has_left_is_neither_read_nor_lost() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let config = place.configure(&api.url(), &rest("redis://127.0.0.1:1", "store: {}"));
    let directory = place.path("state").join("store/out");
    std::fs::DirBuilder::new().recursive(true).create(&directory).unwrap();
    // The beginning of a file of format 9, and its CRC-32.
    let bytes = [b"sluiceq\n\x09\0\0\0".as_slice(), &0xe243_a5e2_u32.to_le_bytes()].concat();
    std::fs::write(directory.join("0000000000000000.entries"), &bytes).unwrap();
    let mut program = place.run(&config);
    let status = program.ended(Duration::from_secs(20)).await.unwrap();
    let log = program.log().unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("a later version of sluicebox has written it (format 9): run that version again"), "{log}");
    assert_eq!(std::fs::read(directory.join("0000000000000000.entries")).unwrap(), bytes);
    let verified = store(&place.path("state"), &["verify"]);
    assert_eq!(verified.code, 1, "{}", verified.error);
    assert!(verified.out.starts_with("out: of a later version") && !verified.out.contains("missing"), "{}", verified.out);
    let drained = store(&place.path("state"), &["drain", "out"]);
    assert!(drained.code == 1 && drained.error.contains("format 9") && !drained.error.contains("damaged"), "{}", drained.error);
}

#[tokio::test]
async fn a_sink_without_a_store_that_is_away_drops_as_it_is_told_and_holds_up_nobody() {
    for policy in ["drop-oldest", "drop-newest"] {
        let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
        let settings = format!("when-full: {policy}, queue: {{items: 3}}");
        let config = place.configure(&api.url(), &rest("redis://127.0.0.1:1", &settings));
        let mut program = place.run(&config);
        program.until_ready(PATIENCE).await.unwrap();
        for number in 0..40 {
            api.create_pod(pending(&format!("pod-{number}"))).unwrap();
            let told = async || metric(&program, "sluicebox_sink_entries_total").await >= f64::from(number + 1);
            until(&program, "the next pod", told).await;
        }
        let dropped = program.metric("sluicebox_sink_dropped_entries_total", "reason=\"overflow\"").await.unwrap();
        assert!(dropped > 20.0, "{policy}: {dropped}");
        balances(&program).await;
    }
}

#[test]
fn settings_of_a_store_that_cannot_be_meant_are_refused() {
    let place = Place::new();
    for (settings, expected) in [
        ("store: {bytes: 100KiB}", "`sinks.out.store.bytes`: 100KiB is too little\n  hint: give at least `1MiB`"),
        ("store: {bytes: 2TiB}", "2TiB is more than the disk of a node has\n  hint: give at most `1TiB`"),
        ("store: {sync: 0s}", "hint: give `always`, or a time such as `1s`"),
        ("store: {entries-per-second: 0}", "`sinks.out.store.entries-per-second`: nothing would ever be read"),
        ("store: {sync: sometimes}", "`always` or `never`"),
        ("when-full: wait", "drop-oldest"),
    ] {
        let config = place.configure("http://127.0.0.1:1", &rest("redis://127.0.0.1:1", settings));
        let output = sluicebox(&["check", config.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains(expected), "{settings}: {error}");
    }
}

#[test]
fn what_cannot_be_told_is_no_success() {
    for arguments in [&["modules"][..], &["schema"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(support::binary());
        let output = command.args(arguments).stdout(full).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains("No space left on device"), "{arguments:?}: {error}");
    }
}

#[test]
fn no_name_of_a_sink_leads_out_of_its_directory() {
    let place = Place::new();
    for name in ["..", ".", ".hidden", "a/b"] {
        let rest = rest("redis://127.0.0.1:1", "store: {}")
            .replace("{out: {redis", &format!("{{\"{name}\": {{redis"))
            .replace("to: [out]", &format!("to: [\"{name}\"]"));
        let config = place.configure("http://127.0.0.1:1", &rest);
        let output = sluicebox(&["check", config.to_str().unwrap()]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && error.contains("not a usable name"), "{name}: {error}");
    }
}
