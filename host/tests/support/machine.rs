//! A node whose cgroups a test makes, fills and removes, and what the running program says of them.

use std::path::Path;

use serde_json::Value;
use sluicebox_testkit::api_server::ApiServer;
use sluicebox_testkit::kubelet::{Kubelet, PodSpec};
use sluicebox_testkit::program::Program;

use super::{PATIENCE, Place, sluicebox, until};

/// A node with an API server and files of cgroups that stay as they are set.
pub struct Machine {
    pub place: Place,
    pub api: ApiServer,
    pub kubelet: Kubelet,
}

/// A line of samples as `json-lines` writes it, and where it went.
#[derive(Clone, Debug)]
pub struct Line {
    pub channel: String,
    pub key: String,
    pub body: Value,
}

impl Machine {
    pub async fn new() -> Self {
        let place = Place::new();
        let kubelet = Kubelet::pretended(&place.path("host")).unwrap();
        Self { place, api: ApiServer::start().await.unwrap(), kubelet }
    }

    /// The source, read five times a second; `more` begins with a comma.
    pub fn sources(&self, more: &str) -> String {
        format!(
            "sources: {{cgroups: {{period: 200ms, root: \"{}\"{more}}}}}\nreload: {{poll: 500ms, debounce: 50ms}}\n",
            self.kubelet.root().display()
        )
    }

    /// Runs the program with this configuration until it is ready.
    pub async fn run(&self, rest: &str) -> Program {
        let mut program = self.place.run(&self.place.configure(&self.api.url(), rest));
        program.until_ready(PATIENCE).await.unwrap();
        program
    }

    /// A pod that runs and that the API server knows.
    pub fn pod(&self, number: u32, containers: u32) -> PodSpec {
        let pod = PodSpec::numbered("n1", number, containers);
        self.kubelet.run(&pod).unwrap();
        self.api.create_pod(pod.object()).unwrap();
        pod
    }

    /// What `sluicebox dead-letters` says; the servers of the test go on meanwhile.
    pub async fn letters(&self, arguments: &[&str]) -> String {
        let state = self.place.path("state").display().to_string();
        let mut all = vec!["dead-letters".to_owned(), "--state-directory".to_owned(), state];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let run = move || sluicebox(&all.iter().map(String::as_str).collect::<Vec<_>>());
        let said = tokio::task::spawn_blocking(run).await.unwrap();
        let text = [said.stdout, said.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        assert!(said.status.success(), "{text}");
        text
    }

    /// A pod goes, first its cgroups and then its object.
    pub fn end(&self, pod: &PodSpec) {
        self.kubelet.end(pod).unwrap();
        self.api.delete_pod(&pod.namespace, &pod.name).unwrap();
    }

    /// So many microseconds have been used from now on, a tenth of them in the kernel.
    pub fn uses(&self, path: &str, micros: u64) {
        let (user, system) = (micros - micros / 10, micros / 10);
        let text = format!("usage_usec {micros}\nuser_usec {user}\nsystem_usec {system}\n");
        self.kubelet.set(path, "cpu.stat", &text).unwrap();
    }
}

/// What `json-lines` wrote of samples, in the order of the output. The sink must write JSON.
pub fn lines(program: &Program) -> Vec<Line> {
    messages(program).filter(|line| line.body["kind"] == "sample").collect()
}

/// Every message on the output whose body is JSON.
pub fn messages(program: &Program) -> impl Iterator<Item = Line> {
    let output = program.lines().clone();
    output.into_iter().filter_map(|line| message(&line))
}

fn message(line: &str) -> Option<Line> {
    let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let text = |name: &str| entry["message"][name].as_str().unwrap_or_default().to_owned();
    let body = serde_json::from_str(&text("body")).ok()?;
    Some(Line { channel: text("channel"), key: text("key"), body })
}

impl Line {
    /// What it is about, as `pod shop/web-1` or `container shop/web-1/main-0`.
    pub fn about(&self) -> String {
        let part = |name: &str| self.body[name].as_str().map(str::to_owned);
        let names = ["namespace", "pod", "name"].into_iter().filter_map(part).collect::<Vec<_>>().join("/");
        format!("{} {names}", self.body["subject"].as_str().unwrap_or_default())
    }

    /// What was read of this metric.
    pub fn metric(&self, name: &str) -> &Value {
        &self.body["metrics"][name]
    }

    /// The total of this counter.
    pub fn total(&self, name: &str) -> Option<u64> {
        self.metric(name)["total"].as_u64()
    }

    /// When it was read; such texts sort by time.
    pub fn time(&self) -> &str {
        self.body["time"].as_str().unwrap()
    }
}

/// Waits for a line that is as wanted.
pub async fn line(program: &Program, what: &str, is_wanted: impl Fn(&Line) -> bool) -> Line {
    let find = || lines(program).into_iter().find(|line| is_wanted(line));
    until(program, what, async || find().is_some()).await;
    find().unwrap()
}

/// Waits until what is about this has been told so many times more.
pub async fn told_again(program: &Program, about: &str, times: usize) {
    let count = || lines(program).iter().filter(|line| line.about() == about).count();
    let before = count();
    until(program, &format!("{about} is told {times} times more"), async || count() >= before + times).await;
}

/// From one time of a line to another, in seconds; a day later at most.
pub fn seconds_between(one: &str, other: &str) -> f64 {
    let seconds = |time: &str| -> f64 {
        let clock = time.split_once('T').unwrap().1.trim_end_matches('Z');
        clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    };
    (seconds(other) - seconds(one)).rem_euclid(86_400.0)
}

/// The rows of the source of samples in this metric.
pub async fn rows(program: &Program, name: &str) -> Vec<String> {
    let rows = program.metrics(&[name]).await.unwrap();
    rows.into_iter().filter(|row| row.contains("source=\"cgroups\"")).collect()
}

/// The text of a path as a configuration takes it.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}
