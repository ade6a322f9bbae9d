//! A module's file changes while the program runs, in every way in which files change: the new version takes over between two batches,
//! and nothing is lost, told twice or out of order.

mod support;

use std::path::{Path, PathBuf};

use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_wasm::digest;
use support::{PATIENCE, Place, digest_in, module, pending, status_of, until, version_of};

/// The program with one lane, `lines`, whose module is the file at this path.
async fn run(place: &Place, api: &ApiServer, component: &Path) -> Program {
    let config = place.configure(
        &api.url(),
        &format!(
            "sources: {{pods: {{}}}}\n\
             reload: {{poll: 500ms, debounce: 50ms}}\n\
             modules: {{lines: {{use: \"{}\", settings: {{fields: compact}}, to: [out]}}}}\n\
             sinks: {{out: {{stdout: {{}}}}}}\n",
            component.display(),
        ),
    );
    let mut program = place.run(&config);
    program.until_ready(PATIENCE).await.unwrap();
    program
}

/// Two versions of the same module.
fn versions() -> [Vec<u8>; 2] {
    let component = std::fs::read(module("json-lines")).unwrap();
    [version_of(&component, "one"), version_of(&component, "two")]
}

/// Puts a file in place as a whole.
fn replace(path: &Path, bytes: &[u8]) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, bytes).unwrap();
    std::fs::rename(beside, path).unwrap();
}

async fn takes_over(program: &Program, component: &[u8]) {
    let wanted = digest(component);
    until(program, "the new version is at work", async || digest_in(program, "lines").await == wanted).await;
}

/// Every pod was told once, in order.
async fn told(program: &mut Program, count: usize) {
    program.until_lines(PATIENCE, |lines| lines.len() >= count).await.unwrap();
    let expected: Vec<String> = (0..count).map(|number| format!("\"name\":\"pod-{number}\"")).collect();
    let lines = program.lines().clone();
    assert_eq!(lines.len(), count, "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(&expected), "{expected} is not in {line}");
    }
}

#[tokio::test]
async fn a_file_that_is_replaced_takes_over_and_nothing_is_lost() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let [one, two] = versions();
    let path = place.path("module.wasm");
    replace(&path, &one);
    let mut program = run(&place, &api, &path).await;
    for number in 0..100 {
        if number == 50 {
            replace(&path, &two);
            takes_over(&program, &two).await;
        }
        api.create_pod(pending(&format!("pod-{number}"))).unwrap();
    }
    told(&mut program, 100).await;
    let status = status_of(&program, "lines").await;
    assert_eq!((&status["swapped"], &status["refused"]), (&1.into(), &serde_json::Value::Null), "{status:#}");
    assert!(program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn a_file_that_is_written_in_pieces_takes_over_when_it_is_whole() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let [one, two] = versions();
    let path = place.path("module.wasm");
    replace(&path, &one);
    let program = run(&place, &api, &path).await;
    // Half of it lies there for longer than anybody waits for the rest: it is refused, and the old one goes on.
    std::fs::write(&path, &two[..two.len() / 2]).unwrap();
    until(&program, "the half is refused", async || status_of(&program, "lines").await["refused"].is_object()).await;
    assert_eq!(digest_in(&program, "lines").await, digest(&one));
    assert_eq!(status_of(&program, "lines").await["state"], "at-work");
    assert!(program.get("/readyz").await.unwrap().0);
    std::fs::write(&path, &two).unwrap();
    takes_over(&program, &two).await;
    assert!(status_of(&program, "lines").await["refused"].is_null());
}

/// A `ConfigMap` as the kubelet mounts it: the file is a link through `..data`, which is swapped.
struct Mount(PathBuf);

impl Mount {
    fn put(&self, generation: &str, bytes: &[u8]) {
        let folder = self.0.join(generation);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("module.wasm"), bytes).unwrap();
        let beside = self.0.join("..data_tmp");
        std::os::unix::fs::symlink(generation, &beside).unwrap();
        std::fs::rename(beside, self.0.join("..data")).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.0.join("module.wasm")
    }
}

#[tokio::test]
async fn a_config_map_that_is_replaced_by_its_link_takes_over() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let [one, two] = versions();
    let mount = Mount(place.path("mount"));
    mount.put("..2026_1", &one);
    std::os::unix::fs::symlink("..data/module.wasm", mount.file()).unwrap();
    let mut program = run(&place, &api, &mount.file()).await;
    mount.put("..2026_2", &two);
    std::fs::remove_dir_all(mount.0.join("..2026_1")).unwrap();
    takes_over(&program, &two).await;
    api.create_pod(pending("pod-0")).unwrap();
    told(&mut program, 1).await;
}

#[tokio::test]
async fn a_directory_that_goes_leaves_the_old_version_at_work_and_brings_the_new_one_when_it_is_back() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let [one, two] = versions();
    let folder = place.path("modules");
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("module.wasm");
    replace(&path, &one);
    let mut program = run(&place, &api, &path).await;
    std::fs::remove_dir_all(&folder).unwrap();
    until(&program, "its absence is told", async || status_of(&program, "lines").await["refused"].is_object()).await;
    api.create_pod(pending("pod-0")).unwrap();
    told(&mut program, 1).await;
    std::fs::create_dir(&folder).unwrap();
    replace(&path, &two);
    takes_over(&program, &two).await;
    api.create_pod(pending("pod-1")).unwrap();
    told(&mut program, 2).await;
}

#[tokio::test]
async fn a_thousand_changes_in_a_second_are_a_few_reloads_and_the_last_one_counts() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let component = std::fs::read(module("json-lines")).unwrap();
    let path = place.path("module.wasm");
    replace(&path, &version_of(&component, "first"));
    let mut program = run(&place, &api, &path).await;
    for number in 0..1000 {
        replace(&path, &version_of(&component, &number.to_string()));
        if number % 10 == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        if number % 100 == 0 {
            api.create_pod(pending(&format!("pod-{}", number / 100))).unwrap();
        }
    }
    takes_over(&program, &version_of(&component, "999")).await;
    told(&mut program, 10).await;
    let swapped = status_of(&program, "lines").await["swapped"].as_u64().unwrap();
    assert!((1..=20).contains(&swapped), "{swapped} reloads for a thousand changes");
}

#[tokio::test]
async fn a_hangup_reads_everything_again_even_when_no_file_seems_to_have_changed() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let [one, two] = versions();
    let path = place.path("module.wasm");
    replace(&path, &one);
    let program = run(&place, &api, &path).await;
    // The same size, and the time of the last change put back: nothing to be seen from outside.
    let before = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(one.len(), two.len());
    std::fs::write(&path, &two).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    let asked = std::process::Command::new("kill").args(["-HUP", &program.id().to_string()]).status().unwrap();
    assert!(asked.success());
    takes_over(&program, &two).await;
}
