//! A module's place is a directory: what lies in it runs, under whatever name it comes, and whatever is wrong there, the old one goes on.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sluicebox::trust::keys::PrivateKey;
use sluicebox::trust::signature::text;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::program::Program;
use sluicebox_wasm::digest;
use support::{
    PATIENCE, Place, SLOW, digest_in, log_since, module, pending, sluicebox, status_of, until, until_within, version_of,
};

/// The program with one lane, `lines`, whose module lies in a directory.
struct Bench {
    place: Place,
    api: ApiServer,
    program: Program,
    pods: usize,
}

fn rest(place: &Place, lane: &str, more: &str) -> String {
    format!(
        "sources: {{pods: {{}}}}\n\
         reload: {{poll: 500ms, debounce: 50ms}}\n\
         modules: {{lines: {{use: \"{}\", {lane} settings: {{fields: compact}}, to: [out]}}}}\n\
         sinks: {{out: {{stdout: {{}}}}}}\n\
         {more}",
        place.path("modules").display(),
    )
}

impl Bench {
    async fn begin(fill: impl FnOnce(&Path)) -> Self {
        Self::begin_with("", "", fill).await
    }

    async fn begin_with(lane: &str, more: &str, fill: impl FnOnce(&Path)) -> Self {
        let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
        fs::create_dir(place.path("modules")).unwrap();
        fill(&place.path("modules"));
        let config = place.configure(&api.url(), &rest(&place, lane, more));
        let mut program = place.run(&config);
        program.until_ready(PATIENCE).await.unwrap();
        Self { place, api, program, pods: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path("modules").join(name)
    }

    fn pod(&mut self) {
        self.api.create_pod(pending(&format!("pod-{}", self.pods))).unwrap();
        self.pods += 1;
    }

    /// Another pod comes, and each was told once, in order.
    async fn flows(&mut self) {
        self.pod();
        let count = self.pods;
        self.program.until_lines(PATIENCE, |lines| lines.len() >= count).await.unwrap();
        let lines = self.program.lines().clone();
        assert_eq!(lines.len(), count, "{lines:#?}");
        for (number, line) in lines.iter().enumerate() {
            assert!(line.contains(&format!("\"name\":\"pod-{number}\"")), "{number} is not in {line}");
        }
    }

    async fn runs(&mut self, component: &[u8]) {
        let wanted = digest(component);
        until_within(&self.program, SLOW, "it is at work", async || {
            let status = status_of(&self.program, "lines").await;
            status["module"]["digest"] == wanted.as_str() && status["refused"].is_null()
        })
        .await;
        self.flows().await;
    }

    /// What is there is refused, while this one goes on.
    async fn refuses(&mut self, words: &[&str], old: &[u8]) {
        until(&self.program, &words.join(" "), async || {
            let refused = &status_of(&self.program, "lines").await["refused"]["reason"];
            refused.as_str().is_some_and(|reason| words.iter().all(|word| reason.contains(word)))
        })
        .await;
        assert_eq!(digest_in(&self.program, "lines").await, digest(old));
        assert!(self.program.get("/readyz").await.unwrap().0);
        self.flows().await;
    }
}

fn versions() -> [Vec<u8>; 3] {
    let component = fs::read(module("json-lines")).unwrap();
    ["one", "two", "three"].map(|name| version_of(&component, name))
}

/// Puts a file in place as a whole.
fn put(path: &Path, bytes: &[u8]) {
    let beside = path.with_file_name(".new");
    fs::write(&beside, bytes).unwrap();
    fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn a_component_under_another_name_takes_over_and_nothing_is_lost() {
    let [one, two, three] = versions();
    let mut bench = Bench::begin(|modules| put(&modules.join("lines-1.wasm"), &one)).await;
    for number in 0..100 {
        if number == 50 {
            put(&bench.path("lines-2.wasm"), &two);
            fs::remove_file(bench.path("lines-1.wasm")).unwrap();
        }
        bench.pod();
    }
    bench.runs(&two).await;
    // Files that are no components, and those that are being written, are nothing to it.
    for name in ["README.md", ".lines-3.wasm.part", "lines.wasm.old"] {
        fs::write(bench.path(name), "text").unwrap();
    }
    // The same name, too.
    put(&bench.path("lines-2.wasm"), &three);
    bench.runs(&three).await;
    assert_eq!(status_of(&bench.program, "lines").await["swapped"], 2);
    assert!(!log_since(&bench.program, 0).iter().any(|line| line["message"] == "new version refused"));
    assert!(bench.program.stop(PATIENCE).await.unwrap().success());
}

#[tokio::test]
async fn two_components_or_none_are_refused_while_the_old_version_goes_on() {
    let [one, two, three] = versions();
    let mut bench = Bench::begin(|modules| put(&modules.join("lines-1.wasm"), &one)).await;
    let directory = bench.place.path("modules").display().to_string();
    put(&bench.path("lines-2.wasm"), &two);
    let words = format!("the directory {directory} has 2 components: lines-1.wasm, lines-2.wasm (hint: leave one file there");
    bench.refuses(&[&words, "or name the file itself"], &one).await;
    fs::remove_file(bench.path("lines-1.wasm")).unwrap();
    bench.runs(&two).await;
    fs::remove_file(bench.path("lines-2.wasm")).unwrap();
    bench.refuses(&[&directory, "has no component: it is empty"], &two).await;
    put(&bench.path("lines-3.wasm"), &three);
    bench.runs(&three).await;
    // What came is taken away again: nothing has become of it.
    put(&bench.path("other.wasm"), &one);
    bench.refuses(&["has 2 components: lines-3.wasm, other.wasm"], &three).await;
    fs::remove_file(bench.path("other.wasm")).unwrap();
    bench.runs(&three).await;
    assert_eq!(status_of(&bench.program, "lines").await["swapped"], 2);
}

/// A `ConfigMap` as the kubelet mounts it: files are links through `..data`, which leads elsewhere first; then links come and go.
fn publish(mount: &Path, generation: &str, files: &[(&str, &[u8])]) {
    let folder = mount.join(generation);
    fs::create_dir(&folder).unwrap();
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let before = fs::read_link(mount.join("..data"));
    symlink(generation, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    for (name, _) in files {
        if fs::symlink_metadata(mount.join(name)).is_err() {
            symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
        }
    }
    for entry in fs::read_dir(mount).unwrap().map(|entry| entry.unwrap().path()) {
        let is_link = !entry.file_name().unwrap().as_encoded_bytes().starts_with(b".");
        if is_link && fs::metadata(&entry).is_err() {
            fs::remove_file(entry).unwrap();
        }
    }
    if let Ok(before) = before {
        fs::remove_dir_all(mount.join(before)).unwrap();
    }
}

#[tokio::test]
async fn a_config_map_brings_a_component_and_its_signature_under_another_name() {
    let [one, two, three] = versions();
    let key = PrivateKey::generate().unwrap();
    let signed = |component: &[u8]| text(&key.sign(component)).into_bytes();
    let pem = key.public().pem().trim_end().replace('\n', "\n      ");
    let trust = format!("trust:\n  signed-by: ops\n  keys:\n    ops: |\n      {pem}\n");
    let first = [("lines-1.wasm", &*one), ("lines-1.wasm.sig", &signed(&one))];
    let mut bench = Bench::begin_with("", &trust, |mount| publish(mount, "..2026_1", &first)).await;
    let mount = bench.place.path("modules");
    bench.runs(&one).await;
    publish(&mount, "..2026_2", &[("lines-2.wasm", &*two), ("lines-2.wasm.sig", &signed(&two))]);
    bench.runs(&two).await;
    publish(&mount, "..2026_3", &[("lines-3.wasm", &*three)]);
    let place = mount.join("lines-3.wasm.sig").display().to_string();
    bench.refuses(&[&format!("it must be signed by `ops`, but there is no {place}")], &two).await;
    publish(&mount, "..2026_4", &[("lines-3.wasm", &*three), ("lines-3.wasm.sig", &signed(&two))]);
    bench.refuses(&[&format!("{place} does not fit it")], &two).await;
    publish(&mount, "..2026_5", &[("lines-3.wasm", &*three), ("lines-3.wasm.sig", &signed(&three))]);
    bench.runs(&three).await;
    assert_eq!(status_of(&bench.program, "lines").await["swapped"], 2);
}

#[tokio::test]
async fn what_lies_in_a_directory_is_held_against_its_pin() {
    let [one, two, _] = versions();
    let pins = format!("sha256: {},", digest(&one));
    let mut bench = Bench::begin_with(&pins, "", |modules| put(&modules.join("a.wasm"), &one)).await;
    put(&bench.path("b.wasm"), &two);
    fs::remove_file(bench.path("a.wasm")).unwrap();
    bench.refuses(&[&format!("its sha256 is {}, but the configuration pins {}", digest(&two), digest(&one))], &one).await;
    let both = format!("sha256: [{}, {}],", digest(&one), digest(&two));
    bench.place.reconfigure(&bench.api.url(), &rest(&bench.place, &both, ""));
    bench.runs(&two).await;
}

#[tokio::test]
async fn a_lane_whose_directory_is_empty_at_the_start_begins_when_its_module_comes() {
    let (place, api) = (Place::new(), ApiServer::start().await.unwrap());
    let [one, ..] = versions();
    let config = place.configure(&api.url(), &rest(&place, "", ""));
    fs::create_dir(place.path("modules")).unwrap();
    let mut program = place.run(&config);
    program.until_alive(PATIENCE).await.unwrap();
    until(&program, "the reason is told", async || {
        log_since(&program, 0).iter().any(|line| {
            line["message"] == "module not loaded: its lane does not run"
                && line["error"].as_str().is_some_and(|error| error.contains("has no component: it is empty"))
        })
    })
    .await;
    let mut bench = Bench { place, api, program, pods: 0 };
    put(&bench.path("lines.wasm"), &one);
    bench.runs(&one).await;
}

fn said(arguments: &[&str]) -> (Option<i32>, String) {
    let output = sluicebox(arguments);
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_commands_take_a_directory_as_a_lane_does() {
    let place = Place::new();
    let modules = place.path("modules");
    fs::create_dir(&modules).unwrap();
    let [one, two, _] = versions();
    let config = place.configure("http://127.0.0.1:1", &rest(&place, "", ""));
    let (config, directory) = (config.to_str().unwrap(), modules.to_str().unwrap());
    let commands = [vec!["check", config], vec!["module", "inspect", directory], vec!["modules", directory]];
    let refused = |words: &str| {
        for command in &commands {
            let (code, text) = said(command);
            assert!(code == Some(2) && text.contains(words), "{command:?}: {text}");
            assert!(text.contains("hint: leave one file there whose name ends with `.wasm`, or name the file itself"), "{text}");
        }
    };
    refused(&format!("the directory {directory} has no component: it is empty"));
    put(&modules.join("b.wasm"), &one);
    for command in &commands {
        let (code, text) = said(command);
        assert!(code == Some(0) && text.contains(&digest(&one)), "{command:?}: {text}");
    }
    put(&modules.join("a.wasm"), &two);
    refused(&format!("the directory {directory} has 2 components: a.wasm, b.wasm"));
}
